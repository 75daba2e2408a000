"""Virtual machines live side by side, end in every way there is, and leave nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeVar

import attrs
import pytest

from cloudcrypt.sizes import MIB
from cloudcrypt_testing.vm import VM, Bed, VMFailed, ebs_volume, google_disk
from cloudcrypt_testing.vm.folders import TemporaryFolder

Found = TypeVar("Found")

SYSFS = "tests.kernel.guest.sysfs"


@pytest.fixture(scope="module")
def other(new_vm: Callable[..., VM]) -> Generator[VM]:
    """A second virtual machine, with udev and a network; the last test of this file kills it."""
    with new_vm(name="other", has_udev=True, has_network=True) as machine:
        yield machine


def test_several_run_at_once_each_with_changes_of_its_own(vm: VM, other: VM) -> None:
    for machine in (vm, other):
        machine.write_bytes("/etc/name", machine.name.encode())
    assert vm.read_bytes("/etc/name") == vm.name.encode()
    assert other.read_bytes("/etc/name") == other.name.encode()
    assert not Path("/etc/name").exists()


def test_with_udev_there_are_the_links_of_the_clouds(other: VM, image: Callable[..., Path]) -> None:
    other.plug(google_disk("data"), image("google"))
    other.plug(ebs_volume("vol-1"), image("ebs"))
    names = {
        "google-data": other.python(f"{SYSFS}:wait_for", {"vendor": "Google"}),
        "nvme-Amazon_Elastic_Block_Store_vol1": other.python(
            f"{SYSFS}:wait_for", {"serial": "vol1"}
        ),
    }
    other.run(["udevadm", "settle"], check=True)
    for link, name in names.items():
        found = other.run(["readlink", "-f", f"/dev/disk/by-id/{link}"], check=True).stdout
        assert found.strip() == f"/dev/{name}"
    for disk in other.disks:
        disk.unplug()


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Be silent."""


def test_servers_of_the_host_are_where_they_are_for_the_host(other: VM) -> None:
    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        port = server.server_address[1]
        other.forward(port)
        text = other.python("tests.kernel.guest.errors:fetch", f"http://127.0.0.1:{port}/")
        thread.join()
    assert text == "hello"


def test_a_power_cut_loses_what_was_not_written_and_the_rest_is_there_after_a_boot(
    other: VM, image: Callable[..., Path]
) -> None:
    path = image()
    other.plug(google_disk("data"), path)
    device = f"/dev/{other.python(f'{SYSFS}:wait_for', {'vendor': 'Google'})}"
    other.run(["mkfs.ext4", "-q", device], check=True)
    other.run(["mount", device, "/mnt"], check=True)
    script = "cd /mnt; printf synced >one; sync; printf cached >two"
    other.run(["sh", "-c", script], check=True)
    other.kill()
    other.kill()
    assert not other.is_running
    assert b"cached" not in path.read_bytes()
    with pytest.raises(VMFailed, match="not running"):
        other.run(["true"])
    with pytest.raises(VMFailed, match="not running"):
        other.plug(google_disk("data"), path)

    other.boot()
    assert other.disks == ()
    other.plug(google_disk("data"), path)
    device = f"/dev/{other.python(f'{SYSFS}:wait_for', {'vendor': 'Google'})}"
    other.run(["mount", device, "/mnt"], check=True)
    assert other.run(["cat", "/mnt/one"]).stdout == "synced"
    with pytest.raises(VMFailed, match="already"):
        other.boot()


def test_what_does_not_boot_is_an_error_with_logs(bed: Bed, tmp_path: Path) -> None:
    folder = tmp_path / "bed"
    boot = folder / "kernel" / "boot"
    boot.mkdir(parents=True)
    (boot / f"vmlinuz-{bed.release}").write_bytes(bytes(MIB))
    for name in ("busybox", "udev"):
        (folder / name).symlink_to(bed.folder / name)
    (folder / "kernel" / "lib").symlink_to(bed.folder / "kernel" / "lib")
    machine = VM(attrs.evolve(bed, folder=folder), name="broken", logs=tmp_path / "logs")
    with pytest.raises(VMFailed, match="kernel"):
        machine.boot()
    (logs,) = (tmp_path / "logs").iterdir()
    assert "kernel" in (logs / "qemu.log").read_text()


def test_it_ends_with_the_process_that_started_it(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import sys; from pathlib import Path; from cloudcrypt_testing.vm import VM, Bed;"
        "VM(Bed.load(Path(sys.argv[1])), name='orphan').boot()"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    starter = subprocess.Popen([sys.executable, "-c", script, bed.folder], env=environment)
    try:
        children = waited_for(lambda: found if len(found := started(starter.pid)) == 2 else None)
    finally:
        starter.kill()
        starter.wait()
    waited_for(lambda: not any(Path("/proc", pid).exists() for pid in children))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = TemporaryFolder()
    assert [folder.path] == list(tmp_path.iterdir())
    folder.close()
    assert list(tmp_path.iterdir()) == []


def started(parent: int) -> list[str]:
    """Return the process ids of the emulator and the file server of a process."""
    found: list[str] = []
    for thread in Path(f"/proc/{parent}/task").iterdir():
        for pid in (thread / "children").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                program = Path(f"/proc/{pid}/exe").readlink().name
                found += [pid] if program in {"qemu-system-x86_64", "virtiofsd"} else []
    return found


def waited_for(look: Callable[[], Found | None]) -> Found:
    end = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_forked_copy_does_not_end_it(vm: VM) -> None:
    pid = os.fork()
    if pid == 0:
        vm.close()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert vm.run(["true"]).returncode == 0
