"""One call, one open disk: created, attached, formatted if it is new, and the same ever after."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import (
    AlreadyRegistered,
    DeviceNotBlank,
    OperationCancelled,
    RequestConflict,
    UnknownVolume,
    VolumeLost,
)
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.ledger import Record, SqliteLedger
from cloudcrypt.ledger import State as Recorded
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import Mode
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import (
    CreateVolume,
    FromSnapshot,
    FromVolume,
    Handle,
    Intent,
    T,
    perform,
)
from cloudcrypt.stage import Adopt
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_local import LocalProvider
from tests.unit.nodes import CONTENT, SIZE
from tests.unit.vms import HERE, REQUEST, Vm, vm_in


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    with vm_in(tmp_path) as vm:
        yield vm


# --- one volume ---


def test_a_volume_is_made_formatted_and_read_back(vm: Vm) -> None:
    vm.write()
    assert vm.content() == CONTENT
    assert (vm.volume().holders, len(list(vm.provider.list()))) == ((), 1)
    record = vm.record()
    assert record is not None
    assert (record.state, record.mode, record.holder) == (Recorded.READY, Mode.CRYPT, None)
    assert CONTENT[:64] not in vm.image().read_bytes()


def test_a_second_run_formats_nothing(vm: Vm) -> None:
    vm.write()
    before = vm.record()
    vm.write()
    assert vm.record() == before


def test_integrity_is_a_mode(vm: Vm) -> None:
    vm.write(mode=Mode.INTEGRITY)
    assert vm.content(mode=Mode.INTEGRITY) == CONTENT
    record = vm.record()
    assert record is not None
    assert record.mode is Mode.INTEGRITY


def test_a_volume_of_the_other_mode_is_refused(vm: Vm) -> None:
    vm.write()
    with pytest.raises(AlreadyRegistered) as caught:
        vm.content(mode=Mode.INTEGRITY)
    assert caught.value.fields == ("mode",)


def test_a_volume_that_differs_is_refused(vm: Vm) -> None:
    vm.write()
    with pytest.raises(RequestConflict):
        vm.content(attrs.evolve(REQUEST, size=SIZE + MIB))


def test_a_volume_stays_attached_if_the_caller_wants(vm: Vm) -> None:
    vm.write(detach=False)
    assert vm.volume().holders == (HERE,)
    assert vm.content() == CONTENT
    assert vm.volume().holders == ()


def test_after_the_block_nothing_is_mapped_or_open(vm: Vm) -> None:
    mapper = UserspaceMapper()
    with vm.opened(mapper=mapper) as disk:
        assert mapper.get(vm.volume().id) is not None
    assert mapper.get(vm.volume().id) is None
    assert disk.closed


def test_what_fails_in_the_block_is_raised_after_closing_and_detaching(vm: Vm) -> None:
    def fail() -> None:
        with vm.opened() as disk:
            disk.write(CONTENT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert vm.volume().holders == ()
    assert vm.content() == CONTENT


def test_a_journal_is_not_needed_until_something_crashes(vm: Vm) -> None:
    vm.write(journal=None)
    assert vm.content(journal=None) == CONTENT


def test_a_caller_can_cancel(vm: Vm) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(OperationCancelled):
        vm.write(deadline=Deadline.after(60, cancellation=cancellation))
    assert list(vm.provider.list()) == []


# --- unknown is not new ---


def test_a_volume_that_others_made_is_not_formatted(vm: Vm) -> None:
    perform(vm.provider, CreateVolume("t", "data", SIZE))
    for _ in range(2):  # asking again proves nothing
        with pytest.raises(UnknownVolume):
            vm.write()
    assert not any(vm.image().read_bytes())
    assert vm.record() is None


def test_a_volume_that_was_made_under_another_journal_is_not_formatted(vm: Vm) -> None:
    with closing(SqliteJournal.in_memory()) as other:
        Provisioner(vm.provider, other).ensure_volume(REQUEST)
    with pytest.raises(UnknownVolume):
        vm.write()


def test_a_volume_that_another_host_has_written_to_meanwhile_is_not_formatted(
    vm: Vm, tmp_path: Path
) -> None:
    class Dying(LocalProvider):
        def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
            raise KeyboardInterrupt(intent, deadline)

    with pytest.raises(KeyboardInterrupt):  # when its intent is stored, and nobody has asked yet
        Provisioner(Dying(tmp_path / "store"), vm.journal).ensure_volume(REQUEST)
    with vm_in(tmp_path / "other") as other:
        other.provider = LocalProvider(tmp_path / "store")
        other.write()
        with pytest.raises(UnknownVolume):
            vm.write()
        assert vm.record() is None
        assert other.content() == CONTENT


def test_without_a_journal_a_crash_after_creation_leaves_an_unknown_volume(vm: Vm) -> None:
    with closing(SqliteJournal.in_memory()) as lost:
        Provisioner(vm.provider, lost).ensure_volume(REQUEST)
    with pytest.raises(UnknownVolume):
        vm.write(journal=None)


def test_the_proof_of_being_new_is_good_for_once(vm: Vm) -> None:
    vm.write()
    vm.lose_ledger()
    vm.image().write_bytes(bytes(SIZE))  # whoever has the storage shows an empty disk
    with pytest.raises(UnknownVolume):
        vm.write()
    assert not any(vm.image().read_bytes())


def test_a_volume_that_the_ledger_lost_opens_if_the_caller_trusts_it(vm: Vm) -> None:
    vm.write()
    vm.lose_ledger()
    with pytest.raises(UnknownVolume):
        vm.content()
    assert vm.content(trust=Adopt(Mode.CRYPT)) == CONTENT
    assert vm.content() == CONTENT


def test_who_trusts_what_is_unknown_may_still_make_new_volumes(vm: Vm) -> None:
    vm.write(trust=Adopt(Mode.CRYPT))
    assert vm.content(trust=Adopt(Mode.CRYPT)) == CONTENT


def test_a_new_volume_that_is_not_empty_is_not_formatted(vm: Vm) -> None:
    vm.provisioner.ensure_volume(REQUEST)
    with vm.image().open("r+b") as file:
        file.write(b"somebody was here")
    with pytest.raises(DeviceNotBlank):
        vm.write()
    assert vm.image().read_bytes().startswith(b"somebody was here")


def test_a_volume_that_was_prepared_by_the_same_journal_is_formatted(vm: Vm) -> None:
    vm.provisioner.ensure_volume(REQUEST)
    vm.write()
    assert vm.content() == CONTENT


# --- gone is not new ---


def delete(vm: Vm) -> None:
    """Let somebody else delete the volume."""
    with closing(SqliteJournal.in_memory()) as other:
        Provisioner(vm.provider, other).ensure_gone(vm.volume().id)


def test_an_empty_volume_does_not_pass_for_one_that_is_lost(vm: Vm) -> None:
    vm.write()
    lost = vm.volume().id
    delete(vm)
    for _ in range(2):
        with pytest.raises(VolumeLost) as caught:
            vm.write()
        assert (caught.value.volume_id, caught.value.name) == (lost, "data")
    assert list(vm.provider.list()) == []
    vm.ledger.forget(lost)
    vm.write()
    assert vm.content() == CONTENT


def test_another_volume_of_its_name_does_not_pass_for_it_either(vm: Vm) -> None:
    vm.write()
    delete(vm)
    perform(vm.provider, CreateVolume("t", "data", SIZE))
    with pytest.raises(VolumeLost):
        vm.write()


def test_a_volume_that_was_deleted_through_the_journal_is_made_anew(vm: Vm) -> None:
    vm.write()
    vm.provisioner.ensure_gone(vm.volume().id)
    assert vm.content() != CONTENT


def test_so_it_is_when_the_journal_has_been_pruned_since(vm: Vm) -> None:
    for _ in range(3):
        vm.write()
        vm.provisioner.ensure_gone(vm.volume().id)
    assert vm.journal.prune(datetime.now(UTC) + timedelta(days=40)) > 0
    vm.write()
    assert vm.content() == CONTENT


def test_a_volume_that_was_lost_before_it_was_used_is_made_anew(vm: Vm) -> None:
    vm.provisioner.ensure_volume(REQUEST)
    delete(vm)
    vm.write()
    assert vm.content() == CONTENT


# --- copies ---


@pytest.fixture
def copy(vm: Vm) -> VolumeRequest:
    vm.write()
    snapshot = vm.provisioner.ensure_snapshot(vm.volume().id, "backup", 1)
    return VolumeRequest("copy", SIZE, FromSnapshot(snapshot.id))


def test_a_copy_gets_its_own_identity_and_has_the_content(vm: Vm, copy: VolumeRequest) -> None:
    assert vm.content(copy) == CONTENT
    assert vm.content(copy) == CONTENT
    first, second = vm.record("data"), vm.record("copy")
    assert first is not None
    assert second is not None
    assert first.uuid != second.uuid


def test_a_clone_is_a_copy_too(vm: Vm) -> None:
    vm.write(mode=Mode.INTEGRITY)
    clone = VolumeRequest("clone", SIZE, FromVolume(vm.volume().id, 1))
    assert vm.content(clone, mode=Mode.INTEGRITY) == CONTENT


def test_a_copy_has_the_mode_of_its_origin(vm: Vm, copy: VolumeRequest) -> None:
    with pytest.raises(AlreadyRegistered):
        vm.content(copy, mode=Mode.INTEGRITY)


def test_a_copy_of_a_volume_that_the_ledger_does_not_know_is_refused(
    vm: Vm, copy: VolumeRequest
) -> None:
    vm.lose_ledger()
    with pytest.raises(UnknownVolume):
        vm.content(copy)


def test_a_copy_that_has_its_identity_opens_by_trust(vm: Vm, copy: VolumeRequest) -> None:
    vm.content(copy)
    vm.lose_ledger()
    assert vm.content(copy, trust=Adopt(Mode.CRYPT)) == CONTENT


def test_a_copy_whose_new_identity_was_half_written_is_finished(
    vm: Vm, copy: VolumeRequest
) -> None:
    class Dying(SqliteLedger):
        def replace(self, old: Record, new: Record) -> Record:
            if old.state is Recorded.REBINDING and new.state is Recorded.READY:
                raise KeyboardInterrupt
            return super().replace(old, new)

    with closing(Dying(vm.folder / "ledger")) as dying, pytest.raises(KeyboardInterrupt):
        vm.content(copy, ledger=dying)
    record = vm.record("copy")
    assert record is not None
    assert record.state is Recorded.REBINDING
    assert vm.content(copy) == CONTENT
