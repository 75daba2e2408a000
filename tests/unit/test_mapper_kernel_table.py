"""Tables of the device-mapper: the lines that a volume must have, and what of them may differ."""

from typing import Any

import attrs
import pytest

from cloudcrypt.errors import MappingConflict
from cloudcrypt.integrity import Geometry
from cloudcrypt.luks2 import VerifiedHeader
from cloudcrypt.mapper._devicemapper import Active, Target
from cloudcrypt.mapper._table import (
    Layer,
    crypt_layer,
    fields_of,
    integrity_layer,
    limit_layer,
    require,
)
from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import UUID, sample_volume

NAME = "vol-0123456789abcdef0"
PLAIN = UUID.replace("-", "")
SIZE = 64 * MIB


def header(mode: Mode) -> VerifiedHeader:
    sample = sample_volume(CHEAP, mode)
    return sample.verify(sample.disk(SIZE))


HEADERS = {mode: header(mode) for mode in Mode}
GEOMETRY = Geometry.of(SIZE)

# As the kernel 6.1 and libcryptsetup 2.6.1 of Debian 12 show them.
KEY = f":64:logon:cryptsetup:{UUID}-d0"
CRYPT = Target(
    0,
    98304,
    "crypt",
    f"aes-xts-plain64 {KEY} 0 8:0 32768 3 no_read_workqueue no_write_workqueue sector_size:4096",
)
AEAD = Target(
    0,
    96736,
    "crypt",
    f"capi:authenc(hmac(sha256),xts(aes))-plain64 :96:logon:cryptsetup:{UUID}-d0 0 253:0 0 4 "
    "no_read_workqueue no_write_workqueue integrity:32:aead sector_size:4096",
)
INTEGRITY = Target(
    0,
    96736,
    "integrity",
    "8:16 32768 32 J 7 block_size:4096 journal_sectors:792 interleave_sectors:32768 "
    "buffer_sectors:128 journal_watermark:50 commit_time:10000 fix_padding",
)
LIMIT = Target(0, SIZE // 512, "linear", "8:16 0")

LAYERS: list[tuple[Layer, str, Target]] = [
    (
        crypt_layer(HEADERS[Mode.CRYPT], NAME, "8:0", sectors=98304, discards=False),
        f"CRYPT-LUKS2-{PLAIN}-{NAME}",
        CRYPT,
    ),
    (
        crypt_layer(HEADERS[Mode.INTEGRITY], NAME, "253:0", sectors=96736, discards=False),
        f"CRYPT-LUKS2-{PLAIN}-{NAME}",
        AEAD,
    ),
    (
        integrity_layer(HEADERS[Mode.INTEGRITY], NAME, "8:16", GEOMETRY),
        f"CRYPT-INTEGRITY-{PLAIN}-{NAME}_dif",
        INTEGRITY,
    ),
    (limit_layer(HEADERS[Mode.INTEGRITY], NAME, "8:16"), f"CLOUDCRYPT-LIMIT-{PLAIN}", LIMIT),
]
IDS = ["crypt", "crypt above integrity", "integrity", "limit"]


def active(uuid: str, target: Target, **changed: Any) -> Active:
    found = Active(
        name=NAME,
        uuid=uuid,
        number="253:1",
        users=0,
        readonly=False,
        suspended=False,
        leaving=False,
        pending=False,
        targets=(target,),
        sequence=7,
    )
    return attrs.evolve(found, **changed)


@pytest.mark.parametrize(("layer", "uuid", "target"), LAYERS, ids=IDS)
def test_what_the_kernel_shows_of_our_volumes_is_expected(
    layer: Layer, uuid: str, target: Target
) -> None:
    found = active(uuid, target)
    assert found is require(found, layer)
    assert dict(layer.fields).items() <= fields_of(target).items()


@pytest.mark.parametrize(("layer", "uuid", "target"), LAYERS, ids=IDS)
def test_every_field_of_a_line_counts(layer: Layer, uuid: str, target: Target) -> None:
    words = target.parameters.split()
    for index, word in enumerate(words):
        name = word.partition(":")[0]
        if word.isdecimal() and index and words[index - 1] in ("32768", "0", "J") and index > 3:
            continue  # how many options follow: they are counted by what they are
        if name in ("buffer_sectors", "journal_watermark", "commit_time"):
            continue
        changed = f"{word}1" if word[-1].isalnum() else f"{word}x"
        line = " ".join([*words[:index], changed, *words[index + 1 :]])
        with pytest.raises(MappingConflict) as refusal:
            require(active(uuid, attrs.evolve(target, parameters=line)), layer)
        assert refusal.value.mapping == layer.name
    for changes in ({"start": 8}, {"length": target.length + 8}, {"kind": "error"}):
        with pytest.raises(MappingConflict):
            require(active(uuid, attrs.evolve(target, **changes)), layer)


@pytest.mark.parametrize(("layer", "uuid", "target"), LAYERS, ids=IDS)
def test_an_option_more_or_less_is_refused(layer: Layer, uuid: str, target: Target) -> None:
    more = attrs.evolve(target, parameters=f"{target.parameters} allow_discards")
    if target.kind != "linear":
        with pytest.raises(MappingConflict) as refusal:
            require(active(uuid, more), layer)
        expected = ("allow_discards", "set", "absent")
        error = refusal.value
        assert expected == (error.field, error.found, error.expected)
    less = attrs.evolve(target, parameters=target.parameters.rpartition(" ")[0])
    with pytest.raises(MappingConflict) as refusal:
        require(active(uuid, less), layer)
    assert refusal.value.found == "absent"


@pytest.mark.parametrize(("layer", "uuid", "target"), LAYERS, ids=IDS)
def test_the_device_itself_must_be_the_expected_one(
    layer: Layer, uuid: str, target: Target
) -> None:
    cases: list[tuple[Active | None, str]] = [
        (None, "device"),
        (active(f"{uuid}x", target), "uuid"),
        (active("", target), "uuid"),
        (active(uuid, target, targets=()), "targets"),
        (active(uuid, target, targets=(target, target)), "targets"),
        (active(uuid, target, suspended=True), "state"),
        (active(uuid, target, pending=True), "state"),
    ]
    for found, field in cases:
        with pytest.raises(MappingConflict) as refusal:
            require(found, layer)
        assert (layer.name, field) == (refusal.value.mapping, refusal.value.field)


def test_a_field_can_be_left_open() -> None:
    layer, uuid, target = LAYERS[0]
    longer = active(uuid, attrs.evolve(target, length=8))
    assert longer is require(longer, layer, ignoring=["length"])


def test_tuning_of_the_kernel_is_not_ours_to_expect() -> None:
    layer, uuid, target = LAYERS[2]
    other = target.parameters.replace("buffer_sectors:128", "buffer_sectors:64").replace(
        ":50", ":49"
    )
    require(active(uuid, attrs.evolve(target, parameters=other)), layer)
    odd = target.parameters.replace("buffer_sectors:128", "buffer_sectors:many")
    with pytest.raises(MappingConflict, match="buffer_sectors"):
        require(active(uuid, attrs.evolve(target, parameters=odd)), layer)


def test_what_newer_versions_spell_out_is_accepted_where_it_says_the_same() -> None:
    for index, is_accepted in ((1, True), (0, False)):
        layer, uuid, target = LAYERS[index]
        same = active(
            uuid, attrs.evolve(target, parameters=f"{target.parameters} integrity_key_size:32")
        )
        if is_accepted:
            require(same, layer)
        else:
            with pytest.raises(MappingConflict, match="integrity_key_size"):
                require(same, layer)
    layer, uuid, target = LAYERS[1]
    other = attrs.evolve(target, parameters=f"{target.parameters} integrity_key_size:64")
    with pytest.raises(MappingConflict, match="integrity_key_size"):
        require(active(uuid, other), layer)
    newer = active(f"CRYPT-SUBDEV-{PLAIN}-{NAME}_dif", LAYERS[2][2])
    assert newer is require(newer, LAYERS[2][0])


def test_discards_are_expected_where_they_were_asked_for() -> None:
    layer = crypt_layer(HEADERS[Mode.CRYPT], NAME, "8:0", sectors=98304, discards=True)
    line = CRYPT.parameters.replace(" 3 ", " 4 allow_discards ")
    require(active(LAYERS[0][1], attrs.evolve(CRYPT, parameters=line)), layer)
    with pytest.raises(MappingConflict, match="allow_discards"):
        require(active(LAYERS[0][1], CRYPT), layer)


def test_a_key_in_the_table_itself_is_refused_without_being_shown() -> None:
    layer, uuid, target = LAYERS[0]
    shown = attrs.evolve(target, parameters=target.parameters.replace(KEY, "hidden"))
    with pytest.raises(MappingConflict) as refusal:
        require(active(uuid, shown), layer)
    assert ("key", "hidden") == (refusal.value.field, refusal.value.found)
