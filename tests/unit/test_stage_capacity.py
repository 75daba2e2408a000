"""Capacity: a volume never shrinks, and uses what was added only when told to."""

import attrs
import pytest

from cloudcrypt.errors import (
    CapacityRefused,
    DeviceIOError,
    InvalidRequest,
    StateForbids,
    UnknownVolume,
    VolumeBusy,
)
from cloudcrypt.ledger import Ledger, State
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import Reopen, UserspaceMapper
from cloudcrypt.model import KeyPolicy
from cloudcrypt.sizes import KIB, MIB, TIB
from cloudcrypt.stage import LargeVolumeWarning, Stage
from tests.unit.nodes import CONTENT, OTHER, PROFILES, SIZE, VOLUME, Node, key_service

PAYLOAD = SIZE - layout.DATA_OFFSET
LARGER = SIZE + MIB


@pytest.mark.parametrize("policy", KeyPolicy)
def test_what_was_added_stays_unused_until_grown(node: Node, policy: KeyPolicy) -> None:
    node.formatted(policy=policy)
    device = node.resize(VOLUME, LARGER)
    assert node.stage.open(device, policy=policy).size == PAYLOAD
    node.stage.close(VOLUME)
    assert node.stage.grow(device).capacity == LARGER
    assert node.stage.open(device, policy=policy).size == PAYLOAD + MIB
    node.stage.close(VOLUME)
    assert CONTENT == node.content(device, policy=policy)


def test_a_volume_grows_while_it_is_open(node: Node) -> None:
    mapping = node.stage.open(node.formatted())
    with mapping.open() as before:
        device = node.resize(VOLUME, LARGER)
        assert node.stage.grow(device).capacity == LARGER
        assert (PAYLOAD, PAYLOAD + MIB) == (before.size, mapping.size)
        with mapping.open() as after:
            after.pwrite(mapping.size - 5, b"hello")
    assert node.record().holder == node.holder
    node.stage.close(VOLUME)
    with node.stage.open(device).open() as payload:
        assert payload.pread(PAYLOAD + MIB - 5, 10) == b"hello"


def test_growing_twice_is_growing_once(node: Node) -> None:
    node.formatted()
    device = node.resize(VOLUME, LARGER)
    assert node.stage.grow(device) == node.stage.grow(device)
    assert node.record().holder is None


def test_growing_a_device_of_the_same_size_changes_nothing(node: Node) -> None:
    device = node.formatted()
    record = node.record()
    assert record == node.stage.grow(device)


def test_a_mapping_that_was_not_told_is_told_when_asked_again(node: Node) -> None:
    mapping = node.stage.open(node.formatted())
    device = node.resize(VOLUME, LARGER)
    record = node.record()  # what a process that was cut before it told the mapping leaves
    node.ledger.replace(record, attrs.evolve(record, capacity=LARGER))
    assert mapping.size == PAYLOAD
    node.stage.grow(device)
    assert mapping.size == PAYLOAD + MIB


def test_a_size_that_is_no_whole_sector_is_used_up_to_the_last_one(node: Node) -> None:
    node.formatted()
    device = node.resize(VOLUME, SIZE + 4095)
    assert node.stage.grow(device).capacity == SIZE + 4095
    assert node.stage.open(device).size == PAYLOAD


def test_a_smaller_device_does_not_grow(node: Node) -> None:
    node.formatted()
    with pytest.raises(CapacityRefused) as refusal:
        node.stage.grow(node.resize(VOLUME, SIZE - 4096))
    assert {"device size": SIZE - 4096} == refusal.value.found
    assert node.record().capacity == SIZE


def test_an_unknown_volume_does_not_grow(node: Node) -> None:
    with pytest.raises(UnknownVolume):
        node.stage.grow(node.resize(OTHER, LARGER))
    assert node.ledger.get(OTHER) is None


@pytest.mark.parametrize(
    "state", [state for state in State if state not in (State.READY, State.GROWING)]
)
def test_a_volume_that_is_not_ready_does_not_grow(node: Node, state: State) -> None:
    node.formatted()
    record = node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    with pytest.raises(StateForbids):
        node.stage.grow(node.resize(VOLUME, LARGER))
    assert record == node.record()


def test_a_volume_that_another_node_holds_does_not_grow(node: Node) -> None:
    node.stage.open(node.formatted())
    with pytest.raises(VolumeBusy):
        node.again(name="node-2").stage.grow(node.resize(VOLUME, LARGER))
    assert node.record().capacity == SIZE


def test_growing_beyond_one_tib_is_warned_of(node: Node) -> None:
    node.formatted()
    device = node.resize(VOLUME, layout.DATA_OFFSET + TIB + 4096)
    with pytest.warns(LargeVolumeWarning):
        assert node.stage.grow(device).capacity == device.size


def test_growing_beyond_256_tib_is_refused(node: Node) -> None:
    device = attrs.evolve(node.formatted(), size=layout.DATA_OFFSET + 256 * TIB + 4096)
    with pytest.raises(InvalidRequest):
        node.stage.grow(device)
    assert node.record().capacity == SIZE


def test_the_last_byte_of_the_payload_is_the_last_that_is_written(node: Node) -> None:
    node.formatted()
    node.resize(VOLUME, LARGER)
    mapping = node.stage.open(node.device())
    with mapping.open() as payload:
        payload.pwrite(PAYLOAD - KIB, bytes(KIB))
        with pytest.raises(InvalidRequest):
            payload.pwrite(PAYLOAD - KIB + 1, bytes(KIB))
    node.stage.close(VOLUME)
    assert bytes(MIB) == node.path(VOLUME).read_bytes()[SIZE:]


def test_a_device_that_shrinks_while_it_is_open_fails_to_be_read(node: Node) -> None:
    mapping = node.stage.open(node.formatted())
    node.resize(VOLUME, SIZE - 4096)
    with mapping.open() as payload, pytest.raises(DeviceIOError):
        payload.pread(PAYLOAD - 4096, 4096)


class ForgettingMapper(UserspaceMapper):
    """A mapper during whose work somebody removes the volume from the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    def resize(self, volume_id: str, capacity: int, reopen: Reopen | None = None) -> None:
        super().resize(volume_id, capacity, reopen)
        self.ledger.forget(volume_id)


def test_a_volume_that_is_forgotten_meanwhile_is_unknown(node: Node) -> None:
    device = node.formatted()
    stage = Stage(node.ledger, key_service(), ForgettingMapper(node.ledger), profiles=PROFILES)
    with pytest.raises(UnknownVolume):
        stage.grow(device)
