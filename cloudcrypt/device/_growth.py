"""After a resize: the kernel is made to ask the disk for its size, on the buses that need it."""

import os
from pathlib import Path

import attrs

from cloudcrypt.device._looking import Host
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceNotGrown
from cloudcrypt.model import Attachment, BlockDevice, FilePath

_NOT_NEEDED = "there is nothing to rescan on its bus"


def look_for_size(host: Host, attachment: Attachment, size: int) -> BlockDevice:
    """Return the device of ``attachment`` if it has at least ``size`` bytes, after a rescan if not.

    Raises:
        DeviceNotGrown: it has not.
        As `cloudcrypt.device.locate`.
    """
    goal = max(size, attachment.size)
    of_any_size = attrs.evolve(attachment, size=0)  # the attachment may be of after the resize
    device = host.look(of_any_size)
    if device.size >= goal:
        return device
    said = _rescan(host.root, attachment, device.path.name)
    device = host.look(of_any_size)
    if device.size >= goal:
        return device
    raise DeviceNotGrown(str(device.path), device.size, goal, said)


def _rescan(root: Path, attachment: Attachment, name: str) -> str:
    """Have the kernel ask for the size again, where it does not by itself; say what came of it.

    Documentation/ABI of Linux: ``/sys/block/*/device/rescan`` of a SCSI disk returns when that is
    done; ``rescan_controller`` of an NVMe controller begins it, as does an event of the controller.
    A file, a loop device and Xen's disks need nothing.
    """
    disk = Disk(root / "sys" / "block" / name)
    if isinstance(attachment.identity, FilePath) or not (disk.is_scsi or disk.is_nvme):
        return _NOT_NEEDED
    trigger = disk.path / "device" / ("rescan" if disk.is_scsi else "rescan_controller")
    try:
        descriptor = os.open(trigger, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"1")
        finally:
            os.close(descriptor)
    except FileNotFoundError:  # a recorded host, or a namespace of several paths
        return _NOT_NEEDED
    except OSError as error:
        return f"it could not be rescanned: {error.strerror or error}"
    return "it was rescanned"
