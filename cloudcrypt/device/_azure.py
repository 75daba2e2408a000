"""Managed disks of Azure: the logical unit number, on a controller of data disks.

As in ``80-azure-disk.rules`` and ``azure-nvme-id`` of azure-vm-utils, and its documentation "Disk
Identification".
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.device._nvme import Identify, vendor_text
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceMismatch
from cloudcrypt.model import AzureLun

_SCSI: Final = {"vendor": "Msft", "model": "Virtual Disk"}
_NVME: Final = {"model": "MSFT NVMe Accelerator v1.0"}  # disks of the host are NVMe Direct Disks
_DATA_CONTROLLERS: Final = frozenset(
    f"{{f8b3781{each}-1e82-4818-a1c3-63d806ec15bb}}" for each in "bcd"
)  # f8b3781a has the disk of the operating system, LUN 0, and the resource disk, LUN 1
_FIRST_DATA_NSID: Final = 2  # namespace 1 is the disk of the operating system
_ADDRESS: Final = re.compile(r"[0-9]+:[0-9]+:[0-9]+:([0-9]{1,5})", re.ASCII)  # host:channel:id:LUN
_PROPERTY: Final = re.compile(r"([a-z]+)=([^=,]*)")


@attrs.frozen(str=False)
class AzureDisk:
    """The data disk at a logical unit number."""

    identity: AzureLun
    identify: Identify

    def __str__(self) -> str:
        return f"LUN {self.identity.lun} of the data disks"

    def fits(self, disk: Disk) -> bool:
        """Say whether it is a SCSI data disk at this LUN, or any namespace for data disks."""
        if disk.is_scsi:
            return disk.states(**_SCSI) and _scsi_lun(disk) == self.identity.lun
        return disk.is_nvme and disk.states(**_NVME) and _nvme_lun(disk) is not None

    def proves(self, disk: Disk, fd: int) -> bool:
        """Say whether the disk is at this LUN, by its own word if it says one.

        Raises:
            OSError: the namespace does not answer.
            DeviceMismatch: it has another name, or what it says cannot be read.
        """
        if disk.is_scsi:
            return self.fits(disk)
        said = namespace_properties(self.identify(fd, disk.path))
        is_numbered = _nvme_lun(disk) == self.identity.lun
        if not said:
            if said is None and is_numbered:
                raise DeviceMismatch(disk.name, "of unreadable vendor data", str(self))
            return is_numbered and said is not None
        return self._is_named(disk, said, is_numbered=is_numbered)

    def _is_named(self, disk: Disk, said: Mapping[str, str], *, is_numbered: bool) -> bool:
        is_here = said["lun"] == str(self.identity.lun) if "lun" in said else is_numbered
        if said.get("type") != "data" or not is_here:
            return False
        name = said.get("name", self.identity.name)
        if name.lower() != self.identity.name.lower():  # names on Azure ignore case
            raise DeviceMismatch(disk.name, f"called {name}", self.identity.name)
        return True


def namespace_properties(page: bytes) -> Mapping[str, str] | None:
    """Return what an Identify Namespace page says, such as ``type=data,lun=4,name=data-db``.

    Returns:
        The properties; none of them where an older host says nothing; None if the text is not a
        list of ``key=value``, each key once.
    """
    text = vendor_text(page)
    if text is None:
        return None
    properties = dict[str, str]()
    for each in text.split(",") if text else ():
        found = _PROPERTY.fullmatch(each)
        if found is None or found[1] in properties:
            return None
        properties[found[1]] = found[2]
    return properties


def _scsi_lun(disk: Disk) -> int | None:
    """Return the LUN of a disk on a controller of data disks; None for any other."""
    try:
        address = (disk.path / "device").resolve(strict=True)
    except (OSError, RuntimeError):  # it has gone, or is a loop
        return None
    lun = _ADDRESS.fullmatch(address.name)
    controller = Disk(address.parent.parent.parent)  # above are target, host, and VMBus device
    if lun is None or controller.attribute("device_id") not in _DATA_CONTROLLERS:
        return None
    return int(lun[1])


def _nvme_lun(disk: Disk) -> int | None:
    """Return the LUN that the number of a namespace stands for; None if it is no data disk."""
    nsid = disk.number("nsid")
    return None if nsid is None or nsid < _FIRST_DATA_NSID else nsid - _FIRST_DATA_NSID
