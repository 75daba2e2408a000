"""A virtual machine runs what it is asked to, and says exactly how that went."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from cloudcrypt_testing.vm import VM, Bed, GuestRaised, processes


def test_it_runs_the_stock_kernel(vm: VM, bed: Bed) -> None:
    assert bed.release == vm.release == vm.run(["uname", "-r"]).stdout.strip()
    assert "Debian" in vm.run(["uname", "-v"]).stdout


def test_it_has_what_encrypted_volumes_need(vm: VM) -> None:
    lines = vm.run(["dmsetup", "targets"], check=True).stdout.splitlines()
    assert {"crypt", "integrity"} <= {line.split()[0] for line in lines}


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_codes_are_exact(vm: VM, code: int) -> None:
    assert vm.run(["sh", "-c", f"exit {code}"]).returncode == code


def test_a_program_that_a_signal_ended_is_told_from_one_that_failed(vm: VM) -> None:
    assert vm.run(["sh", "-c", "kill -TERM $$"]).returncode == -signal.SIGTERM


def test_output_and_errors_come_apart(vm: VM) -> None:
    done = vm.run(["sh", "-c", "printf one; printf two >&2"])
    assert (done.stdout, done.stderr) == ("one", "two")


def test_a_failure_can_be_an_error(vm: VM) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        vm.run(["sh", "-c", "echo why >&2; exit 3"], check=True)
    assert (caught.value.returncode, caught.value.stderr) == (3, "why\n")


def test_what_takes_too_long_is_killed_with_all_that_it_started(vm: VM) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        vm.run(["sh", "-c", "echo begun; sleep 4711 & sleep 4711"], timeout=0.5)
    assert caught.value.stdout == b"begun\n"
    assert vm.python("tests.kernel.guest.errors:running", "sleep\0004711\0") == []


def test_what_is_left_in_the_background_is_not_waited_for(vm: VM) -> None:
    began = time.monotonic()
    vm.run(["sh", "-c", "sleep 4712 &"], check=True)
    assert time.monotonic() - began < 60
    (pid,) = vm.python("tests.kernel.guest.errors:running", "sleep\0004712\0")
    vm.python("os:kill", pid, signal.SIGKILL)


def test_several_programs_run_at_once(vm: VM) -> None:
    vm.run(["mkfifo", "/run/fifo"], check=True)
    waiting = vm.start(["sh", "-c", "read line </run/fifo && echo $line; sleep 4713"])
    assert not waiting.is_over
    vm.run(["sh", "-c", "echo hello >/run/fifo"], check=True)
    while waiting.stdout != b"hello\n":
        time.sleep(0.02)
    assert not waiting.is_over
    waiting.signal(signal.SIGKILL)
    assert waiting.wait() == -signal.SIGKILL


def test_a_program_that_is_not_there_is_an_error_of_its_own(vm: VM) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        vm.run(["no-such-program"])


def test_files_go_in_and_out_byte_by_byte(vm: VM) -> None:
    content = bytes(range(256)) * 4096
    vm.write_bytes("/run/it's a file", content)
    assert content == vm.read_bytes("/run/it's a file")
    with pytest.raises(subprocess.CalledProcessError):
        vm.read_bytes("/run/no such file")


def test_the_host_cannot_be_changed(vm: VM, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("of the host")
    vm.run(["sh", "-c", f"echo of the guest >{path}; rm -f /etc/hostname"], check=True)
    assert path.read_text() == "of the host"
    assert vm.run(["cat", path]).stdout == "of the guest\n"


@pytest.mark.skipif(not processes.may_mount(), reason="no mounts may be made here")
def test_the_host_cannot_be_changed_even_by_a_guest_that_wants_to(vm: VM, tmp_path: Path) -> None:
    folder = Path("/run/host")
    vm.run(["mkdir", folder], check=True)
    vm.run(["mount", "-t", "virtiofs", "host", folder], check=True)
    vm.run(["mount", "-o", "remount,rw", folder], check=True)
    try:
        done = vm.run(["touch", f"{folder}{tmp_path}/file"])
    finally:
        vm.run(["umount", folder], check=True)
    assert "Read-only file system" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_python_functions_have_the_projects_environment(vm: VM) -> None:
    assert vm.python("cloudcrypt.sizes:round_down", 5000, 4096) == 4096
    assert vm.python("tests.kernel.guest.errors:echo", 1, [2], three={"3": None}) == [
        [1, [2]],
        {"three": {"3": None}},
    ]


def test_what_a_python_function_raises_is_seen(vm: VM) -> None:
    with pytest.raises(GuestRaised, match="in echo_error") as caught:
        vm.python("tests.kernel.guest.errors:echo_error", "why")
    assert (caught.value.kind, caught.value.message) == ("builtins.ValueError", "why")


def test_a_python_function_whose_process_dies_is_an_error(vm: VM) -> None:
    with pytest.raises(GuestRaised, match="-9"):
        vm.python("tests.kernel.guest.errors:die")


def test_a_python_function_that_takes_too_long_is_killed(vm: VM) -> None:
    with pytest.raises(TimeoutError):
        vm.python("time:sleep", 4711, timeout=0.5)
