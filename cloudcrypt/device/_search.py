"""The one disk of a host that has an identity: asked of the open device, and of no path."""

import os
from pathlib import Path
from typing import Protocol

from cloudcrypt.device._node import check_node, check_sequence, check_size, measured, opened
from cloudcrypt.device._sysfs import Disk, disks
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, BlockDevice


class Wanted(Protocol):
    """What tells one disk from all others of a host; ``str`` of it completes "no disk has"."""

    def fits(self, disk: Disk) -> bool:
        """Say whether ``disk`` may be the one, by what sysfs states."""
        ...

    def proves(self, disk: Disk, fd: int) -> bool:
        """Say whether ``disk``, which fits, is the one; ``fd`` is its open node.

        Raises:
            OSError: the device does not answer.
            DeviceMismatch: what it says contradicts itself, or the attachment.
        """
        ...


def find(attachment: Attachment, wanted: Wanted, root: Path) -> BlockDevice:
    """Return the one disk that is wanted, proven by the steps that `locate` lists.

    Raises:
        DeviceUnavailable: there is none, or one that fits cannot be opened or asked.
        DeviceMismatch: there are two, or it is not what the attachment and sysfs say.
    """
    fitting = [disk for disk in disks(root) if wanted.fits(disk)]
    asked = [(disk, _asked(attachment, wanted, disk, root)) for disk in fitting]
    found = [(disk, device) for disk, device in asked if device is not None]
    if len(found) > 1:  # step 1
        names = " and ".join(disk.name for disk, _ in found)
        raise DeviceMismatch(names, f"both of {wanted}", "one device")
    if not found:
        raise DeviceUnavailable(f"of volume {attachment.volume_id}", f"no disk has {wanted}")
    device = found[0][1]
    check_size(attachment, device)  # step 3
    return device


def _asked(attachment: Attachment, wanted: Wanted, disk: Disk, root: Path) -> BlockDevice | None:
    """Return the device if it is the one; None if it is another, or has gone meanwhile."""
    path = str(root / "dev" / disk.name)
    try:
        fd = opened(path)
        try:
            check_node(path, os.fstat(fd), disk, root)  # step 2
            if not wanted.proves(disk, fd):
                return None
            check_sequence(path, fd, disk)
            return measured(attachment, path, fd, disk)
        finally:
            os.close(fd)
    except DeviceUnavailable:
        if wanted.fits(disk):
            raise
    except OSError as error:
        if wanted.fits(disk):
            reason = f"it does not say what it is: {error.strerror or error}"
            raise DeviceUnavailable(path, reason) from error
    return None
