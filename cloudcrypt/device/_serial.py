"""Volumes of EBS: each is an NVMe controller of its own, with the volume id as serial number."""

import attrs

from cloudcrypt.device._sysfs import Disk
from cloudcrypt.model import NvmeSerial


@attrs.frozen(str=False)
class SerialNumber:
    """The namespace of the controller with a serial number and a model."""

    identity: NvmeSerial

    def __str__(self) -> str:
        return f"serial {self.identity.serial} and model {self.identity.model}"

    def fits(self, disk: Disk) -> bool:
        """Say whether it is a namespace, and its controller has the serial number and model."""
        return disk.is_nvme and disk.states(serial=self.identity.serial, model=self.identity.model)

    def proves(self, disk: Disk, fd: int) -> bool:
        """Say the same, now that the device is open."""
        del fd
        return self.fits(disk)
