"""Rotation: the next generation opens, the one before does not, and the data stays."""

import attrs
import pytest

from cloudcrypt.disk import FileDisk, read
from cloudcrypt.errors import (
    HeaderRefused,
    IdentityRefused,
    InvalidRequest,
    SealRefused,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
    VolumeBusy,
)
from cloudcrypt.ledger import State
from cloudcrypt.luks2 import layout
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import LAYOUTS
from tests.unit.nodes import CONTENT, SIZE, VOLUME, Node, key_service, read_header, write_bytes

LAYOUT = LAYOUTS[Mode.CRYPT]


def test_a_rotated_volume_is_of_the_next_generation(node: Node) -> None:
    device = node.formatted()
    before = node.record()
    after = node.stage.rotate(device)
    assert attrs.evolve(before, generation=2) == after == node.record()
    assert CONTENT == node.content(device)


def test_rotation_keeps_the_volume_key_and_the_uuid(node: Node) -> None:
    device = node.formatted()
    with node.stage.check(device) as before:
        node.stage.rotate(device)
        with node.stage.check(device) as after:
            assert before.volume_key == after.volume_key
            assert before.header.uuid == after.header.uuid
            assert before.header.seqid + 1 == after.header.seqid
            assert (1, 2) == (before.header.generation, after.header.generation)


def test_the_keyslot_area_alternates_and_the_old_one_is_erased(node: Node) -> None:
    device = node.formatted()
    size, first, second = LAYOUT.area_size, LAYOUT.area_offset, LAYOUT.alternate_offset
    for used, spare in ((second, first), (first, second), (second, first)):
        node.stage.rotate(device)
        with FileDisk(device.path) as disk:
            assert bytes(size) != read(disk, used, size)
            assert bytes(size) == read(disk, spare, size)
    assert node.record().generation == 4
    assert CONTENT == node.content(device)


def test_the_payload_is_not_touched(node: Node) -> None:
    device = node.formatted()
    before = device.path.read_bytes()[layout.DATA_OFFSET :]
    node.stage.rotate(device)
    assert before == device.path.read_bytes()[layout.DATA_OFFSET :]


# Row 41 of the attacks.
def test_a_header_of_the_generation_before_is_refused(node: Node) -> None:
    device = node.formatted()
    old = read_header(device)
    node.stage.rotate(device)
    new = read_header(device)
    write_bytes(device, 0, old)
    for verb in (node.stage.open, node.stage.check, node.stage.rotate, node.stage.format):
        with pytest.raises(IdentityRefused) as refusal:
            verb(device)
        assert ({"generation": 1}, 2) == (refusal.value.found, refusal.value.expected)
    write_bytes(device, 0, new)
    assert CONTENT == node.content(device)


def test_an_old_keyslot_area_under_the_new_header_is_refused(node: Node) -> None:
    device = node.formatted()
    old = read_header(device)
    node.stage.rotate(device)
    node.stage.rotate(device)  # the area is where it was two generations ago
    write_bytes(device, layout.KEYSLOTS_OFFSET, old[layout.KEYSLOTS_OFFSET :])
    with pytest.raises(SealRefused):
        node.stage.open(device)


# --- to a generation that is named ---


def test_the_next_generation_may_be_named(node: Node) -> None:
    device = node.formatted()
    assert node.stage.rotate(device, generation=2).generation == 2


def test_a_generation_that_is_reached_already_changes_nothing(node: Node) -> None:
    device = node.formatted()
    node.stage.rotate(device, generation=2)
    before = device.path.read_bytes()
    assert node.record() == node.stage.rotate(device, generation=2)
    assert before == device.path.read_bytes()


@pytest.mark.parametrize("generation", [-1, 0, 1, 4, 100])
def test_no_generation_is_skipped_or_returned_to(node: Node, generation: int) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    before = device.path.read_bytes()
    with pytest.raises(InvalidRequest, match="one generation at a time"):
        node.stage.rotate(device, generation=generation)
    assert before == device.path.read_bytes()
    assert (2, None) == (node.record().generation, node.record().holder)


# --- what may be rotated ---


def test_an_unknown_volume_is_not_rotated(node: Node) -> None:
    with pytest.raises(UnknownVolume):
        node.stage.rotate(node.resize(VOLUME, SIZE))


def test_a_constellation_volume_is_not_rotated(node: Node) -> None:
    device = node.formatted(policy=KeyPolicy.CONSTELLATION)
    before = device.path.read_bytes()
    with pytest.raises(UnsupportedOperation):
        node.stage.rotate(device)
    assert before == device.path.read_bytes()


@pytest.mark.parametrize("state", [State.NEW, State.FORMATTING, State.REBINDING, State.RESTORING])
def test_a_volume_in_another_transition_is_not_rotated(node: Node, state: State) -> None:
    device = node.formatted()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    with pytest.raises(StateForbids):
        node.stage.rotate(device)


def test_a_volume_that_another_node_holds_is_not_rotated(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device, writable=False)
    with pytest.raises(VolumeBusy):
        node.again(name="node-2").stage.rotate(device)


def test_a_wrong_master_secret_rotates_nothing(node: Node) -> None:
    device = node.formatted()
    before = device.path.read_bytes()
    with pytest.raises(SealRefused):
        node.again(keys=key_service(1)).stage.rotate(device)
    assert before == device.path.read_bytes()
    assert (State.READY, 1, None) == (
        node.record().state,
        node.record().generation,
        node.record().holder,
    )


# --- a rotation that was cut short ---


def begun(node: Node) -> None:
    """Record a rotation that got no further than that."""
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=State.ROTATING))


def test_a_rotation_that_had_only_begun_is_done(node: Node) -> None:
    device = node.formatted()
    begun(node)
    assert node.stage.rotate(device).generation == 2
    assert CONTENT == node.content(device)


def test_opening_ends_a_rotation_that_had_only_begun(node: Node) -> None:
    device = node.formatted()
    begun(node)
    assert CONTENT == node.content(device)
    assert (State.READY, 1) == (node.record().state, node.record().generation)


def test_a_rotation_that_was_written_and_not_recorded_is_recorded(node: Node) -> None:
    device = node.formatted()
    before = node.record()
    node.stage.rotate(device)
    node.ledger.replace(node.record(), attrs.evolve(before, state=State.ROTATING))
    assert node.stage.rotate(device).generation == 2
    assert CONTENT == node.content(device)


@pytest.mark.parametrize("copy", ["primary", "secondary"])
@pytest.mark.parametrize("winner", ["old", "new"])
def test_one_copy_of_either_generation_opens_for_reading_without_a_change(
    node: Node, copy: str, winner: str
) -> None:
    device = node.formatted()
    record = node.record()
    headers = {"old": read_header(device)}
    node.stage.rotate(device)
    headers["new"] = read_header(device)
    start = 0 if copy == "primary" else layout.SECONDARY_OFFSET
    header = bytearray(headers[winner])
    header[0 : layout.KEYSLOTS_OFFSET] = b"\xa5" * layout.KEYSLOTS_OFFSET
    whole = slice(start, start + layout.METADATA_SIZE)
    header[whole] = headers[winner][whole]
    write_bytes(device, 0, bytes(header))
    rotating = attrs.evolve(record, state=State.ROTATING)
    node.ledger.replace(node.record(), rotating)
    before = device.path.read_bytes()
    expected = {"old": 1, "new": 2}[winner]
    with node.stage.check(device) as volume:
        assert expected == volume.header.generation
    with node.stage.open(device, writable=False).open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
    node.stage.close(VOLUME)
    assert (before, rotating) == (device.path.read_bytes(), node.record())
    assert CONTENT == node.content(device)
    assert (State.READY, expected) == (node.record().state, node.record().generation)


def test_a_header_of_neither_generation_is_refused(node: Node) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    node.stage.rotate(device)
    node.ledger.replace(
        node.record(), attrs.evolve(node.record(), state=State.ROTATING, generation=1, holder=None)
    )
    for verb in (node.stage.open, node.stage.check, node.stage.rotate):
        with pytest.raises(HeaderRefused):
            verb(device)
    assert (State.ROTATING, None) == (node.record().state, node.record().holder)
