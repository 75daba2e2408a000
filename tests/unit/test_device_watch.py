"""Waiting for a device: by events, without busy polling, and without missing one."""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.device import HostWatch, locate
from cloudcrypt.device._inotify import FolderEvents
from cloudcrypt.device._watch import FIRST, GAP, LONGEST, awaited
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable, OperationCancelled
from cloudcrypt.model import Attachment, Blank, NvmeSerial
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt_testing.fake_aws.devices import MODEL, EBSNode
from tests.unit.clocks import FakeClock

PATIENCE = 60.0  # seconds, for a busy host
NEVER = 3600.0  # seconds: longer than any test
TOO_EARLY = DeviceUnavailable("of volume x", "not there")


class Pipe:
    """A source of events that a test makes up."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.is_closed = False
        self.concerns_disks = True
        self.fails = False

    def tell(self) -> None:
        os.write(self.writer, b"!")

    def fileno(self) -> int:
        return self.reader

    def drain(self) -> bool:
        os.read(self.reader, 4096)
        if self.fails:
            raise OSError("no more")
        return self.concerns_disks

    def close(self) -> None:
        if not self.is_closed:
            os.close(self.reader)
            os.close(self.writer)
            self.is_closed = True


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def watch(pipe: Pipe) -> Iterator[HostWatch]:
    watch = HostWatch([], kernel=lambda: pipe)
    yield watch
    watch.close()


def _waited(watch: HostWatch, seconds: float = PATIENCE) -> bool:
    """Wait for an event, and say whether there was one."""
    began = time.monotonic()
    watch.wait(Deadline.after(NEVER), seconds)
    return time.monotonic() - began < seconds


# --- one wait ---


def test_an_event_ends_a_wait(watch: HostWatch, pipe: Pipe) -> None:
    threading.Timer(0.1, pipe.tell).start()
    assert _waited(watch)


def test_an_event_before_the_wait_ends_it_too(watch: HostWatch, pipe: Pipe) -> None:
    pipe.tell()
    assert _waited(watch)
    pipe.tell()
    assert _waited(watch)


def test_one_event_ends_one_wait(watch: HostWatch, pipe: Pipe) -> None:
    pipe.tell()
    pipe.tell()
    assert _waited(watch)
    assert not _waited(watch, 0.3)


def test_an_event_that_concerns_no_disk_ends_no_wait(watch: HostWatch, pipe: Pipe) -> None:
    pipe.concerns_disks = False
    pipe.tell()
    assert not _waited(watch, 0.3)


def test_a_source_that_fails_is_a_change_and_then_silent(watch: HostWatch, pipe: Pipe) -> None:
    pipe.fails = True
    pipe.tell()
    assert _waited(watch)
    pipe.tell()
    assert not _waited(watch, 0.3)


def test_cancelling_ends_a_wait(watch: HostWatch) -> None:
    cancellation = Cancellation()
    threading.Timer(0.1, cancellation.cancel).start()
    began = time.monotonic()
    with pytest.raises(OperationCancelled):
        watch.wait(Deadline.after(NEVER, cancellation=cancellation), NEVER)
    assert time.monotonic() - began < PATIENCE


def test_a_deadline_ends_a_wait(watch: HostWatch) -> None:
    began = time.monotonic()
    watch.wait(Deadline.after(0.1), NEVER)
    assert time.monotonic() - began < PATIENCE


def test_closing_ends_the_thread_and_closes_the_sources(watch: HostWatch, pipe: Pipe) -> None:
    before = threading.active_count()
    watch.wait(Deadline.after(0.01), NEVER)
    assert threading.active_count() == before + 1
    watch.close()
    watch.close()
    assert (threading.active_count(), pipe.is_closed) == (before, True)


def test_no_thread_is_started_before_anybody_waits(pipe: Pipe) -> None:
    before = threading.active_count()
    with closing(HostWatch([], kernel=lambda: pipe)):
        assert threading.active_count() == before
    assert pipe.is_closed


@pytest.mark.parametrize("trouble", [RuntimeError("can't start new thread"), OSError("no memory")])
def test_where_no_thread_is_to_be_had_time_passes_all_the_same(
    watch: HostWatch, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def refused(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(threading.Thread, "start", refused)
    if isinstance(trouble, OSError):
        monkeypatch.setattr(os, "eventfd", refused)
    assert not _waited(watch, 0.05)


# --- folders ---


def test_a_node_that_appears_is_an_event(tmp_path: Path) -> None:
    with closing(HostWatch([tmp_path / "missing", tmp_path], kernel=None)) as watch:
        (tmp_path / "sda").touch()
        assert _waited(watch)


@pytest.mark.parametrize("change", ["mode", "moved in", "linked"])
def test_a_node_that_becomes_usable_is_an_event(tmp_path: Path, change: str) -> None:
    node, folder = tmp_path / "elsewhere", tmp_path / "dev"
    folder.mkdir()
    (folder / "sda").touch()
    node.touch()
    with closing(HostWatch([folder], kernel=None)) as watch:
        match change:
            case "mode":
                (folder / "sda").chmod(0o600)
            case "moved in":
                node.rename(folder / "sdb")
            case _:
                os.link(node, folder / "sdb")
        assert _waited(watch)


def test_what_is_written_and_read_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "sda"
    path.touch()
    with closing(HostWatch([tmp_path], kernel=None)) as watch:
        path.write_bytes(b"content")
        path.read_bytes()
        assert not _waited(watch, 0.3)


def test_folders_that_cannot_be_watched_are_an_error(tmp_path: Path) -> None:
    for folders in ([], [tmp_path / "missing"]):
        with pytest.raises(OSError, match=r"no folder|No such file"):
            FolderEvents(folders)


def test_a_host_that_cannot_watch_still_waits(tmp_path: Path) -> None:
    def forbidden() -> Pipe:
        raise PermissionError("no netlink here")

    with closing(HostWatch([tmp_path / "missing"], kernel=forbidden)) as watch:
        assert not _waited(watch, 0.05)


def test_a_c_library_that_has_no_watches_left_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> int:
        return -1

    def library(*_: object, **__: object) -> dict[str, Callable[..., int]]:
        return {"inotify_init1": failing}

    monkeypatch.setattr(ctypes, "CDLL", library)
    with pytest.raises(OSError, match="Success"):
        FolderEvents([tmp_path])


# --- looking again ---


class Told:
    """A watch that a test moves: each wait is one of its seconds long, or as long as it may be."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.waits = list[float]()
        self.is_closed = False

    def wait(self, deadline: Deadline, seconds: float) -> None:
        self.waits.append(seconds)
        deadline.sleep(self.seconds.pop(0) if self.seconds else seconds)

    def close(self) -> None:
        self.is_closed = True


class Looks:
    """A look that succeeds the n-th time."""

    def __init__(self, needed: float) -> None:
        self.needed = needed
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.count < self.needed:
            raise TOO_EARLY
        return "found"


def test_without_a_deadline_there_is_one_look_and_no_watch() -> None:
    looks = Looks(2)
    with pytest.raises(DeviceUnavailable):
        awaited(looks, None, lambda: pytest.fail("nobody waits"))
    assert looks.count == 1


def test_the_watch_begins_before_the_first_look() -> None:
    order = list[str]()

    def begun() -> Told:
        order.append("watch")
        return Told()

    def look() -> None:
        order.append("look")

    awaited(look, Deadline.after(1, clock=FakeClock()), begun)
    assert order == ["watch", "look"]


def test_nothing_heard_means_a_look_now_and_then_and_one_at_the_end() -> None:
    looks, told = Looks(NEVER), Told()
    with pytest.raises(DeviceUnavailable):
        awaited(looks, Deadline.after(60, clock=FakeClock()), lambda: told)
    assert told.waits[:5] == [FIRST, 2, 4, LONGEST, LONGEST]
    assert looks.count == len(told.waits) + 1 < 16
    assert told.is_closed


def test_a_storm_of_events_is_not_a_storm_of_looks() -> None:
    looks, clock = Looks(NEVER), FakeClock()
    with pytest.raises(DeviceUnavailable):
        awaited(looks, Deadline.after(1, clock=clock), lambda: Told(*[0.001] * 1000))
    assert looks.count <= 1 / GAP + 2


def test_an_event_that_comes_alone_is_followed_by_a_look_at_once() -> None:
    clock = FakeClock()
    assert awaited(Looks(2), Deadline.after(60, clock=clock), lambda: Told(0.5)) == "found"
    assert clock.pauses == [0.5]


def test_an_error_that_time_does_not_mend_is_raised_at_once() -> None:
    told = Told()

    def look() -> None:
        raise DeviceMismatch("sda", 1, 2)

    with pytest.raises(DeviceMismatch):
        awaited(look, Deadline.after(60, clock=FakeClock()), lambda: told)
    assert (told.waits, told.is_closed) == ([], True)


def test_who_has_cancelled_does_not_wait() -> None:
    cancellation, told = Cancellation(), Told()
    cancellation.cancel()
    deadline = Deadline.after(60, clock=FakeClock(), cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        awaited(Looks(2), deadline, lambda: told)
    assert told.is_closed


# --- the whole of it, on a folder ---


class Counting(HostWatch):
    """Counts, and says when somebody begins to wait."""

    def __init__(self, folders: Iterable[Path]) -> None:
        super().__init__(folders, kernel=None)
        self.waits = 0
        self.waiting = threading.Event()

    def wait(self, deadline: Deadline, seconds: float) -> None:
        del seconds
        self.waits += 1
        self.waiting.set()
        super().wait(deadline, NEVER)  # the look that comes every few seconds helps nobody here


def test_a_disk_that_appears_is_found_by_its_event_alone(tmp_path: Path) -> None:
    node = EBSNode(tmp_path / "host", is_nvme=True)
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(8192))
    attachment = Attachment("aws:x/vol-0a", "i-1", 8192, Blank(), NvmeSerial("vol0a", MODEL))
    watches = list[Counting]()

    def begun(folders: Iterable[Path]) -> Counting:
        watches.append(Counting(folders))
        threading.Thread(target=attach, args=watches).start()
        return watches[0]

    def attach(watch: Counting) -> None:
        assert watch.waiting.wait(PATIENCE)
        node.attach("vol-0a", "/dev/sdf", backing)

    deadline = Deadline.after(PATIENCE)
    device = locate(attachment, root=node.root, deadline=deadline, watch=begun)
    assert device.path.name == "nvme0n1"
    assert 1 <= watches[0].waits <= 4
    assert deadline.remaining > 1
