"""Programs are run to their end, or stopped; what they say is bounded; they know what they must."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.errors import HostUnready, OperationCancelled
from cloudcrypt.filesystem import HostTools, ToolStopped
from cloudcrypt.filesystem.tools import KEPT
from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.waiting import Cancellation, Deadline
from tests.unit.clocks import FakeClock

LATER = Deadline.after(86_400)  # from when this file is imported, which may be long ago
Program = Callable[[str], HostTools]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return what makes a host on which ``e2fsck`` is a script of the test's."""

    def made(script: str) -> HostTools:
        path = tmp_path / "e2fsck"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return HostTools(f"{tmp_path}:/usr/bin:/bin")

    return made


@pytest.mark.parametrize("status", [0, 1, 8, 255])
def test_the_status_is_the_programs(program: Program, status: int) -> None:
    ended = program(f"exit {status}").run("e2fsck", [], inherited=(), deadline=LATER)
    assert (status, "") == (ended.status, ended.said)
    assert str(ended) == f"e2fsck ended with status {status}"


def test_a_signal_is_not_a_status(program: Program) -> None:
    ended = program("kill -KILL $$").run("e2fsck", [], inherited=(), deadline=LATER)
    assert (-signal.SIGKILL, "e2fsck was ended by signal 9") == (ended.status, str(ended))


def test_arguments_are_not_for_a_shell(program: Program) -> None:
    ended = program('printf "%s|" "$@"').run(
        "e2fsck", ["a b", "$HOME", ";exit 3", "*"], inherited=(), deadline=LATER
    )
    assert (0, "a b|$HOME|;exit 3|*|") == (ended.status, ended.said)


def test_both_outputs_are_kept_and_shown_without_control_characters(program: Program) -> None:
    ended = program("printf 'one\\n'; printf '\\033[31mtwo\\377' >&2; exit 1").run(
        "e2fsck", [], inherited=(), deadline=LATER
    )
    assert str(ended).startswith(r"e2fsck ended with status 1 ('one\n\x1b[31mtwo")
    assert str(ended).isascii()


def test_of_much_output_the_ends_are_kept(program: Program) -> None:
    ended = program("echo first; yes middle | head -c 1000000; printf last").run(
        "e2fsck", [], inherited=(), deadline=LATER
    )
    assert (True, True) == (ended.began.startswith("first"), ended.said.endswith("last"))
    assert max(len(ended.began), len(ended.said)) <= KEPT
    assert len(str(ended)) < 500


def test_the_environment_is_empty_but_for_a_path_and_the_locale(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MKE2FS_CONFIG", "/hostile")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    ended = program("env | sort").run("e2fsck", [], inherited=(), deadline=LATER)
    names = {line.partition("=")[0] for line in ended.said.splitlines()}
    assert names <= {"LC_ALL", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}
    assert "LC_ALL=C" in ended.said


def test_only_what_is_inherited_is_open(program: Program, tmp_path: Path) -> None:
    given, other = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in "ab")
    os.set_inheritable(other, True)  # noqa: FBT003
    script = f"read x || echo at the end; ls -l /proc/self/fd/{given}; ls /proc/self/fd/{other}"
    ended = program(script).run("e2fsck", [], inherited=[given], deadline=LATER)
    assert "at the end" in ended.said
    assert str(tmp_path / "a") in ended.said
    assert f"cannot access '/proc/self/fd/{other}'" in ended.said
    os.close(given)
    os.close(other)


def test_a_missing_program_names_its_package(tmp_path: Path) -> None:
    for path in ("", str(tmp_path)):
        for tool, package in (("mkfs.ext4", "e2fsprogs"), ("mkfs.xfs", "xfsprogs")):
            with pytest.raises(HostUnready, match=tool) as refusal:
                HostTools(path).run(tool, [], inherited=(), deadline=LATER)
            assert refusal.value.remedy == f"apt-get install {package}"


def test_a_program_that_cannot_run_is_like_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "e2fsck"
    path.write_bytes(b"\0 no program")
    path.chmod(0o700)
    with pytest.raises(HostUnready, match=r"Exec format error.*apt-get install e2fsprogs"):
        HostTools(str(tmp_path)).run("e2fsck", [], inherited=(), deadline=LATER)


def test_by_default_programs_of_root_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    ended = HostTools().run("mkfs.ext4", ["-V"], inherited=(), deadline=LATER)
    assert ended.said.startswith("mke2fs ")


SLEEPS = 'echo begun; trap "echo asked; exit 7" TERM; sleep 4711 & wait'
IGNORES = 'trap "" TERM; sleep 4711 & echo $! >{}; while :; do wait; done'


@pytest.mark.parametrize("script", [SLEEPS, "exec sleep 4711"])
def test_a_program_is_stopped_at_the_deadline(program: Program, script: str) -> None:
    clock = FakeClock()
    deadline = Deadline.after(3, clock=clock)
    with pytest.raises(ToolStopped, match="e2fsck did not end before the deadline"):
        program(script).run("e2fsck", [], inherited=(), deadline=deadline)
    assert sum(clock.pauses) == pytest.approx(3)


def test_a_program_is_stopped_when_the_caller_cancels(program: Program) -> None:
    cancellation = Cancellation()
    clock = FakeClock(while_sleeping=cancellation.cancel)
    deadline = Deadline.after(60, clock=clock, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        program(SLEEPS).run("e2fsck", [], inherited=(), deadline=deadline)


def test_a_program_is_not_started_after_a_cancellation(program: Program, tmp_path: Path) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    deadline = Deadline.after(60, cancellation=cancellation)
    with pytest.raises(OperationCancelled):
        program(f"touch {tmp_path}/ran").run("e2fsck", [], inherited=(), deadline=deadline)
    assert not (tmp_path / "ran").exists()


def test_what_ignores_being_asked_is_killed_with_its_children(
    program: Program, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    clock = FakeClock(while_sleeping=lambda: wait_for(lambda: pid.exists() and pid.read_text()))
    tools = program(IGNORES.format(pid))
    impatient = HostTools(tools.path, grace=0.1)
    with pytest.raises(ToolStopped):
        impatient.run("e2fsck", [], inherited=(), deadline=Deadline.after(1, clock=clock))
    wait_for(lambda: not is_running(pid.read_text().strip()))


def test_a_child_that_outlives_its_program_is_not_waited_for(
    program: Program, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    impatient = HostTools(program(f"(read x <{go}) & echo done").path, grace=0.1)
    ended = impatient.run("e2fsck", [], inherited=(), deadline=LATER)
    assert (0, "done") == (ended.status, ended.said)
    go.write_text("\n")


def wait_for(is_so: Callable[[], object]) -> None:
    while not is_so():
        os.sched_yield()


def is_running(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


DYING = """
import sys
from pathlib import Path
from cloudcrypt.filesystem import HostTools
from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.waiting import Deadline
taken = HostLocks(Path(sys.argv[1])).take("vol")
HostTools(sys.argv[2]).run("e2fsck", [], inherited=[taken], deadline=Deadline.after(60))
"""


def test_the_lock_of_a_process_that_dies_is_free_when_its_program_has_ended(
    program: Program, tmp_path: Path
) -> None:
    locks = HostLocks(tmp_path / "lock")
    ready, go = tmp_path / "ready", tmp_path / "go"
    os.mkfifo(ready)
    os.mkfifo(go)
    path = program(f"echo >{ready}; read x <{go}").path
    command = [sys.executable, "-c", DYING, str(locks.path), path]
    with subprocess.Popen(command) as dying:
        ready.read_text()
        dying.kill()
    assert locks.take("vol") is None
    go.write_text("\n")
    while (again := locks.take("vol")) is None:
        os.sched_yield()
    locks.give("vol", again)
