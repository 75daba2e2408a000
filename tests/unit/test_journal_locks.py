"""One worker for each subject: among threads and processes, waited for or refused."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.errors import JournalUnavailable, OperationBusy, OperationCancelled
from cloudcrypt.journal import OnBusy, SqliteJournal
from cloudcrypt.journal.locks import PAUSE, PAUSE_LONGEST
from cloudcrypt.waiting import Cancellation, Deadline
from tests.unit.clocks import FakeClock

HERE = "local:///here"
SUBJECT = "volume vol-1"
NOW = Deadline.after(0)

OTHER_PROCESS = """
import sys
from cloudcrypt.journal import OnBusy, SqliteJournal
from cloudcrypt.waiting import Deadline
with SqliteJournal(sys.argv[1]).hold(sys.argv[2], sys.argv[3], deadline=Deadline.after(60)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["file", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteJournal]:
    made = {
        "file": lambda: SqliteJournal(tmp_path / "journal"),
        "memory": SqliteJournal.in_memory,
    }
    with closing(made[request.param]()) as journal:
        yield journal


def test_a_subject_is_held_by_one_caller(journal: SqliteJournal) -> None:
    with journal.hold(HERE, SUBJECT, deadline=NOW):
        for on_busy in OnBusy:
            with (
                pytest.raises(OperationBusy, match="volume vol-1"),
                journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=on_busy),
            ):
                pass
    with journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE):
        pass


def test_other_subjects_and_providers_are_free(journal: SqliteJournal) -> None:
    with (
        journal.hold(HERE, SUBJECT, deadline=NOW),
        journal.hold(HERE, "volume vol-2", deadline=NOW),
        journal.hold("local:///there", SUBJECT, deadline=NOW),
    ):
        pass


def test_who_fails_gives_the_subject_up(journal: SqliteJournal) -> None:
    def fail() -> None:
        with journal.hold(HERE, SUBJECT, deadline=NOW):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE):
        pass


def test_who_waits_gets_the_subject_when_it_is_given_up(journal: SqliteJournal) -> None:
    holder = journal.hold(HERE, SUBJECT, deadline=NOW)
    holder.__enter__()
    clock = FakeClock(while_sleeping=lambda: holder.__exit__(None, None, None))
    with journal.hold(HERE, SUBJECT, deadline=Deadline.after(60, clock=clock)):
        assert clock.pauses == [PAUSE]


def test_who_waits_gives_up_at_the_deadline_with_pauses_that_grow(journal: SqliteJournal) -> None:
    clock = FakeClock()
    with (
        journal.hold(HERE, SUBJECT, deadline=NOW),
        pytest.raises(OperationBusy),
        journal.hold(HERE, SUBJECT, deadline=Deadline.after(10, clock=clock)),
    ):
        pass
    assert sum(clock.pauses) == pytest.approx(10)
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert max(clock.pauses) == PAUSE_LONGEST


def test_who_chose_not_to_wait_does_not(journal: SqliteJournal) -> None:
    clock = FakeClock()
    deadline = Deadline.after(10, clock=clock)
    with (
        journal.hold(HERE, SUBJECT, deadline=NOW),
        pytest.raises(OperationBusy) as caught,
        journal.hold(HERE, SUBJECT, deadline=deadline, on_busy=OnBusy.RAISE),
    ):
        pass
    assert (clock.pauses, caught.value.retryable, caught.value.grpc_code) == ([], True, "ABORTED")


def test_who_waits_can_be_cancelled(journal: SqliteJournal) -> None:
    cancellation = Cancellation()
    clock = FakeClock(while_sleeping=cancellation.cancel)
    deadline = Deadline.after(60, clock=clock, cancellation=cancellation)
    with (
        journal.hold(HERE, SUBJECT, deadline=NOW),
        pytest.raises(OperationCancelled),
        journal.hold(HERE, SUBJECT, deadline=deadline),
    ):
        pass


def test_who_has_cancelled_takes_nothing(journal: SqliteJournal) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with (
        pytest.raises(OperationCancelled),
        journal.hold(HERE, SUBJECT, deadline=Deadline.after(cancellation=cancellation)),
    ):
        pass


def test_threads_take_turns(journal: SqliteJournal) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with journal.hold(HERE, SUBJECT, deadline=Deadline.after(60)):
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == 1


# --- processes ---


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Give what starts a process that holds the subject until it reads a line."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "journal"), HERE, SUBJECT]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_keeps_others_away_until_it_is_done(
    tmp_path: Path, other: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = other()
    with closing(SqliteJournal(tmp_path / "journal")) as journal:
        with (
            pytest.raises(OperationBusy),
            journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE),
        ):
            pass
        process.communicate("\n", timeout=60)
        with journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE):
            pass


def test_a_process_that_dies_gives_up_what_it_held(
    tmp_path: Path, other: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = other()
    process.kill()
    process.wait(60)
    with (
        closing(SqliteJournal(tmp_path / "journal")) as journal,
        journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE),
    ):
        pass


def test_the_lock_is_found_by_any_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("journal")
    monkeypatch.chdir(tmp_path)
    with (
        closing(SqliteJournal(tmp_path / "journal")) as first,
        closing(SqliteJournal("link")) as second,
        first.hold(HERE, SUBJECT, deadline=NOW),
    ):
        monkeypatch.chdir("/")
        with (
            pytest.raises(OperationBusy),
            second.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE),
        ):
            pass


def test_a_child_forked_meanwhile_does_not_keep_the_lock(tmp_path: Path) -> None:
    with closing(SqliteJournal(tmp_path / "journal")) as journal:
        with journal.hold(HERE, SUBJECT, deadline=NOW):
            lock = tmp_path / "journal.lock"
            held = [each.name for each in Path("/proc/self/fd").iterdir() if _is(each, lock)]
            copies = [os.dup(int(fd)) for fd in held]
        try:
            assert len(copies) == 1
            with journal.hold(HERE, SUBJECT, deadline=NOW, on_busy=OnBusy.RAISE):
                pass
        finally:
            for fd in copies:
                os.close(fd)


def _is(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:  # the one of the listing itself
        return False


def test_a_lock_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "journal.lock").mkdir()
    with (
        closing(SqliteJournal(tmp_path / "journal")) as journal,
        pytest.raises(JournalUnavailable),
        journal.hold(HERE, SUBJECT, deadline=NOW),
    ):
        pass
