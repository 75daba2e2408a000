"""Volumes that a real kernel wrote, and what it reads from them: our second reader agrees.

The images are in tests/golden. `tests.golden.reader` shares no code with the library, so that
the library can be held against it.
"""

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.golden.guest import content
from tests.golden.images import ERROR, Golden, golden_images
from tests.golden.reader import (
    COMMIT,
    SECTOR,
    START,
    UNIT,
    UNITS,
    Refused,
    Volume,
    data_unit,
    tag_byte,
)
from tests.interop.cryptsetup import Cryptsetup

GOLDEN = golden_images()
UNCLEAN = next(golden for golden in GOLDEN if golden.name == "unclean")
JOURNAL = (START + UNITS) * UNIT  # bytes: where it starts

# For each image: the sections to replay in their order, the sequence numbers in the journal,
# and the sectors that only the journal has.
JOURNALS: dict[str, tuple[list[int], list[set[int]], set[int]]] = {
    "clean": ([0], [{1}], set()),
    "unclean": ([0], [{2}], {*range(8), 20, 21}),
    "wrapped": ([1, 0], [{0}, {3}], {*range(12), *range(4092, 4112), *range(4473, 4477)}),
    "torn": ([1], [{2, 3}, {2}], {*range(8), *range(4096, 4100)}),
}


@pytest.fixture(scope="module", params=GOLDEN, ids=[golden.name for golden in GOLDEN])
def golden(request: pytest.FixtureRequest) -> Golden:
    param: Golden = request.param
    return param


@pytest.fixture(scope="module")
def unpacked(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image that all tests share: they only read it."""
    return golden.unpack(tmp_path_factory.mktemp("golden"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Return an image of `UNCLEAN` that the test may damage."""
    return UNCLEAN.unpack(tmp_path)


def digest(volume: Volume, sector: int) -> str:
    try:
        return hashlib.sha256(volume.read(sector)).hexdigest()
    except Refused:
        return ERROR


def flip(image: Path, offset: int) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_the_image_is_the_one_that_was_taken(golden: Golden, unpacked: Path) -> None:
    with unpacked.open("rb") as file:
        assert golden.sha256 == hashlib.file_digest(file, "sha256").hexdigest()


def test_the_geometry_is_the_kernels(golden: Golden, unpacked: Path) -> None:
    volume = Volume(unpacked, golden.volume_key)
    assert golden.journal_sections == volume.journal_sections
    assert golden.provided_units == volume.provided
    assert golden.provided_sectors == volume.sectors


def test_every_sector_reads_as_the_kernel_reads_it(golden: Golden, unpacked: Path) -> None:
    volume = Volume(unpacked, golden.volume_key)
    expected = {number: sector.sha256 for number, sector in golden.sectors.items()}
    found = {sector: digest(volume, sector) for sector in range(volume.sectors)}
    assert expected == {number: name for number, name in found.items() if name != ERROR}


def test_without_the_journal_it_reads_as_the_kernel_does_when_that_is_emptied(
    golden: Golden, unpacked: Path
) -> None:
    volume = Volume(unpacked, golden.volume_key, replay=False)
    expected = {number: sector.without_replay for number, sector in golden.sectors.items()}
    assert expected == {number: digest(volume, number) for number in golden.sectors}


def test_the_payload_is_the_kernels_and_the_content_that_was_written(
    golden: Golden, unpacked: Path
) -> None:
    volume = Volume(unpacked, golden.volume_key)
    payload = hashlib.sha256()
    for number, sector in golden.sectors.items():
        plaintext = volume.read(number)
        assert content(golden.name, number, sector.version) == plaintext
        payload.update(plaintext)
    assert golden.payload_sha256 == payload.hexdigest()


def test_replaying_gives_the_bytes_that_the_kernel_leaves_on_the_device(
    golden: Golden, unpacked: Path
) -> None:
    settled = Volume(unpacked, golden.volume_key).settled()
    assert golden.settled_sha256 == hashlib.sha256(settled).hexdigest()


def test_the_journal_is_in_the_state_that_the_image_is_kept_for(
    golden: Golden, unpacked: Path
) -> None:
    volume = Volume(unpacked, golden.volume_key)
    replay, sequences, pending = JOURNALS[golden.name]
    assert replay == volume.journal.to_replay()
    assert sequences == [set(section) for section in volume.journal.sequences]
    assert pending == {unit // UNITS for unit in volume.pending}
    changed = {n for n, sector in golden.sectors.items() if sector.without_replay != sector.sha256}
    assert pending == changed


def test_an_image_with_two_versions_of_a_sector_in_its_journal_shows_the_later_one() -> None:
    versions = {
        (golden.name, number): sector.version
        for golden in GOLDEN
        for number, sector in golden.sectors.items()
    }
    assert versions["unclean", 4] == 4  # versions 3 and 4 are in the same section
    assert versions["unclean", 6] == 5  # and here 3, 4 and 5
    assert versions["wrapped", 4096] == 4  # 2 is in section 1, 4 in section 0: the later one


def test_the_passphrase_is_the_data_key_of_the_uuid(golden: Golden) -> None:
    info = b"key-" + golden.uuid.encode()
    derived = HKDF(SHA256(), 32, golden.salt, info).derive(golden.master_secret)
    assert golden.passphrase == derived


@pytest.mark.interop
def test_cryptsetup_finds_the_volume_key(
    golden: Golden, unpacked: Path, cryptsetup: Cryptsetup
) -> None:
    found = cryptsetup.volume_key(unpacked, golden.passphrase)
    assert golden.volume_key == bytes(found.reveal())


@pytest.mark.parametrize("where", ["data", "tag"])
def test_a_flipped_bit_is_refused_in_its_sector_alone(fresh: Path, where: str) -> None:
    key, sector = UNCLEAN.volume_key, 30
    unit = sector * UNITS
    flip(fresh, tag_byte(1, unit) if where == "tag" else data_unit(1, unit) * UNIT + SECTOR - 1)
    volume = Volume(fresh, key)
    assert [sector] == [n for n in range(volume.sectors) if digest(volume, n) == ERROR]


def test_a_flipped_bit_in_an_entry_of_the_journal_is_refused(fresh: Path) -> None:
    flip(fresh, JOURNAL + 8)  # of the bytes that belong at the end of the first unit of sector 0
    volume = Volume(fresh, UNCLEAN.volume_key)
    assert [0] == [n for n in range(volume.sectors) if digest(volume, n) == ERROR]


def test_a_damaged_commit_id_is_refused(fresh: Path) -> None:
    flip(fresh, JOURNAL + 100 * UNIT + COMMIT)
    with pytest.raises(Refused, match="unit 100 of journal section 0"):
        Volume(fresh, UNCLEAN.volume_key)


def test_another_superblock_is_refused(fresh: Path) -> None:
    flip(fresh, START * UNIT + 16)
    with pytest.raises(Refused, match="superblock"):
        Volume(fresh, UNCLEAN.volume_key)


def test_another_key_reads_nothing(fresh: Path) -> None:
    volume = Volume(fresh, bytes(96))
    assert {ERROR} == {digest(volume, number) for number in range(volume.sectors)}
