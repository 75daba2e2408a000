"""How volumes of EBS look on a host: NVMe on Nitro instances, Xen disks on older ones."""

from pathlib import Path
from typing import Final

from cloudcrypt_testing.world.node import FakeNode, NodeDevice

MODEL: Final = "Amazon Elastic Block Store"
"""The model number of the NVMe controller of every volume."""
LINK: Final = f"nvme-{MODEL.replace(' ', '_')}_"
"""How udev's link to a volume begins; the serial number follows."""

_MODEL_BYTES: Final = 40  # NVMe base specification: Identify Controller, MN
_SERIAL_BYTES: Final = 20  # the same, SN
_BLKEXT_MAJOR: Final = 259
_XEN_MAJOR: Final = 202
_MINORS_A_DISK: Final = 16


def serial(volume_id: str) -> str:
    """Return the serial number that the controller of a volume reports."""
    return volume_id.replace("-", "")


class EBSNode(FakeNode):
    """The host of one instance."""

    def __init__(self, root: Path, *, is_nvme: bool) -> None:
        """Begin without disks; ``is_nvme`` says that it is a Nitro instance."""
        super().__init__(root)
        self.is_nvme = is_nvme
        self._names: dict[str, str] = {}

    def name(self, volume_id: str) -> str | None:
        """Return the kernel's name of the disk of a volume, or None if it is not there."""
        return self._names.get(volume_id)

    def attach(self, volume_id: str, asked: str, backing: Path) -> None:
        """Show the disk of a volume, for which the device name ``asked`` was asked."""
        if volume_id not in self._names:
            device = self._nvme(volume_id) if self.is_nvme else self._xen(asked)
            self._names[volume_id] = device.name
            self.plug(device, backing)

    def detach(self, volume_id: str) -> None:
        """Show the disk of a volume no longer. Idempotent."""
        name = self._names.pop(volume_id, None)
        if name is not None:
            self.unplug(name)

    def grow(self, volume_id: str, size: int) -> None:
        """Show that the disk of a volume has ``size`` bytes now, if it is there."""
        name = self._names.get(volume_id)
        if name is not None:
            self.resize(name, size)

    def leave_stale_link(self, volume_id: str, name: str) -> None:
        """Let udev's link to a volume point to the disk ``name``, which is another one."""
        self.point(LINK + serial(volume_id), name)

    def _nvme(self, volume_id: str) -> NodeDevice:
        taken = self.devices
        number = 0  # the lowest free one, whatever device name was asked for
        while f"nvme{number}n1" in taken:
            number += 1
        return NodeDevice(
            f"nvme{number}n1",
            (_BLKEXT_MAJOR, number),
            {
                "serial": f"{serial(volume_id):<{_SERIAL_BYTES}}\n",
                "model": f"{MODEL:<{_MODEL_BYTES}}\n",
            },
            (LINK + serial(volume_id),),
            controller=f"class/nvme/nvme{number}",
        )

    def _xen(self, asked: str) -> NodeDevice:
        name = asked.removeprefix("/dev/")
        if name.startswith("sd"):
            name = f"xvd{name[2:]}"
        minor = _MINORS_A_DISK * len(self.devices)
        while (_XEN_MAJOR, minor) in {device.number for device in self.devices.values()}:
            minor += _MINORS_A_DISK
        return NodeDevice(name, (_XEN_MAJOR, minor))
