"""Volumes of EBS on Xen: a disk has the name that was asked for, and says nothing more of itself.

Amazon EC2 User Guide, "Device names for volumes on Amazon EC2 instances": ``/dev/sd[a-z]`` and
``/dev/xvd[b-d][a-z]`` are names to ask for, and the kernel may show the first as ``/dev/xvd[a-z]``.
"""

import re
from typing import Final, Self

import attrs

from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import UnsupportedOperation
from cloudcrypt.model import DeviceName

_ASKED: Final = re.compile(r"/dev/(?:sd|xvd)([a-z]{1,2})", re.ASCII)  # no partitions: whole disks
_MAJOR: Final = "202"  # Documentation/admin-guide/devices.txt: Xen Virtual Block Device


@attrs.frozen(str=False)
class XenDisk:
    """The Xen disk of a name, which proves nothing."""

    name: str

    @classmethod
    def of(cls, identity: DeviceName) -> Self:
        """Return what the kernel calls the disk that EC2 was asked to call ``identity``.

        Raises:
            UnsupportedOperation: EC2 gives no disk such a name.
        """
        asked = _ASKED.fullmatch(identity.name)
        if asked is None:
            raise UnsupportedOperation(
                f"finding a device by the name {identity.name}",
                "attach the volume as /dev/sd[b-z] or /dev/xvd[b-d][a-z]",
            )
        return cls(f"xvd{asked[1]}")

    def __str__(self) -> str:
        return f"name {self.name}"

    def fits(self, disk: Disk) -> bool:
        """Say whether it is a disk of Xen's with this name."""
        number = disk.attribute("dev") or ""
        return disk.name == self.name and number.partition(":")[0] == _MAJOR

    def proves(self, disk: Disk, fd: int) -> bool:
        """Say the same, now that the device is open: all that there is to say."""
        del fd
        return self.fits(disk)
