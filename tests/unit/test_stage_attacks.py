"""What the storage provider may try against a volume in use, as the stage meets it.

The rows are those of docs/reference/attacks.md; the header's own are in test_luks2_attacks.py.
"""

import shutil
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import (
    CapacityRefused,
    DeviceMismatch,
    HeaderRefused,
    IdentityRefused,
    SealRefused,
    SuperblockRefused,
    UnsupportedOperation,
    VolumeKeyRefused,
)
from cloudcrypt.keys import KeyService, bound_key_id
from cloudcrypt.ledger import State
from cloudcrypt.luks2 import layout
from cloudcrypt.model import BlockDevice, ClonedFrom, KeyPolicy, Mode
from cloudcrypt.secret import Secret
from cloudcrypt.sizes import KIB, MIB
from cloudcrypt.stage import Adopt
from cloudcrypt_testing.headers import FIELDS, MetadataCopy
from tests.unit.nodes import (
    CONTENT,
    OTHER,
    OTHER_UUID,
    SIZE,
    VOLUME,
    Node,
    empty_folder,
    key_service,
    read_header,
    write_bytes,
)

# --- the key service gives another key ---


class WrongKey:
    """A key service that gives the data key of another volume."""

    def __init__(self, service: KeyService, instead: str) -> None:
        self.service = service
        self.instead = instead

    def get_data_key(self, key_id: str, length: int) -> Secret:
        assert key_id != self.instead
        return self.service.get_data_key(self.instead, length)


@pytest.mark.parametrize(
    ("policy", "error"),
    [(KeyPolicy.BOUND, SealRefused), (KeyPolicy.CONSTELLATION, VolumeKeyRefused)],
)
@pytest.mark.parametrize(
    "keys", [WrongKey(key_service(), "another"), key_service(1)], ids=["key", "master secret"]
)
def test_a_wrong_key_is_refused(
    node: Node, policy: KeyPolicy, error: type[HeaderRefused], keys: KeyService
) -> None:
    device = node.formatted(policy=policy)
    before = device.path.read_bytes()
    mistaken = node.again(keys=keys)
    with pytest.raises(error):
        mistaken.stage.open(device, policy=policy)
    assert (None, None) == (mistaken.mapper.get(VOLUME), node.record().holder)
    assert before == device.path.read_bytes()


# --- the cloud swaps disks ---


def test_two_volumes_that_were_swapped_are_refused(node: Node) -> None:
    one, two = node.formatted(VOLUME), node.formatted(OTHER)
    swapped = one.path.read_bytes(), two.path.read_bytes()
    two.path.write_bytes(swapped[0])
    one.path.write_bytes(swapped[1])
    for device in (one, two):
        with pytest.raises(HeaderRefused):
            node.stage.open(device)


def test_a_swap_is_refused_by_the_seal_where_nothing_is_recorded(
    node: Node, tmp_path: Path
) -> None:
    one, two = node.formatted(VOLUME), node.formatted(OTHER)
    stranger = node.again(base=empty_folder(tmp_path))
    with pytest.raises(SealRefused):
        stranger.stage.open(attrs.evolve(one, path=two.path), trust=Adopt(Mode.CRYPT))


def test_constellation_volumes_that_were_swapped_are_refused_by_the_recorded_uuid(
    node: Node,
) -> None:
    policy = KeyPolicy.CONSTELLATION
    one, two = node.formatted(VOLUME, policy=policy), node.formatted(OTHER, policy=policy)
    with pytest.raises(IdentityRefused):
        node.stage.open(attrs.evolve(one, path=two.path), policy=policy)


def test_a_device_that_shrank_is_refused(node: Node) -> None:
    node.formatted(size=SIZE + MIB)
    with pytest.raises(CapacityRefused):
        node.stage.open(node.resize(VOLUME, SIZE))
    assert CONTENT == node.content(node.resize(VOLUME, SIZE + MIB))


def test_a_device_that_ends_within_the_header_is_refused(node: Node) -> None:
    node.formatted()
    with pytest.raises(HeaderRefused):
        node.stage.open(node.resize(VOLUME, 64 * KIB))


def test_a_changed_keyslot_area_is_refused(node: Node) -> None:
    device = node.formatted()
    write_bytes(device, layout.KEYSLOTS_OFFSET + 12345, b"\xff\x00\xff")
    with pytest.raises(SealRefused):
        node.stage.open(device)


# --- the device is exchanged, or does not do what it is told ---


def located(node: Node) -> BlockDevice:
    """Return the device with the identity that was proven."""
    device = node.device()
    status = device.path.stat()
    return attrs.evolve(device, identity=(status.st_dev, status.st_ino))


def test_a_device_that_is_still_the_one_that_was_located_is_used(node: Node) -> None:
    node.formatted()
    assert CONTENT == node.content(located(node))


def test_a_device_that_was_exchanged_after_it_was_located_is_refused(node: Node) -> None:
    node.formatted()
    device = located(node)
    copy = shutil.copyfile(device.path, node.path(OTHER))
    copy.replace(device.path)
    for verb in (node.stage.open, node.stage.check, node.stage.rotate, node.stage.format):
        with pytest.raises(DeviceMismatch) as refusal:
            verb(device)
        assert device.identity == refusal.value.expected
    assert node.record().holder is None
    assert CONTENT == node.content(located(node))  # nor is it still locked


class LyingDisk(FileDisk):
    """A device that takes every write and keeps none."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        pass


def test_a_format_that_did_not_reach_the_device_is_noticed(node: Node) -> None:
    device = node.blank()
    with pytest.raises(HeaderRefused):
        node.again(open_disk=LyingDisk).stage.format(device)
    assert (State.FORMATTING, None) == (node.record().state, node.record().holder)


def test_a_rotation_that_did_not_reach_the_device_is_noticed(node: Node) -> None:
    device = node.formatted()
    with pytest.raises(IdentityRefused):
        node.again(open_disk=LyingDisk).stage.rotate(device)
    assert (State.READY, 1) == (node.record().state, node.record().generation)
    assert CONTENT == node.content(device)


def test_a_rebinding_that_did_not_reach_the_device_is_noticed(node: Node) -> None:
    origin = node.formatted()
    shutil.copyfile(origin.path, node.path(OTHER))
    with pytest.raises(HeaderRefused):
        node.again(open_disk=LyingDisk).stage.rebind(node.device(OTHER), ClonedFrom(VOLUME))
    assert node.record(OTHER).state is State.REBINDING


def test_a_restore_that_did_not_reach_the_device_is_noticed(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    write_bytes(device, 0, bytes(layout.DATA_OFFSET))
    with pytest.raises(HeaderRefused):
        node.again(open_disk=LyingDisk).stage.restore_header(device, backup)
    assert node.record().state is State.RESTORING


# --- a copy shares the volume key of its origin (row 43) ---


def test_a_clone_has_its_own_identity_and_the_volume_key_of_its_origin(node: Node) -> None:
    origin = node.formatted()
    shutil.copyfile(origin.path, node.path(OTHER))
    clone = node.device(OTHER)
    node.stage.rebind(clone, ClonedFrom(VOLUME))
    with node.stage.check(origin) as one, node.stage.check(clone) as two:
        assert one.header.uuid != two.header.uuid
        assert one.header.metadata.tokens != two.header.metadata.tokens
        # This is the price of not rewriting the data: where both hold the same plaintext at the
        # same place, they hold the same ciphertext.
        assert one.volume_key == two.volume_key
    assert CONTENT == node.content(origin)
    assert CONTENT == node.content(clone)


# --- what a disk says is not sent to a key service unless it is harmless ---


class RecordingKeys:
    """A key service that remembers for which ids it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get_data_key(self, key_id: str, length: int) -> Secret:
        self.asked.append(key_id)
        return key_service().get_data_key(key_id, length)


def with_uuid(header: bytes, uuid: bytes) -> bytes:
    """Return the header with another UUID, its checksums right."""
    offset, length = FIELDS["uuid"]
    copies: list[bytes] = []
    for start in (0, layout.SECONDARY_OFFSET):
        copy = MetadataCopy.of(header[start : start + layout.METADATA_SIZE])
        copy.binary[offset : offset + length] = uuid.ljust(length, b"\0")
        copies.append(copy.to_bytes())
    return b"".join(copies)


@pytest.mark.parametrize(
    "uuid", [b"measurementSecret", b"", b"../../etc", b"0F1E2D3C-4B5A-4697-8877-665544332211"]
)
def test_what_is_no_uuid_becomes_no_key_id(node: Node, uuid: bytes, tmp_path: Path) -> None:
    device = node.formatted(policy=KeyPolicy.CONSTELLATION)
    write_bytes(device, 0, with_uuid(read_header(device), uuid))
    keys = RecordingKeys()
    stranger = node.again(base=empty_folder(tmp_path), keys=keys)
    with pytest.raises(HeaderRefused):
        stranger.stage.open(device, policy=KeyPolicy.CONSTELLATION, trust=Adopt(Mode.CRYPT))
    assert [] == keys.asked


def test_the_key_id_of_a_bound_volume_is_never_taken_from_the_disk(node: Node) -> None:
    device = node.formatted()
    write_bytes(device, 0, with_uuid(read_header(device), OTHER_UUID.encode()))
    keys = RecordingKeys()
    with pytest.raises(HeaderRefused):
        node.again(keys=keys).stage.open(device)
    assert [bound_key_id(VOLUME)] == keys.asked


# --- integrity: the header, and what follows it; test_integrity_attacks.py has the rest ---


@pytest.fixture
def protected(node: Node) -> BlockDevice:
    """Return the device of a volume with integrity that holds `CONTENT`."""
    return node.formatted(mode=Mode.INTEGRITY)


def test_the_header_of_an_integrity_volume_is_verified_and_unlocked(
    node: Node, protected: BlockDevice
) -> None:
    with node.stage.check(protected) as volume:
        assert (Mode.INTEGRITY, 96) == (volume.header.mode, len(volume.volume_key))
    assert layout.DATA_OFFSET == len(node.stage.backup_header(protected))


def test_an_integrity_volume_without_its_superblock_is_not_mapped(
    node: Node, protected: BlockDevice
) -> None:
    write_bytes(protected, layout.DATA_OFFSET, bytes(4096))
    before = protected.path.read_bytes()
    for writable in (False, True):
        with pytest.raises(SuperblockRefused):
            node.stage.open(protected, writable=writable)
        assert (None, None) == (node.mapper.get(VOLUME), node.record().holder)
    assert before == protected.path.read_bytes()


def test_an_integrity_volume_rotates_and_keeps_its_data(node: Node, protected: BlockDevice) -> None:
    assert node.stage.rotate(protected).generation == 2
    with node.stage.check(protected) as volume:
        assert volume.header.generation == 2
    assert CONTENT == node.content(protected)


def test_an_integrity_volume_is_not_grown_unasked(node: Node, protected: BlockDevice) -> None:
    device = node.resize(VOLUME, SIZE + MIB)
    before = protected.path.read_bytes()
    with pytest.raises(UnsupportedOperation, match=r"--integrity-growth.*Constellation"):
        node.stage.grow(device)
    assert (SIZE, before) == (node.record().capacity, protected.path.read_bytes())


def test_integrity_is_not_dropped_by_whoever_writes_the_disk(
    node: Node, protected: BlockDevice
) -> None:
    plain = node.formatted(OTHER)
    protected.path.write_bytes(plain.path.read_bytes())
    with pytest.raises(HeaderRefused):
        node.stage.check(protected)
