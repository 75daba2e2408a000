"""How disks of GCE look on a host: SCSI disks, or namespaces of one NVMe controller.

What a SCSI disk says in page 0x83 is what ``scsi_id`` of systemd and Google's own tools for Windows
find there: a vendor-specific designator with the device name, and one of type T10 vendor
identification with ``Google`` before it. What a namespace says is what ``google_nvme_id`` of
guest-configs reads.
"""

import itertools
import json
import struct
from pathlib import Path
from typing import Final

from cloudcrypt_testing.world.node import FakeNode, NodeDevice

BOOT: Final = "persistent-disk-0"
"""The device name of a boot disk for which nobody chose one."""
MODEL: Final = "nvme_card-pd"
"""The model and the serial number of the NVMe controller of all disks."""
LINK: Final = "google-"
"""How udev's link to a disk begins; the device name follows."""

_BOOT_BYTES: Final = 10 * 1024**3
_IDENTIFY_BYTES: Final = 4096  # NVMe base specification: Identify Namespace
_VENDOR_BYTES: Final = 384  # the same: where the vendor-specific area begins
_BLKEXT_MAJOR: Final = 259
_SD_MAJOR: Final = 8
_MINORS_A_DISK: Final = 16
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_VENDOR_SPECIFIC, _T10_VENDOR = 0, 1  # SPC-4, designator type
_ASCII, _UTF8 = 2, 3  # SPC-4, code set


def page_83(device_name: str) -> bytes:
    """Return the device identification page (VPD 0x83) of a SCSI disk."""
    name = device_name.encode("ascii")
    body = _designator(_ASCII, _VENDOR_SPECIFIC, name)
    body += _designator(_UTF8, _T10_VENDOR, b"Google  " + name)
    return struct.pack(">BBH", 0, 0x83, len(body)) + body


def identify_page(device_name: str, disk_type: str = "PERSISTENT") -> bytes:
    """Return what a namespace answers to Identify Namespace, as far as its identity goes."""
    document = {"device_name": device_name, "disk_type": disk_type}
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    return (bytes(_VENDOR_BYTES) + text).ljust(_IDENTIFY_BYTES, b"\0")


def _designator(code_set: int, kind: int, content: bytes) -> bytes:
    return struct.pack(">BBxB", code_set, kind, len(content)) + content


class GoogleNode(FakeNode):
    """The host of one instance."""

    def __init__(self, root: Path, *, is_nvme: bool) -> None:
        """Begin with the boot disk; ``is_nvme`` says how the machine type shows its disks."""
        super().__init__(root)
        self.is_nvme = is_nvme
        self._names: dict[str, str] = {}
        boot = root / "boot"
        with boot.open("wb") as file:
            file.truncate(_BOOT_BYTES)
        self.plug(self._device(BOOT), boot)

    def name(self, key: str) -> str | None:
        """Return the kernel's name of the disk of ``key``, or None if it is not there."""
        return self._names.get(key)

    def attach(self, key: str, device_name: str, backing: Path) -> None:
        """Show the disk of ``key`` under a device name. Idempotent."""
        if key not in self._names:
            device = self._device(device_name)
            self._names[key] = device.name
            self.plug(device, backing)

    def detach(self, key: str) -> None:
        """Show the disk of ``key`` no longer. Idempotent."""
        name = self._names.pop(key, None)
        if name is not None:
            self.unplug(name)

    def grow(self, key: str, size: int) -> None:
        """Show that the disk of ``key`` has ``size`` bytes now, if it is there."""
        name = self._names.get(key)
        if name is not None:
            self.resize(name, size)

    def leave_stale_link(self, device_name: str, name: str) -> None:
        """Let udev's link of a device name point to the disk ``name``, which is another one."""
        self.point(LINK + device_name, name)

    def _device(self, device_name: str) -> NodeDevice:
        return self._nvme(device_name) if self.is_nvme else self._scsi(device_name)

    def _nvme(self, device_name: str) -> NodeDevice:
        taken = self.devices
        number = next(each for each in itertools.count(1) if f"nvme0n{each}" not in taken)
        return NodeDevice(
            f"nvme0n{number}",
            (_BLKEXT_MAJOR, number),
            {"serial": f"{MODEL:<20}\n", "model": f"{MODEL:<40}\n"},
            (LINK + device_name,),
            controller="class/nvme/nvme0",
            block={"nsid": f"{number}\n", "identify": identify_page(device_name)},
        )

    def _scsi(self, device_name: str) -> NodeDevice:
        taken = self.devices
        names = (f"sd{a}{b}" for a in ("", *_LETTERS) for b in _LETTERS)
        index, name = next(each for each in enumerate(names) if each[1] not in taken)
        target = index + 1
        major = _SD_MAJOR if index < 16 else 64 + index // 16  # Linux: 8, then 65 to 71
        return NodeDevice(
            name,
            (major, _MINORS_A_DISK * (index % 16)),
            {
                "vendor": "Google  \n",
                "model": "PersistentDisk  \n",
                "type": "0\n",
                "vpd_pg83": page_83(device_name),
            },
            (LINK + device_name, f"scsi-0Google_PersistentDisk_{device_name}"),
            controller=(
                f"devices/pci0000:00/0000:00:03.0/virtio0/host0/target0:0:{target}/0:0:{target}:0"
            ),
        )
