"""Several processes and threads use one store of the local provider at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from cloudcrypt.errors import NotFound, OperationPending
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.spi import CreateVolume, DeleteVolume, FromVolume, ResizeVolume, perform
from cloudcrypt.waiting import Deadline, SystemClock
from cloudcrypt_local import LocalProvider
from cloudcrypt_local._filesystem import FileSystem
from cloudcrypt_local._locks import Locks
from tests.unit.processes import START, in_processes

WORKERS = 8
MIB = 1024 * 1024

_PREAMBLE = f"""
import sys
from cloudcrypt.errors import AttachedElsewhere
from cloudcrypt.spi import AttachVolume, CreateVolume, perform
from cloudcrypt.waiting import Deadline, SystemClock
from cloudcrypt_local import LocalProvider
{START}provider = LocalProvider(sys.argv[1])
number = sys.argv[2]
"""


def _together(store: Path, script: str) -> list[str]:
    """Run ``script`` in several processes at once; return what each printed."""
    return in_processes(WORKERS, _PREAMBLE + script, str(store))


@pytest.mark.parametrize("token", ["'the same'", "number"])
def test_processes_that_create_the_same_name_in_a_new_store_make_one_volume(
    tmp_path: Path, token: str
) -> None:
    script = f"print(perform(provider, CreateVolume({token}, 'name', 4096)).id)"
    printed = _together(tmp_path / "store", script)
    volumes = list(LocalProvider(tmp_path / "store").list())
    assert printed == [volumes[0].id] * WORKERS
    assert len(volumes) == len(list((tmp_path / "store").glob("*.img"))) == 1


def test_processes_that_create_different_names_all_succeed(tmp_path: Path) -> None:
    script = """
for i in range(5):
    perform(provider, CreateVolume(f"{number}-{i}", f"{number}-{i}", 4096))
"""
    _together(tmp_path / "store", script)
    volumes = list(LocalProvider(tmp_path / "store").list())
    assert len({volume.id for volume in volumes}) == len(volumes) == 5 * WORKERS


def test_of_processes_that_attach_one_volume_elsewhere_one_wins(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path / "store")
    volume = perform(provider, CreateVolume("t", "n", 4096))
    script = f"""
try:
    print(perform(provider, AttachVolume(number, {volume.id!r}, "node-" + number)).instance)
except AttachedElsewhere as error:
    print(error.holder)
"""
    printed = _together(tmp_path / "store", script)
    assert set(printed) == set(provider.get(volume.id).holders)


def test_threads_share_one_provider(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path / "store")
    source = perform(provider, CreateVolume("t", "source", MIB))

    def work(number: int) -> Volume:
        clone = CreateVolume(f"{number}", f"n{number}", MIB, FromVolume(source.id))
        volume = perform(provider, clone)
        return perform(provider, ResizeVolume(f"r{number}", volume.id, 2 * MIB))

    with ThreadPoolExecutor(WORKERS) as pool:
        made = list(pool.map(work, range(WORKERS)))
    assert [volume.size for volume in made] == [2 * MIB] * WORKERS
    assert len(list(provider.list())) == 1 + WORKERS


class Gate(FileSystem):
    """Holds the work up until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def sync(self, fd: int) -> None:
        self.reached.set()
        assert self.opened.wait(60)
        super().sync(fd)


def test_work_that_another_one_is_at_is_waited_for_and_done_once(tmp_path: Path) -> None:
    gate = Gate()
    slow = LocalProvider(tmp_path, filesystem=gate)
    other = LocalProvider(tmp_path)
    handle = slow.begin(CreateVolume("t", "n", 4096))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(slow.resume, handle, deadline=Deadline.after(0))
        assert gate.reached.wait(60)
        with pytest.raises(OperationPending, match="another one is at it") as caught:
            other.resume(handle, deadline=Deadline.after(0))
        assert caught.value.retryable
        second = pool.submit(other.resume, handle, deadline=Deadline.after(60))
        gate.opened.set()
        assert first.result(60) == second.result(60)


def test_whoever_waits_for_a_lock_gets_it_when_it_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    image_id = "local:0/vol-0123456789abcdef0"
    locks = Locks(tmp_path / "lock")
    holder = locks.hold(image_id, deadline=Deadline.after(0))
    pauses: list[float] = []

    class Pausing(SystemClock):
        def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
            assert wake is None
            pauses.append(seconds)
            holder.__exit__(None, None, None)

    holder.__enter__()
    with locks.hold(image_id, deadline=Deadline.after(60, clock=Pausing())):
        assert len(pauses) == 1


def test_locks_of_different_volumes_do_not_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    locks = Locks(tmp_path / "lock")
    with (
        locks.hold("local:0/vol-00000000000000000", deadline=Deadline.after(0)),
        locks.hold("local:0/vol-fffffffffffffffff", deadline=Deadline.after(0)),
    ):
        pass


def test_opening_a_store_does_not_wait_for_a_deletion_that_is_under_way(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path)
    volume = perform(provider, CreateVolume("t", "n", 4096))
    handle = provider.begin(DeleteVolume("d", volume.id))
    with Locks(tmp_path / "lock").hold(volume.id, deadline=Deadline.after(0)):
        other = LocalProvider(tmp_path)
        assert other.get(volume.id).state is VolumeState.DELETING
    assert other.resume(handle, deadline=Deadline.after(0)) is None


def test_a_volume_given_up_while_another_one_makes_it_is_gone_in_the_end(tmp_path: Path) -> None:
    gate = Gate()
    slow = LocalProvider(tmp_path, filesystem=gate)
    creation = slow.begin(CreateVolume("t", "n", 4096))
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(slow.resume, creation, deadline=Deadline.after(0))
        assert gate.reached.wait(60)
        other = LocalProvider(tmp_path)
        deletion = other.begin(DeleteVolume("d", next(other.list()).id))
        gate.opened.set()
        other.resume(deletion, deadline=Deadline.after(60))
        with suppress(NotFound):  # or it saw the volume just before it went
            assert made.result(60).state is VolumeState.DELETING
    assert list(other.list()) == []
    assert list(tmp_path.glob("*.img")) == []
