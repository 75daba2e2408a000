"""How managed disks look on a virtual machine of Azure: SCSI disks of VMBus, or NVMe namespaces.

As in ``80-azure-disk.rules`` and ``azure-nvme-id`` of azure-vm-utils: a SCSI disk says only its
logical unit number and, by its controller, whether it is a data disk at all; a namespace says the
number as its own less two, and on newer hosts the name of the disk.
"""

import itertools
import struct
from pathlib import Path
from typing import Final

from cloudcrypt_testing.world.node import FakeNode, NodeDevice

MODEL: Final = "MSFT NVMe Accelerator v1.0"
"""The model of the NVMe controller of all managed disks."""
LOCAL_MODEL: Final = "Microsoft NVMe Direct Disk v2"
"""The model of the NVMe controllers of disks inside the host."""
OS_CONTROLLER: Final = "f8b3781a-1e82-4818-a1c3-63d806ec15bb"
"""The VMBus device of the disk of the operating system and of the resource disk."""
DATA_CONTROLLERS: Final = (
    "f8b3781b-1e82-4818-a1c3-63d806ec15bb",
    "f8b3781c-1e82-4818-a1c3-63d806ec15bb",
    "f8b3781d-1e82-4818-a1c3-63d806ec15bb",
)
"""The VMBus devices of data disks."""

_OS_BYTES: Final = 30 * 1024**3
_LOCAL_BYTES: Final = 110 * 1024**3
_IDENTIFY_BYTES: Final = 4096  # NVMe base specification: Identify Namespace
_VENDOR_BYTES: Final = 384  # the same: where the vendor-specific area begins
_FIRST_DATA_NSID: Final = 2  # 1 is the disk of the operating system
_BLKEXT_MAJOR: Final = 259
_SD_MAJOR: Final = 8
_MINORS_A_DISK: Final = 16
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_VMBUS: Final = "devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:01"


def identify_page(text: str = "") -> bytes:
    """Return an answer to Identify Namespace with ``text`` in the vendor-specific area."""
    return (bytes(_VENDOR_BYTES) + text.encode("ascii")).ljust(_IDENTIFY_BYTES, b"\0")


def page_83(host: int, lun: int) -> bytes:
    """Return a device identification page (VPD 0x83) that names nothing that anybody knows."""
    content = struct.pack(">BBHQ", 0x60, 0x02, 0x2480, host << 32 | lun)
    body = struct.pack(">BBxB", 1, 3, len(content)) + content  # binary, NAA
    return struct.pack(">BBH", 0, 0x83, len(body)) + body


class AzureNode(FakeNode):
    """The host of one virtual machine."""

    def __init__(self, root: Path, *, is_nvme: bool, has_names: bool = True) -> None:
        """Begin with the disks that a virtual machine has before any data disk is attached.

        Args:
            root: a new folder.
            is_nvme: the size of the machine shows managed disks as NVMe namespaces.
            has_names: the host is new enough to say their names.
        """
        super().__init__(root)
        self.is_nvme = is_nvme
        self.has_names = has_names
        self._names: dict[str, str] = {}
        for controller in (OS_CONTROLLER, *DATA_CONTROLLERS):
            self.describe(f"{_VMBUS}/{controller}", {"device_id": f"{{{controller}}}\n"})
        if is_nvme:
            text = "type=os" if has_names else ""
            self._own("os", _OS_BYTES, self._namespace(1, text))
            self._own("local", _LOCAL_BYTES, self._local())
        else:
            self._own("os", _OS_BYTES, self._scsi(OS_CONTROLLER, 0))
            self._own("resource", _LOCAL_BYTES, self._scsi(OS_CONTROLLER, 1))

    def name(self, key: str) -> str | None:
        """Return the kernel's name of the disk of ``key``, or None if it is not there."""
        return self._names.get(key)

    def attach(
        self, key: str, lun: int, name: str, backing: Path, *, controller: str = DATA_CONTROLLERS[0]
    ) -> None:
        """Show the disk of ``key``, called ``name``, at a logical unit number. Idempotent."""
        if key not in self._names:
            if self.is_nvme:
                text = f"type=data,lun={lun},name={name}" if self.has_names else ""
                device = self._namespace(lun + _FIRST_DATA_NSID, text)
            else:
                device = self._scsi(controller, lun)
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

    def leave_stale_link(self, lun: int, name: str) -> None:
        """Let udev's link of a data disk point to the disk ``name``, which is another one."""
        self.point(f"azure/data/by-lun/{lun}", name)

    def _own(self, folder: str, size: int, device: NodeDevice) -> None:
        backing = self.root / folder
        with backing.open("wb") as file:
            file.truncate(size)
        self.plug(device, backing)

    def _namespace(self, nsid: int, text: str) -> NodeDevice:
        taken = self.devices  # the kernel counts namespaces as they come, whatever their number
        number = next(each for each in itertools.count(1) if f"nvme0n{each}" not in taken)
        lun = nsid - _FIRST_DATA_NSID
        return NodeDevice(
            f"nvme0n{number}",
            (_BLKEXT_MAJOR, number),
            {"serial": f"{'SN: 000001':<20}\n", "model": f"{MODEL:<40}\n"},
            ("azure/os" if nsid == 1 else f"azure/data/by-lun/{lun}",),
            controller="class/nvme/nvme0",
            block={"nsid": f"{nsid}\n", "identify": identify_page(text)},
        )

    def _local(self) -> NodeDevice:
        text = "type=local,index=1,name=nvme-110G-1"
        return NodeDevice(
            "nvme1n1",
            (_BLKEXT_MAJOR, 1024),
            {"serial": f"{'ebeb91bd841bceb90001':<20}\n", "model": f"{LOCAL_MODEL:<40}\n"},
            ("azure/local/by-index/1",),
            controller="class/nvme/nvme1",
            block={"nsid": "1\n", "identify": identify_page(text)},
        )

    def _scsi(self, controller: str, lun: int) -> NodeDevice:
        taken = self.devices
        names = (f"sd{a}{b}" for a in ("", *_LETTERS) for b in _LETTERS)
        index, name = next(each for each in enumerate(names) if each[1] not in taken)
        host = (OS_CONTROLLER, *DATA_CONTROLLERS).index(controller)
        links = (f"azure/data/by-lun/{lun}", f"azure/scsi{host}/lun{lun}")
        major = _SD_MAJOR if index < 16 else 64 + index // 16  # Linux: 8, then 65 to 71
        return NodeDevice(
            name,
            (major, _MINORS_A_DISK * (index % 16)),
            {
                "vendor": "Msft    \n",
                "model": "Virtual Disk    \n",
                "type": "0\n",
                "vpd_pg83": page_83(host, lun),
            },
            links if host else ("azure/os" if lun == 0 else "azure/resource",),
            controller=f"{_VMBUS}/{controller}/host{host}/target{host}:0:0/{host}:0:0:{lun}",
        )
