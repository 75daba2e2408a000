"""Opening, checking and closing: who may, on what grounds, and what is left behind."""

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk, HostDisk
from cloudcrypt.errors import (
    DeviceBusy,
    DeviceIOError,
    DeviceMismatch,
    DeviceUnavailable,
    ExpectationConflict,
    HeaderRefused,
    StateForbids,
    UnknownVolume,
    VolumeBusy,
)
from cloudcrypt.ledger import Holder, State, Unrecorded
from cloudcrypt.luks2 import UnlockedVolume
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import Expectation, KeyPolicy, Mode
from cloudcrypt.stage import Adopt, Stage, Trust
from tests.unit.nodes import (
    CONTENT,
    OTHER,
    OTHER_UUID,
    PROFILES,
    SIZE,
    VOLUME,
    Node,
    empty_folder,
    key_service,
)

# --- opening and closing ---


@pytest.mark.parametrize("policy", KeyPolicy)
def test_what_was_written_is_read_after_closing(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    assert CONTENT == node.content(device, policy=policy)
    assert CONTENT not in device.path.read_bytes()


def test_an_open_volume_is_held_until_it_is_closed(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device)
    assert node.record().holder == node.holder
    node.stage.close(VOLUME)
    assert node.record().holder is None
    assert node.mapper.get(VOLUME) is None


def test_opening_twice_returns_the_same_mapping(node: Node) -> None:
    device = node.formatted()
    mapping = node.stage.open(device)
    assert mapping is node.stage.open(device)
    assert mapping is node.stage.open(device, writable=False)


def test_closing_twice_is_closing_once(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device)
    node.stage.close(VOLUME)
    node.stage.close(VOLUME)
    assert CONTENT == node.content(device)


def test_closing_an_unknown_volume_does_nothing(node: Node) -> None:
    node.stage.close(VOLUME)
    assert node.ledger.get(VOLUME) is None


def test_a_volume_opened_for_reading_is_not_written(node: Node) -> None:
    device = node.formatted()
    before = device.path.read_bytes()
    with node.stage.open(device, writable=False).open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
        with pytest.raises(OSError, match="not writable"):
            payload.write(b"x")
    node.stage.close(VOLUME)
    assert before == device.path.read_bytes()


def test_a_volume_open_for_reading_is_not_reopened_for_writing(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device, writable=False)
    with pytest.raises(StateForbids) as refusal:
        node.stage.open(device)
    assert refusal.value.state == "open for reading"


def test_an_open_volume_is_not_returned_for_another_device(node: Node) -> None:
    mapping = node.stage.open(node.formatted())
    impostor = attrs.evolve(node.device(), path=node.blank(OTHER).path)
    with pytest.raises(DeviceMismatch) as refusal:
        node.stage.open(impostor)
    assert mapping.device_identity == refusal.value.expected


def test_an_open_volume_is_not_returned_for_a_device_that_is_gone(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device)
    device.path.unlink()
    with pytest.raises(DeviceUnavailable):
        node.stage.open(device)


class VanishingDisk(FileDisk):
    """A device that is pulled while it is open: nothing can be flushed."""

    def sync(self) -> None:
        raise DeviceIOError(self.name, "flush", 0, "no such device")


def test_a_flush_that_fails_is_reported_and_the_volume_released(node: Node) -> None:
    device = node.formatted()
    unlucky = node.again(open_disk=VanishingDisk)
    # Activating flushes as well, unless it is for reading.
    unlucky.stage.open(device, writable=False).writable = True
    with pytest.raises(DeviceIOError, match="no such device"):
        unlucky.stage.close(VOLUME)
    assert (None, None) == (unlucky.mapper.get(VOLUME), node.record().holder)


def test_a_hold_is_kept_while_another_reader_of_this_host_has_the_volume_open(node: Node) -> None:
    device = node.formatted()
    second = node.again(boot="boot-1")
    for reader in (node, second):
        reader.stage.open(device, writable=False)
    node.stage.close(VOLUME)
    assert second.holder == node.record().holder
    second.stage.close(VOLUME)
    assert node.record().holder is None


def test_closing_what_another_process_has_open_does_not_release_it(node: Node) -> None:
    node.stage.open(node.formatted())
    before = node.record()
    node.again(boot="boot-1").stage.close(VOLUME)
    assert before == node.record()


# --- what the ledger says ---


@pytest.mark.parametrize("policy", KeyPolicy)
def test_an_unknown_volume_is_not_opened(node: Node, policy: KeyPolicy, tmp_path: Path) -> None:
    device = node.formatted(policy=policy)
    stranger = node.again(base=empty_folder(tmp_path))
    for verb in (stranger.stage.open, stranger.stage.check, stranger.stage.backup_header):
        with pytest.raises(UnknownVolume) as refusal:
            verb(device, policy=policy)
        assert refusal.value.volume_id == VOLUME
    assert [] == list(stranger.ledger.records())


def test_a_new_volume_is_not_opened_and_not_formatted(node: Node) -> None:
    device = node.blank()
    with pytest.raises(StateForbids) as refusal:
        node.stage.open(device)
    assert ("new", "open") == (refusal.value.state, refusal.value.operation)
    assert bytes(SIZE) == device.path.read_bytes()
    assert (State.NEW, None) == (node.record().state, node.record().holder)


@pytest.mark.parametrize(
    "state", [State.NEW, State.FORMATTING, State.INITIALISING, State.REBINDING]
)
def test_an_unfinished_volume_is_not_opened(node: Node, state: State) -> None:
    device = node.formatted()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    for verb in (node.stage.open, node.stage.check):
        with pytest.raises(StateForbids):
            verb(device)


def test_a_restore_without_a_seal_that_was_cut_short_is_not_opened(node: Node) -> None:
    device = node.formatted(policy=KeyPolicy.CONSTELLATION)
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=State.RESTORING))
    with pytest.raises(StateForbids):
        node.stage.open(device, policy=KeyPolicy.CONSTELLATION)


@pytest.mark.parametrize(
    ("written", "asked"),
    [(KeyPolicy.BOUND, KeyPolicy.CONSTELLATION), (KeyPolicy.CONSTELLATION, KeyPolicy.BOUND)],
)
def test_another_policy_than_recorded_is_refused(
    node: Node, written: KeyPolicy, asked: KeyPolicy
) -> None:
    device = node.formatted(policy=written)
    with pytest.raises(ExpectationConflict) as refusal:
        node.stage.open(device, policy=asked)
    error = refusal.value
    assert (VOLUME, "policy") == (error.volume_id, error.field)
    assert (asked, written) == (error.expected, error.recorded)


CONFLICTS: dict[str, Trust] = {
    "mode": Expectation(Mode.INTEGRITY),
    "generation": Expectation(Mode.CRYPT, generation=2),
    "UUID": Expectation(Mode.CRYPT, uuid=OTHER_UUID),
    "capacity": Expectation(Mode.CRYPT, capacity=SIZE - 4096),
}


@pytest.mark.parametrize("field", CONFLICTS)
def test_an_expectation_that_contradicts_the_ledger_is_refused(node: Node, field: str) -> None:
    device = node.formatted()
    with pytest.raises(ExpectationConflict) as refusal:
        node.stage.open(device, trust=CONFLICTS[field])
    assert field == refusal.value.field
    assert node.record().holder is None


def test_adopting_in_another_mode_than_recorded_is_refused(node: Node) -> None:
    device = node.formatted()
    with pytest.raises(ExpectationConflict):
        node.stage.open(device, trust=Adopt(Mode.INTEGRITY))


def test_trust_that_agrees_with_the_ledger_changes_nothing(node: Node) -> None:
    device = node.formatted()
    record = node.record()
    agreeing = (
        Adopt(Mode.CRYPT),
        Expectation(Mode.CRYPT),
        Expectation(Mode.CRYPT, 1, record.uuid, SIZE),
    )
    for trust in agreeing:
        assert CONTENT == node.content(device, trust=trust)
    assert record == node.record()


# --- checking ---


@pytest.mark.parametrize("policy", KeyPolicy)
def test_checking_unlocks_and_changes_nothing(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    before, record = device.path.read_bytes(), node.record()
    with node.stage.check(device, policy=policy) as volume:
        assert record.uuid == volume.header.uuid
        assert len(volume.volume_key) == 64
    assert (before, record) == (device.path.read_bytes(), node.record())
    assert node.mapper.get(VOLUME) is None


def test_checking_with_trust_records_nothing(node: Node, tmp_path: Path) -> None:
    device = node.formatted()
    stranger = node.again(base=empty_folder(tmp_path))
    with stranger.stage.check(device, trust=Adopt(Mode.CRYPT)) as volume:
        assert volume.header.generation == 1
    assert [] == list(stranger.ledger.records())


# --- who holds it ---


def test_a_volume_that_another_node_holds_is_busy(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device, writable=False)
    other = node.again(name="node-2", boot="boot-1")
    with pytest.raises(VolumeBusy) as refusal:
        other.stage.open(device, writable=False)
    assert (VOLUME, "node-1") == (refusal.value.volume_id, refusal.value.holder)
    other.stage.close(VOLUME)
    assert node.record().holder == node.holder


def test_a_hold_of_an_earlier_boot_of_this_node_is_void(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device)
    node.mapper.deactivate(VOLUME)  # the power goes
    rebooted = node.again(boot="boot-2")
    assert CONTENT == rebooted.content(device)
    assert node.record().holder is None


def test_a_hold_of_this_boot_is_kept(node: Node) -> None:
    device = node.formatted()
    node.stage.open(device)
    node.mapper.deactivate(VOLUME)  # the process dies
    again = node.again(boot="boot-1")
    again.stage.rotate(device)
    assert node.record().holder == node.holder
    assert CONTENT == again.content(device)


def test_by_default_this_host_holds(node: Node) -> None:
    device = node.formatted()
    node.ledger.forget(VOLUME)
    stage = Stage(node.ledger, key_service(), UserspaceMapper())
    with pytest.raises(HeaderRefused):  # the profiles of this stage are not cheap
        stage.open(device, trust=Adopt(Mode.CRYPT))
    assert node.ledger.get(VOLUME) is None
    record = stage.register_new(OTHER, capacity=SIZE)
    stage.format(node.resize(OTHER, SIZE))
    stage.open(node.device(OTHER))
    assert Holder.this_host() == node.record(OTHER).holder
    stage.close(OTHER)
    found = node.record(OTHER)
    assert attrs.evolve(found, state=State.NEW, uuid=None, payload=Unrecorded()) == record


def test_a_device_that_is_open_elsewhere_on_this_host_is_busy(node: Node) -> None:
    device = node.formatted()
    with FileDisk(device.path, writable=True):
        for verb in (node.stage.open, node.stage.check, node.stage.rotate):
            with pytest.raises(DeviceBusy):
                verb(device)
    assert node.record().holder is None
    assert CONTENT == node.content(device)


HOLD = """
import sys
from cloudcrypt.disk import FileDisk
with FileDisk(sys.argv[1], writable=True):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_device_that_another_process_has_open_is_busy(node: Node) -> None:
    device = node.formatted()
    command = [sys.executable, "-c", HOLD, str(device.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(DeviceBusy):
            node.stage.open(device, writable=False)
        process.communicate()
    assert CONTENT == node.content(device)


# --- a failure leaves nothing mapped and nothing held ---


def test_a_failure_to_map_leaves_nothing_held(node: Node) -> None:
    device = node.formatted()
    busy = BusyMapper()
    stage = Stage(node.ledger, key_service(), busy, holder=node.holder, profiles=PROFILES)
    with pytest.raises(DeviceBusy):
        stage.open(device)
    assert node.record().holder is None
    node.ledger.forget(VOLUME)
    with pytest.raises(DeviceBusy):
        stage.open(device, trust=Adopt(Mode.CRYPT))
    assert node.ledger.get(VOLUME) is None  # it is recorded once it has opened
    node.stage.check(device, trust=Adopt(Mode.CRYPT)).volume_key.wipe()  # nor is it locked
    assert busy.keys == [bytes(64), bytes(64)]


class BusyMapper(UserspaceMapper):
    """A mapper that finds every volume mapped already."""

    def __init__(self) -> None:
        super().__init__()
        self._views: list[memoryview] = []

    @property
    def keys(self) -> list[bytes]:
        """The volume keys that were offered, as they are now."""
        return [bytes(view) for view in self._views]

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> UserspaceMapping:
        assert (volume_id, writable) == (VOLUME, True)
        self._views.append(volume.volume_key.reveal())
        raise DeviceBusy(disk.name)
