"""What obeys the host from inside a virtual machine, here as a process of this host."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

from cloudcrypt_testing.vm import GuestRaised, Measurement, VMFailed
from tests.unit.agents import HostGuest, agent


@pytest.fixture(scope="module")
def guest(pytestconfig: pytest.Config) -> Generator[HostGuest]:
    with agent(pytestconfig.rootpath, Measurement.current()) as guest:
        yield guest
        guest.save_coverage("agent")


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_codes_are_exact(guest: HostGuest, code: int) -> None:
    assert guest.run(["sh", "-c", f"exit {code}"]).returncode == code


def test_a_signal_is_told_from_a_failure(guest: HostGuest) -> None:
    assert guest.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM


def test_large_input_and_output_pass_whole(guest: HostGuest, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    guest.write_bytes(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content == guest.read_bytes(tmp_path / "file")


def test_programs_run_side_by_side(guest: HostGuest) -> None:
    jobs = [guest.start(["sh", "-c", f"read word; echo {n} $word"], stdin=b"x") for n in range(5)]
    assert [job.wait() for job in jobs] == [0] * 5
    assert [job.stdout for job in jobs] == [b"%d x\n" % number for number in range(5)]


def test_a_program_gets_the_environment_and_the_folder_that_it_is_given(
    guest: HostGuest, tmp_path: Path
) -> None:
    done = guest.run(["sh", "-c", "echo $WORD; pwd"], environment={"WORD": "w"}, folder=tmp_path)
    assert done.stdout == f"w\n{tmp_path}\n"


def test_what_takes_too_long_is_killed(guest: HostGuest) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        guest.run(["sh", "-c", "echo begun; sleep 60"], timeout=0.3)
    assert caught.value.stdout == b"begun\n"


def test_what_is_left_in_the_background_is_not_waited_for(guest: HostGuest) -> None:
    done = guest.run(["sh", "-c", "sleep 60 & echo $!"], timeout=30)
    os.kill(int(done.stdout), signal.SIGKILL)


def test_a_program_that_is_not_there_is_an_error(guest: HostGuest) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        guest.run(["no-such-program"])


def test_a_failure_can_be_an_error_that_shows_the_output(guest: HostGuest) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        guest.run(["sh", "-c", "echo why >&2; exit 1"], check=True)
    assert caught.value.__notes__ == ["why\n"]


def test_functions_are_called_in_processes_of_their_own(guest: HostGuest) -> None:
    guest.preload(["decimal", "no_such_module"])
    first, second = guest.python("os:getpid"), guest.python("os:getpid")
    assert first != second
    assert guest.python("tests.kernel.guest.errors:echo", 1, two=[2]) == [[1], {"two": [2]}]
    assert guest.python(f"{Path(__file__).parents[1]}/kernel/guest/errors.py:echo") == [[], {}]


def test_what_a_function_raises_is_told(guest: HostGuest) -> None:
    with pytest.raises(GuestRaised, match="in echo_error") as caught:
        guest.python("tests.kernel.guest.errors:echo_error", "why")
    assert (caught.value.kind, caught.value.message) == ("builtins.ValueError", "why")
    with pytest.raises(GuestRaised, match="nothing_of_that_name"):
        guest.python("os:nothing_of_that_name")
    with pytest.raises(GuestRaised, match="not JSON serializable"):
        guest.python("os:getcwdb")


def test_a_function_that_dies_or_takes_too_long_is_an_error(guest: HostGuest) -> None:
    with pytest.raises(GuestRaised, match="ended with -9"):
        guest.python("tests.kernel.guest.errors:die")
    with pytest.raises(TimeoutError):
        guest.python("time:sleep", 60, timeout=0.3)


def test_jobs_of_a_guest_that_ends_are_lost_and_new_ones_are_refused(
    pytestconfig: pytest.Config,
) -> None:
    with agent(pytestconfig.rootpath) as guest:
        job = guest.start([sys.executable, "-c", "import time; time.sleep(1)"])
        guest.channel.close()
        with pytest.raises(VMFailed, match="ended before"):
            job.wait()
        with pytest.raises(VMFailed, match="has ended"):
            guest.run(["true"])
        with pytest.raises(VMFailed, match="has ended"):
            job.signal(signal.SIGKILL)


def test_what_functions_cover_is_brought_home(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    patterns = ("*/kernel/guest/*", "*/cloudcrypt/sizes.py"), ("*/sizes.py",)
    measurement = Measurement(tmp_path / "data", *patterns, has_branches=True)
    with agent(pytestconfig.rootpath, measurement) as guest:
        guest.save_coverage("nothing")
        guest.preload([])
        guest.python("tests.kernel.guest.errors:echo")
        guest.python("cloudcrypt.sizes:round_down", 5000, 4096)
        guest.save_coverage("guest")
    (path,) = tmp_path.iterdir()
    assert path.name == "data.guest"
    found = coverage.CoverageData(basename=str(path))
    found.read()
    (measured,) = found.measured_files()
    assert measured.endswith("/kernel/guest/errors.py")
    assert found.lines(measured)
    found.close()
