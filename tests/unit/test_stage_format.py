"""Formatting: only what is registered as new, only what is blank, and only once."""

import warnings
from collections.abc import Iterator

import attrs
import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import (
    AlreadyRegistered,
    DeviceBusy,
    DeviceIOError,
    DeviceNotBlank,
    DeviceTooSmall,
    DeviceUnavailable,
    HeaderRefused,
    InvalidRequest,
    InvalidVolumeId,
    StateForbids,
    UnknownVolume,
    VolumeBusy,
)
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import layout
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.sizes import GIB, KIB, MIB, TIB
from cloudcrypt.stage import LargeVolumeWarning
from cloudcrypt.stage.blank import EDGE, PROBE_SIZE, PROBES, READ_ALL, require_blank
from cloudcrypt.stage.limits import check_capacity
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, RecordingDisk, at
from tests.unit.nodes import CONTENT, SIZE, VOLUME, Node, write_bytes

# --- registering ---


def test_a_registered_volume_is_new(node: Node) -> None:
    expected = Record(VOLUME, State.NEW, Mode.CRYPT, KeyPolicy.BOUND, SIZE)
    assert expected == node.stage.register_new(VOLUME, capacity=SIZE)
    assert expected == node.ledger.get(VOLUME)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("policy", KeyPolicy)
def test_mode_and_policy_are_recorded(node: Node, mode: Mode, policy: KeyPolicy) -> None:
    record = node.stage.register_new(VOLUME, capacity=SIZE, mode=mode, policy=policy)
    assert (mode, policy) == (record.mode, record.policy)


def test_registering_twice_is_registering_once(node: Node) -> None:
    first = node.stage.register_new(VOLUME, capacity=SIZE)
    assert first == node.stage.register_new(VOLUME, capacity=SIZE)


def test_registering_never_makes_a_formatted_volume_new(node: Node) -> None:
    node.formatted()
    record = node.record()
    assert (State.READY, record) == (record.state, node.stage.register_new(VOLUME, capacity=SIZE))


def test_registering_keeps_the_record_of_a_volume_that_has_grown(node: Node) -> None:
    node.formatted()
    grown = node.stage.grow(node.resize(VOLUME, SIZE + MIB))
    assert grown == node.stage.register_new(VOLUME, capacity=SIZE)


def test_registering_keeps_the_record_of_a_new_volume_that_is_held(node: Node) -> None:
    record = node.stage.register_new(VOLUME, capacity=SIZE)
    held = node.ledger.replace(record, attrs.evolve(record, holder=node.holder))
    assert held == node.stage.register_new(VOLUME, capacity=SIZE)


CONFLICTS = {
    "mode": (Mode.INTEGRITY, KeyPolicy.BOUND, SIZE),
    "policy": (Mode.CRYPT, KeyPolicy.CONSTELLATION, SIZE),
    "capacity": (Mode.CRYPT, KeyPolicy.BOUND, SIZE + 4096),
}


@pytest.mark.parametrize("formatted", [False, True])
@pytest.mark.parametrize("what", CONFLICTS)
def test_registering_with_other_facts_is_refused(node: Node, what: str, *, formatted: bool) -> None:
    device = node.blank()
    if formatted:
        node.stage.format(device)
    record = node.record()
    mode, policy, capacity = CONFLICTS[what]
    with pytest.raises(AlreadyRegistered) as refusal:
        node.stage.register_new(VOLUME, capacity=capacity, mode=mode, policy=policy)
    assert (VOLUME, (what,)) == (refusal.value.volume_id, refusal.value.fields)
    assert record == node.record()


def test_a_new_volume_is_not_registered_smaller(node: Node) -> None:
    node.blank()
    with pytest.raises(AlreadyRegistered):
        node.stage.register_new(VOLUME, capacity=SIZE - 4096)


def test_what_is_not_a_volume_id_is_not_registered(node: Node) -> None:
    with pytest.raises(InvalidVolumeId):
        node.stage.register_new("a volume", capacity=SIZE)
    assert [] == list(node.ledger.records())


@pytest.mark.parametrize(
    "capacity", [-1, 0, layout.DEVICE_MIN - 1, 256 * TIB + layout.DATA_OFFSET + 4096]
)
def test_a_capacity_that_no_volume_can_have_is_refused(node: Node, capacity: int) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        node.stage.register_new(VOLUME, capacity=capacity)
    assert ("capacity", capacity) == (refusal.value.parameter, refusal.value.value)
    assert [] == list(node.ledger.records())


@pytest.mark.parametrize("capacity", [layout.DEVICE_MIN, TIB + layout.DATA_OFFSET + 4095])
def test_a_usual_capacity_is_taken_without_a_warning(node: Node, capacity: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert capacity == node.stage.register_new(VOLUME, capacity=capacity).capacity


@pytest.mark.parametrize(
    "payload", [pytest.param(TIB + 4096, id="1TiB+4KiB"), pytest.param(256 * TIB, id="256TiB")]
)
def test_more_than_one_tib_under_one_key_is_warned_of(node: Node, payload: int) -> None:
    capacity = layout.DATA_OFFSET + payload
    with pytest.warns(LargeVolumeWarning, match="IEEE 1619 recommends at most 1 TiB"):
        record = node.stage.register_new(VOLUME, capacity=capacity)
    assert capacity == record.capacity


def test_capacities_are_checked_in_bytes_of_payload() -> None:
    with pytest.warns(LargeVolumeWarning):
        check_capacity(256 * TIB + layout.DATA_OFFSET + 4095, Mode.CRYPT)


INTEGRITY_MIN = layout.DATA_OFFSET + 4 * KIB + 132 * KIB + 128 * KIB + 4 * KIB
"""Header, superblock, one section of journal, the tags of one run, one sector."""


@pytest.mark.parametrize("policy", KeyPolicy)
def test_the_least_capacity_with_integrity_has_room_for_all_that_comes_before_a_sector(
    node: Node, policy: KeyPolicy
) -> None:
    check_capacity(INTEGRITY_MIN, Mode.INTEGRITY)
    with pytest.raises(InvalidRequest) as refusal:
        check_capacity(INTEGRITY_MIN - 1, Mode.INTEGRITY)
    assert ("capacity", INTEGRITY_MIN - 1) == (refusal.value.parameter, refusal.value.value)
    device = node.blank(size=INTEGRITY_MIN, mode=Mode.INTEGRITY, policy=policy)
    assert node.stage.format(device).state is State.READY
    assert node.stage.open(device, policy=policy).size == 4096


def test_the_limit_of_a_capacity_with_integrity_is_of_payload_too() -> None:
    with pytest.warns(LargeVolumeWarning):
        check_capacity(256 * TIB + layout.DATA_OFFSET + 4096, Mode.INTEGRITY)
    with pytest.raises(InvalidRequest):
        check_capacity(259 * TIB, Mode.INTEGRITY)


# --- formatting ---


@pytest.mark.parametrize("policy", KeyPolicy)
def test_a_formatted_volume_is_ready_and_opens(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    record = node.record()
    assert (State.READY, 1, None) == (record.state, record.generation, record.holder)
    assert record.uuid is not None
    assert CONTENT == node.content(device, policy=policy)


def test_formatting_returns_what_is_recorded(node: Node) -> None:
    record = node.stage.format(node.blank())
    assert record == node.record()


def test_a_formatted_volume_is_not_formatted_again(node: Node) -> None:
    device = node.formatted()
    before = device.path.read_bytes()
    assert node.record() == node.stage.format(device)
    assert before == device.path.read_bytes()


def test_a_format_that_was_cut_short_is_done_again(node: Node) -> None:
    device = node.blank()
    uuid = "11111111-2222-4333-8444-555555555555"
    begun = attrs.evolve(node.record(), state=State.FORMATTING, uuid=uuid)
    node.ledger.replace(node.record(), begun)
    write_bytes(device, 0, b"LUKS\xba\xbe and then the power went")
    record = node.stage.format(device)
    assert (State.READY, uuid) == (record.state, record.uuid)
    assert node.stage.open(device).size == SIZE - layout.DATA_OFFSET


def test_a_format_is_not_done_again_over_a_payload(node: Node) -> None:
    device = node.blank()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=State.FORMATTING))
    write_bytes(device, layout.DATA_OFFSET, b"x")
    with pytest.raises(DeviceNotBlank):
        node.stage.format(device)


def test_an_unknown_volume_is_not_new(node: Node) -> None:
    device = node.resize(VOLUME, SIZE)
    with pytest.raises(UnknownVolume) as refusal:
        node.stage.format(device)
    assert refusal.value.volume_id == VOLUME
    assert bytes(SIZE) == device.path.read_bytes()
    assert node.ledger.get(VOLUME) is None


ANYWHERE = {
    "the first byte": 0,
    "a filesystem's superblock": 1024,
    "the end of the first MiB": MIB - 1,
    "the middle of the header": 8 * MIB,
    "the payload": layout.DATA_OFFSET,
    "the middle": SIZE - 100 * KIB,
    "the last byte": SIZE - 1,
}


@pytest.mark.parametrize("where", ANYWHERE)
def test_a_device_that_holds_anything_is_not_formatted(node: Node, where: str) -> None:
    device = node.blank()
    write_bytes(device, ANYWHERE[where], b"\x01")
    before = device.path.read_bytes()
    with pytest.raises(DeviceNotBlank) as refusal:
        node.stage.format(device)
    found = range(refusal.value.offset, refusal.value.offset + MIB)
    assert ANYWHERE[where] in found
    assert before == device.path.read_bytes()
    record = node.record()
    assert (State.NEW, None) == (record.state, record.holder)


def test_zeros_that_were_written_are_blank(node: Node) -> None:
    device = node.blank()
    write_bytes(device, 0, bytes(SIZE))
    assert node.stage.format(device).state is State.READY


def test_a_device_smaller_than_registered_is_not_formatted(node: Node) -> None:
    node.blank(size=SIZE + 4096)
    with pytest.raises(DeviceTooSmall) as refusal:
        node.stage.format(node.resize(VOLUME, SIZE))
    assert (SIZE, SIZE + 4096) == (refusal.value.size, refusal.value.needed)


def test_a_device_too_small_for_a_header_is_not_formatted(node: Node) -> None:
    node.blank()
    with pytest.raises(DeviceTooSmall) as refusal:
        node.stage.format(node.resize(VOLUME, layout.DATA_OFFSET))
    assert layout.DEVICE_MIN == refusal.value.needed


def test_a_larger_device_is_used_as_far_as_registered(node: Node) -> None:
    node.blank()
    device = node.resize(VOLUME, SIZE + MIB)
    node.stage.format(device)
    assert node.stage.open(device).size == SIZE - layout.DATA_OFFSET


def test_a_device_that_is_not_there_is_not_formatted(node: Node) -> None:
    device = node.blank()
    device.path.unlink()
    with pytest.raises(DeviceUnavailable):
        node.stage.format(device)
    assert (State.NEW, None) == (node.record().state, node.record().holder)


def test_a_device_in_use_is_not_formatted(node: Node) -> None:
    device = node.blank()
    with FileDisk(device.path), pytest.raises(DeviceBusy):
        node.stage.format(device)
    assert node.stage.format(device).state is State.READY


def test_a_volume_that_another_node_holds_is_not_formatted(node: Node) -> None:
    device = node.blank()
    other = node.again(name="node-2")
    node.ledger.replace(node.record(), attrs.evolve(node.record(), holder=node.holder))
    with pytest.raises(VolumeBusy) as refusal:
        other.stage.format(device)
    assert refusal.value.holder == "node-1"
    assert bytes(SIZE) == device.path.read_bytes()


IN_TRANSITION = [State.ROTATING, State.REBINDING, State.RESTORING, State.GROWING]


@pytest.mark.parametrize("state", IN_TRANSITION)
def test_a_volume_in_transition_is_not_formatted(node: Node, state: State) -> None:
    device = node.formatted()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    with pytest.raises(StateForbids) as refusal:
        node.stage.format(device)
    assert (state.value, "format") == (refusal.value.state, refusal.value.operation)


# Rows 45 and 46 of the attacks: a formatted volume that was zeroed or scrambled is never new.
@pytest.mark.parametrize("content", [bytes(SIZE), b"\xa5" * SIZE], ids=["zeros", "garbage"])
@pytest.mark.parametrize("policy", KeyPolicy)
def test_a_wiped_volume_is_refused_and_not_formatted(
    node: Node, policy: KeyPolicy, content: bytes
) -> None:
    device = node.formatted(policy=policy)
    record = node.record()
    write_bytes(device, 0, content)
    with pytest.raises(HeaderRefused):
        node.stage.format(device)
    with pytest.raises(HeaderRefused):
        node.stage.open(device, policy=policy)
    assert content == device.path.read_bytes()
    assert record == node.record()


# --- what is blank, on a device that cannot tell where it holds something ---


class Opaque(MemoryDisk):
    """A block device: it yields the whole range."""

    @property
    def knows_holes(self) -> bool:
        return False

    def extents(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        yield start, end


def test_a_small_device_is_read_whole() -> None:
    disk = Opaque(READ_ALL)
    require_blank(disk)
    disk.write(READ_ALL - 77 * MIB + 12345, b"\1")
    with pytest.raises(DeviceNotBlank) as refusal:
        require_blank(disk)
    assert READ_ALL - 77 * MIB == refusal.value.offset


LARGE = 8 * GIB + 12 * KIB
HEAD = layout.DATA_OFFSET + EDGE
STRIDE = (LARGE - EDGE - HEAD) // PROBES


@pytest.mark.parametrize(
    "offset",
    [
        0,
        layout.DATA_OFFSET - 1,
        layout.DATA_OFFSET,
        HEAD - 1,
        *(HEAD + STRIDE * probe for probe in (0, 1, 31, PROBES - 1)),
        HEAD + STRIDE * 7 + PROBE_SIZE - 1,
        LARGE - EDGE,
        LARGE - 33 * 512,
        LARGE - 1,
    ],
)
def test_a_large_device_is_looked_at_where_signatures_are(offset: int) -> None:
    disk = Opaque(LARGE)
    disk.write(offset, b"\1")
    with pytest.raises(DeviceNotBlank):
        require_blank(disk)


def test_a_large_device_is_not_read_whole() -> None:
    disk = RecordingDisk(Opaque(LARGE))
    require_blank(disk)
    lengths = [operation.length for operation in disk.operations]
    assert PROBES == lengths.count(PROBE_SIZE)
    assert sum(lengths) == layout.DATA_OFFSET + 2 * EDGE + PROBES * PROBE_SIZE


def test_the_header_of_a_format_that_is_done_again_is_not_looked_at() -> None:
    for disk in (Opaque(LARGE), Opaque(READ_ALL), MemoryDisk(LARGE)):
        disk.write(layout.DATA_OFFSET - 1, b"\1")
        require_blank(disk, start=layout.DATA_OFFSET)
        disk.write(layout.DATA_OFFSET, b"\1")
        with pytest.raises(DeviceNotBlank):
            require_blank(disk, start=layout.DATA_OFFSET)


def test_a_device_of_many_tib_takes_no_longer() -> None:
    require_blank(Opaque(200 * TIB))
    require_blank(MemoryDisk(200 * TIB))


def test_what_cannot_be_read_is_not_blank() -> None:
    for disk in (MemoryDisk(LARGE), Opaque(LARGE)):
        disk.write(5 * MIB, b"\0")
        with pytest.raises(DeviceIOError):
            require_blank(FailingDisk(disk, at("read", 5 * MIB)))
