"""Disks come, grow and go as in each cloud, and what is done to them can be recorded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.disk import FileDisk, read
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.vm import (
    VM,
    PCIeNVMeDisk,
    Presentation,
    QMPRefused,
    azure_disk,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)
from cloudcrypt_testing.vm.writelog import WriteLog, recorded

SIZE = 32 * MIB
SYSFS = "tests.kernel.guest.sysfs"

PRESENTATIONS: dict[str, tuple[Presentation, dict[str, Any]]] = {
    "google": (
        google_disk("my-data"),
        # SPC-4, 7.8.6: one designator, in ASCII, specific to the vendor
        {
            "vendor": "Google",
            "model": "PersistentDisk",
            "page_83": (b"\0\x83\0\x0b" + b"\x02\0\0\x07my-data").hex(),
        },
    ),
    "azure": (azure_disk(5), {"vendor": "Msft", "model": "Virtual Disk", "target": 0, "lun": 5}),
    "azure-nvme": (azure_nvme_disk(3), {"model": "MSFT NVMe Accelerator v1.0", "nsid": 5}),
    "ebs": (
        ebs_volume("vol-0123456789abcdef0"),
        {"model": "Amazon Elastic Block Store", "serial": "vol0123456789abcdef0", "nsid": 1},
    ),
    "pcie": (PCIeNVMeDisk("serial-1"), {"model": "QEMU NVMe Ctrl", "serial": "serial-1"}),
}
EACH = pytest.mark.parametrize(
    ("presentation", "facts"), PRESENTATIONS.values(), ids=PRESENTATIONS.keys()
)


@EACH
def test_a_disk_comes_grows_and_goes(
    vm: VM, image: Callable[..., Path], presentation: Presentation, facts: dict[str, Any]
) -> None:
    path = image()
    disk = vm.plug(presentation, path)
    name = vm.python(f"{SYSFS}:wait_for", {**facts, "size": SIZE})
    if isinstance(presentation, PCIeNVMeDisk):
        with pytest.raises(QMPRefused, match="resize"):
            disk.resize(2 * SIZE)
    else:
        disk.resize(2 * SIZE)
        assert name == vm.python(f"{SYSFS}:wait_for", {**facts, "size": 2 * SIZE})
        assert path.stat().st_size == 2 * SIZE
    disk.unplug()
    vm.python(f"{SYSFS}:wait_until_gone", name)
    disk.unplug()
    assert vm.disks == ()


def test_disks_of_the_same_kind_are_told_apart(vm: VM, image: Callable[..., Path]) -> None:
    for number in range(3):
        vm.plug(google_disk(f"disk-{number}"), image(f"g{number}"))
        vm.plug(ebs_volume(f"vol-{number}"), image(f"e{number}"))
        vm.plug(azure_nvme_disk(number), image(f"z{number}"))
    names = {
        *(vm.python(f"{SYSFS}:wait_for", {"vendor": "Google", "target": n}) for n in (1, 2, 3)),
        *(vm.python(f"{SYSFS}:wait_for", {"serial": f"vol{n}"}) for n in range(3)),
        *(vm.python(f"{SYSFS}:wait_for", {"serial": "SN: 000001", "nsid": n}) for n in (2, 3, 4)),
    }
    assert len(names) == 9


def test_a_disk_that_is_in_use_can_be_pulled_out(vm: VM, image: Callable[..., Path]) -> None:
    disk = vm.plug(ebs_volume("vol-1"), image())
    name = vm.python(f"{SYSFS}:wait_for", {"serial": "vol1"})
    command = ["dd", "if=/dev/zero", f"of=/dev/{name}", "bs=4k", "oflag=direct", "conv=fsync"]
    writing = vm.start(command)
    vm.run(["sh", "-c", f"until grep -q '[1-9]' /sys/block/{name}/stat; do :; done"], check=True)
    disk.unplug()
    assert writing.wait() == 1
    assert "error writing" in writing.stderr.decode()


def test_what_the_guest_writes_is_in_the_file(vm: VM, image: Callable[..., Path]) -> None:
    path = image()
    vm.plug(azure_disk(0), path)
    name = vm.python(f"{SYSFS}:wait_for", {"vendor": "Msft", "lun": 0})
    content = os.urandom(MIB)
    write = ["dd", f"of=/dev/{name}", "bs=1M", "iflag=fullblock", "conv=fsync"]
    vm.run(write, stdin=content, check=True)
    assert path.read_bytes()[:MIB] == content


def test_a_disk_that_another_has_is_refused_unless_it_is_shared(
    vm: VM, image: Callable[..., Path]
) -> None:
    path = image()
    vm.plug(google_disk("one"), path)
    with pytest.raises(QMPRefused, match="lock"):
        vm.plug(google_disk("two"), path)
    assert [disk.path for disk in vm.disks] == [path]
    shared = image("shared")
    vm.plug(google_disk("three"), shared, is_shared=True)
    vm.plug(google_disk("four"), shared, is_shared=True)


@pytest.mark.parametrize("kind", ["google", "ebs"])
def test_every_write_is_recorded(
    vm: VM, image: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    presentation, facts = PRESENTATIONS[kind]
    path, log = image(), tmp_path / "log"
    disk = vm.plug(presentation, path, log=log)
    device = Path("/dev", vm.python(f"{SYSFS}:wait_for", facts))
    vm.run(["mkfs.ext4", "-q", device], check=True)
    synced = recorded(log)
    made = path.read_bytes()
    vm.run(["mount", device, "/mnt"], check=True)
    vm.run(["sh", "-c", "seq 100000 >/mnt/file; umount /mnt"], check=True)
    disk.unplug()

    written = WriteLog.read(log)
    assert written.flushes > 0
    replica = MemoryDisk(SIZE)
    written.replay(replica)
    assert path.read_bytes() == read(replica, 0, SIZE)
    states = {state.count: state.disk for state in written.states(MemoryDisk(SIZE))}
    assert len(states) > 10
    assert read(states[0], 0, SIZE) == bytes(SIZE)
    assert read(states[max(n for n in states if n <= synced)], 0, SIZE) == made
    with FileDisk(path) as final:
        assert read(final, 0, SIZE) == read(states[max(states)], 0, SIZE)
