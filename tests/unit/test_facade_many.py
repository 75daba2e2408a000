"""Many encrypted volumes at once: bounded, reported, all closed, and no error hides others."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    DeviceIOError,
    InvalidRequest,
    NotFound,
    UnknownVolume,
)
from cloudcrypt.facade import encrypted_volumes
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.provisioning import Report, Step, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import CreateVolume, Handle, Intent, T, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_local import LocalProvider
from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.nodes import SIZE
from tests.unit.vms import HERE, Vm, requests, vm_in


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    with vm_in(tmp_path) as vm:
        yield vm


# --- many ---


def test_many_volumes_are_opened_and_one_that_fails_does_not_lose_the_others(vm: Vm) -> None:
    perform(vm.provider, CreateVolume("t", "b", SIZE))  # by somebody else
    reports: list[Report] = []
    with vm.all_opened(requests("a", "b", "c", "d"), progress=reports.append) as opened:
        assert list(opened.values) == ["a", "c", "d"]
        assert {name: type(error) for name, error in opened.errors.items()} == {"b": UnknownVolume}
        for name, disk in opened.values.items():
            disk.write(name.encode() * 100)
        assert {vm.volume(name).holders for name in "abcd"} == {(HERE,)}
    assert {vm.volume(name).holders for name in "acd"} == {()}
    assert {disk.closed for disk in opened.values.values()} == {True}
    assert dict(reports[-1].counts) == {Step.DONE: 3, Step.FAILED: 1}
    with vm.all_opened(requests("a", "c")) as opened:
        assert {name: disk.read(1) for name, disk in opened.values.items()} == {
            "a": b"a",
            "c": b"c",
        }


def test_each_step_of_each_volume_is_reported_and_the_bound_is_kept(vm: Vm) -> None:
    reports: list[Report] = []
    names = [f"volume-{number}" for number in range(5)]
    with vm.all_opened(requests(*names), concurrency=2, progress=reports.append) as opened:
        assert len(opened.values) == 5
    at_work = (Step.CREATING, Step.ATTACHING, Step.FORMATTING, Step.OPENING)
    assert max(sum(each.counts.get(step, 0) for step in at_work) for each in reports) == 2
    for name in names:
        steps = [report.step for report in reports if report.name == name]
        assert steps == [*at_work, Step.DONE]


def test_a_name_that_is_asked_for_twice_is_refused(vm: Vm) -> None:
    with pytest.raises(InvalidRequest, match="once"), vm.all_opened(requests("a", "a")):
        pass
    assert list(vm.provider.list()) == []


class Grabby(LocalProvider):
    """Lets go of no volume."""

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        if type(intent).__name__ == "DetachVolume":
            raise NotFound("instance", getattr(intent, "volume_id", ""))
        return super().begin(intent, deadline=deadline)


def test_all_are_closed_although_some_cannot_be_detached(vm: Vm) -> None:
    vm.provider = Grabby(vm.folder / "store")
    mapper = UserspaceMapper()
    with (
        pytest.raises(NotFound) as caught,
        vm.all_opened(requests("a", "b"), mapper=mapper, concurrency=1) as opened,
    ):
        pass
    assert {disk.closed for disk in opened.values.values()} == {True}
    assert {mapper.get(vm.volume(name).id) for name in "ab"} == {None}
    assert caught.value.name == vm.volume("a").id
    assert [note.partition(":")[0] for note in caught.value.__notes__] == ["and for b"]


def test_a_volume_whose_closing_fails_is_not_detached(vm: Vm) -> None:
    class Failing(UserspaceMapper):
        def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
            super().deactivate(volume_id, deferred=deferred)
            raise DeviceIOError("the device", "flush", 0, "it is gone")

    with pytest.raises(DeviceIOError), vm.opened(mapper=Failing()):
        pass
    assert vm.volume().holders == (HERE,)


def test_what_is_open_is_closed_when_another_one_raises_a_foreign_exception(vm: Vm) -> None:
    class Broken(LocalProvider):
        def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
            if getattr(intent, "name", "") == "b":
                raise ZeroDivisionError
            return super().begin(intent, deadline=deadline)

    vm.provider = Broken(vm.folder / "store")
    with (
        pytest.raises(ZeroDivisionError),
        vm.all_opened(requests("a", "b"), concurrency=1),
    ):
        raise AssertionError
    assert vm.volume("a").holders == ()
    vm.content(requests("a")[0])


# --- on a cloud ---


def test_volumes_of_a_cloud_are_found_by_their_serial_numbers(
    vm: Vm, fake_aws: FakeAws, fake_aws_instance: str
) -> None:
    provider = AwsProvider(
        fake_aws.region,
        session=fake_aws.session(),
        endpoint=fake_aws.endpoint,
        zone="eu-central-1a",
        clock=fake_aws.clock,
    )
    wanted = [VolumeRequest(name, GIB) for name in ("a", "b", "c")]
    node = fake_aws.node(fake_aws_instance)
    options = vm.options(instance=fake_aws_instance, root=node.root, clock=fake_aws.clock)
    with closing(provider):
        with encrypted_volumes(provider, wanted, **options) as opened:
            assert dict(opened.errors) == {}
            for name, disk in opened.values.items():
                disk.write(name.encode() * 4096)
        with encrypted_volumes(provider, wanted, **options) as opened:
            found = {name: disk.read(4096) for name, disk in opened.values.items()}
        assert found == {name: name.encode() * 4096 for name in ("a", "b", "c")}
        assert {volume.holders for volume in provider.list()} == {()}
        assert len(list(provider.list())) == 3


# --- with the key derivation that volumes really have ---

DERIVING = """
import sys
from cloudcrypt.facade import encrypted_volumes
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt_local import LocalProvider
folder = sys.argv[1]
options = {
    "instance": "this-vm",
    "keys": MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(32))),
    "ledger": SqliteLedger(folder + "/ledger"),
    "journal": SqliteJournal(folder + "/journal"),
}
requests = [VolumeRequest(f"volume-{number}", 17 * 2**20) for number in range(8)]
for _ in range(2):
    with encrypted_volumes(LocalProvider(folder + "/store"), requests, **options) as opened:
        print(len(opened.values), len(opened.errors))
"""


def test_threads_that_derive_keys_do_not_wait_for_each_other_for_ever(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DERIVING, str(tmp_path)]
    run = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True, timeout=120)
    assert run.stdout.split() == ["8", "0", "8", "0"]
