"""Rebinding: a copy gets an identity of its own, once it is known whose copy it is."""

import shutil

import attrs
import pytest

from cloudcrypt.disk import FileDisk, read
from cloudcrypt.errors import (
    CapacityRefused,
    DeviceBusy,
    HeaderRefused,
    IdentityRefused,
    InvalidRequest,
    SealRefused,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.ledger import Raw, Record, State
from cloudcrypt.model import BlockDevice, ClonedFrom, Expectation, KeyPolicy, Mode, RestoredFrom
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.sizes import MIB
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

ORIGIN = ClonedFrom(VOLUME)


def copied(node: Node, source: str = VOLUME, to: str = OTHER) -> BlockDevice:
    """Copy a volume as a cloud does, under another volume id."""
    shutil.copyfile(node.path(source), node.path(to))
    return node.device(to)


@pytest.mark.parametrize("origin", [ClonedFrom(VOLUME), RestoredFrom(VOLUME, 1)])
def test_a_copy_that_was_rebound_is_a_volume_of_its_own(
    node: Node, origin: ClonedFrom | RestoredFrom
) -> None:
    node.formatted()
    record = node.stage.rebind(copied(node), origin)
    uuid = record.uuid
    expected = Record(
        OTHER, State.READY, Mode.CRYPT, KeyPolicy.BOUND, SIZE, 1, uuid, origin, payload=Raw()
    )
    assert expected == record == node.record(OTHER)
    assert uuid not in (None, node.record().uuid)
    assert CONTENT == node.content(node.device(OTHER))


def test_the_origin_and_its_copy_are_open_at_the_same_time(node: Node) -> None:
    origin = node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    one, two = node.stage.open(origin), node.stage.open(copy)
    with one.open() as first, two.open() as second:
        first.write(b"origin")
        second.write(b"copied")
        assert (b"origin", b"copied") == (first.pread(0, 6), second.pread(0, 6))


def test_a_copy_is_not_opened_before_it_is_rebound(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    with pytest.raises(UnknownVolume):
        node.stage.open(copy)
    with pytest.raises(SealRefused):
        node.stage.open(copy, trust=Expectation(Mode.CRYPT))


def test_a_copy_that_was_rebound_is_refused_as_its_origin(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    with pytest.raises(IdentityRefused):
        node.stage.open(attrs.evolve(copy, volume_id=VOLUME))


def test_the_origin_is_refused_as_its_copy(node: Node) -> None:
    origin = node.formatted()
    node.stage.rebind(copied(node), ORIGIN)
    with pytest.raises(IdentityRefused):
        node.stage.open(attrs.evolve(origin, volume_id=OTHER))


def test_rebinding_twice_is_rebinding_once(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    first = node.stage.rebind(copy, ORIGIN)
    written = copy.path.read_bytes()
    assert first == node.stage.rebind(copy, ORIGIN)
    assert written == copy.path.read_bytes()


def test_a_copy_is_still_rebound_when_its_origin_is_forgotten(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    first = node.stage.rebind(copy, ORIGIN)
    node.ledger.forget(VOLUME)
    assert first == node.stage.rebind(copy, ORIGIN)


def test_the_keyslot_of_the_origin_is_erased_from_the_copy(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    sizes = LAYOUTS[Mode.CRYPT]
    with FileDisk(copy.path) as disk:
        assert bytes(sizes.area_size) == read(disk, sizes.area_offset, sizes.area_size)


def test_the_header_of_the_origin_is_refused_on_the_copy(node: Node) -> None:
    origin = node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    write_bytes(copy, 0, read_header(origin))
    with pytest.raises(IdentityRefused):
        node.stage.open(copy)


def test_a_copy_of_a_copy_is_rebound(node: Node) -> None:
    node.formatted()
    node.stage.rebind(copied(node), ORIGIN)
    third = copied(node, OTHER, "local/here/vol-c")
    node.stage.rebind(third, ClonedFrom(OTHER))
    assert CONTENT == node.content(third)


def test_a_copy_rotates_on_its_own(node: Node) -> None:
    origin = node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    assert node.stage.rotate(copy).generation == 2
    assert node.record().generation == 1
    assert CONTENT == node.content(copy)
    assert CONTENT == node.content(origin)


# --- which generation of the origin ---


def test_a_snapshot_from_before_a_rotation_is_rebound_by_its_generation(node: Node) -> None:
    device = node.formatted()
    snapshot = copied(node)
    node.stage.rotate(device)
    with pytest.raises(IdentityRefused):
        node.stage.rebind(snapshot, RestoredFrom(VOLUME))
    assert node.ledger.get(OTHER) is None
    record = node.stage.rebind(snapshot, RestoredFrom(VOLUME, 1))
    assert (1, RestoredFrom(VOLUME, 1)) == (record.generation, record.origin)
    assert CONTENT == node.content(snapshot)


def test_a_snapshot_of_a_rotated_volume_starts_at_generation_1(node: Node) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    snapshot = copied(node)
    assert node.stage.rebind(snapshot, RestoredFrom(VOLUME, 2)).generation == 1


# --- an origin that the ledger does not know ---


def test_an_expectation_stands_in_for_the_ledger(node: Node) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    uuid = node.record().uuid
    copy = copied(node)
    stranger = node.again(base=empty_folder(node.base))
    expectation = Expectation(Mode.CRYPT, 2, uuid, SIZE - 4096)
    record = stranger.stage.rebind(copy, RestoredFrom(VOLUME, 2), expectation=expectation)
    assert SIZE - 4096 == record.capacity
    assert stranger.ledger.get(VOLUME) is None
    assert CONTENT == stranger.content(copy)


def test_an_expectation_without_a_capacity_takes_the_size_of_the_device(node: Node) -> None:
    node.formatted()
    copied(node)
    larger = node.resize(OTHER, SIZE + MIB)
    stranger = node.again(base=empty_folder(node.base))
    record = stranger.stage.rebind(larger, ORIGIN, expectation=Expectation(Mode.CRYPT))
    assert SIZE + MIB == record.capacity


def test_an_unknown_origin_without_an_expectation_is_refused(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    stranger = node.again(base=empty_folder(node.base))
    with pytest.raises(UnknownVolume) as refusal:
        stranger.stage.rebind(copy, ORIGIN)
    assert refusal.value.volume_id == VOLUME
    assert [] == list(stranger.ledger.records())


def test_an_expectation_that_is_wrong_is_refused(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    for expectation in (
        Expectation(Mode.INTEGRITY),
        Expectation(Mode.CRYPT, 2),
        Expectation(Mode.CRYPT, uuid=OTHER_UUID),
        Expectation(Mode.CRYPT, capacity=SIZE + 4096),
    ):
        with pytest.raises(HeaderRefused):
            node.stage.rebind(copy, ORIGIN, expectation=expectation)
        assert node.ledger.get(OTHER) is None


# --- what is refused leaves nothing behind ---


def test_a_copy_of_another_volume_is_refused_and_may_be_tried_again(node: Node) -> None:
    node.formatted()
    node.formatted("local/here/vol-x")
    copy = copied(node)
    before = copy.path.read_bytes()
    with pytest.raises(HeaderRefused):
        node.stage.rebind(copy, ClonedFrom("local/here/vol-x"))
    assert (None, before) == (node.ledger.get(OTHER), copy.path.read_bytes())
    node.stage.rebind(copy, ORIGIN)
    assert CONTENT == node.content(copy)


def test_a_copy_from_before_its_origin_grew_is_as_large_as_its_device(node: Node) -> None:
    node.formatted()
    copied(node)
    node.stage.grow(node.resize(VOLUME, SIZE + MIB))
    assert node.stage.rebind(node.device(OTHER), ORIGIN).capacity == SIZE


def test_a_copy_that_is_smaller_than_the_caller_expects_is_refused(node: Node) -> None:
    node.formatted()
    copied(node)
    expectation = Expectation(Mode.CRYPT, 1, capacity=SIZE + 4096)
    with pytest.raises(CapacityRefused):
        node.stage.rebind(node.device(OTHER), ORIGIN, expectation=expectation)
    assert node.ledger.get(OTHER) is None


def test_a_volume_is_not_rebound_to_itself(node: Node) -> None:
    device = node.formatted()
    with pytest.raises(InvalidRequest):
        node.stage.rebind(device, ClonedFrom(VOLUME))


def test_asking_again_with_the_generation_named_is_the_same_origin(node: Node) -> None:
    node.formatted()
    copied(node)
    before = node.stage.rebind(node.device(OTHER), ORIGIN)
    again = attrs.evolve(ORIGIN, generation=1)
    assert before == node.stage.rebind(node.device(OTHER), again)


def test_a_larger_copy_is_used_as_far_as_its_origin_until_grown(node: Node) -> None:
    node.formatted()
    copied(node)
    larger = node.resize(OTHER, SIZE + MIB)
    assert node.stage.rebind(larger, ORIGIN).capacity == SIZE
    assert node.stage.grow(larger).capacity == SIZE + MIB


def test_a_constellation_volume_is_not_rebound(node: Node) -> None:
    node.formatted(policy=KeyPolicy.CONSTELLATION)
    copy = copied(node)
    before = copy.path.read_bytes()
    with pytest.raises(UnsupportedOperation):
        node.stage.rebind(copy, ORIGIN)
    with pytest.raises(HeaderRefused):
        node.stage.rebind(copy, ORIGIN, expectation=Expectation(Mode.CRYPT))
    assert (None, before) == (node.ledger.get(OTHER), copy.path.read_bytes())


def test_a_volume_in_use_for_something_else_is_not_rebound(node: Node) -> None:
    node.formatted()
    other = node.formatted(OTHER)
    record, before = node.record(OTHER), other.path.read_bytes()
    with pytest.raises(StateForbids):
        node.stage.rebind(other, ORIGIN)
    assert (record, before) == (node.record(OTHER), other.path.read_bytes())


def test_a_copy_is_not_rebound_to_two_origins(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    node.stage.rebind(copy, ORIGIN)
    with pytest.raises(StateForbids):
        node.stage.rebind(copy, RestoredFrom(VOLUME))


def test_a_wrong_master_secret_rebinds_nothing(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    with pytest.raises(SealRefused):
        node.again(keys=key_service(1)).stage.rebind(copy, ORIGIN)
    assert node.ledger.get(OTHER) is None


def test_a_copy_in_use_is_not_rebound(node: Node) -> None:
    node.formatted()
    copy = copied(node)
    with FileDisk(copy.path), pytest.raises(DeviceBusy):
        node.stage.rebind(copy, ORIGIN)
    assert node.ledger.get(OTHER) is None
