"""From an attachment to a block device that is proven to be the one the provider described.

A path alone proves nothing: it may be stale, or name something else by now. Whatever cannot be
proven is refused. No external tool is asked, and no link below ``/dev/disk`` is believed.
"""

from pathlib import Path

from cloudcrypt.device._azure import AzureDisk
from cloudcrypt.device._file import open_file
from cloudcrypt.device._google import GoogleDisk
from cloudcrypt.device._node import ROOT
from cloudcrypt.device._nvme import Identify, usual_identify
from cloudcrypt.device._search import find
from cloudcrypt.device._serial import SerialNumber
from cloudcrypt.errors import DeviceUnavailable, UnsupportedOperation
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    BlockDevice,
    DeviceName,
    FilePath,
    GoogleDeviceName,
    NvmeSerial,
)
from cloudcrypt.waiting import Deadline

__all__ = ["ROOT", "Identify", "locate"]


def locate(
    attachment: Attachment,
    *,
    root: Path = ROOT,
    deadline: Deadline | None = None,
    identify: Identify | None = None,
) -> BlockDevice:
    """Find the device of ``attachment`` on this host, and prove its identity.

    Opens nothing for writing, reads no content, and changes nothing. A file, of the local provider:

    1. the path, no symbolic link followed, is a regular file or a block device;
    2. its device number and inode are those that the provider saw;
    3. it has at least the size of the attachment: a volume never shrinks.

    A device of a cloud:

    1. exactly one disk in sysfs has the identity of the attachment (below);
    2. its node below ``dev``, no symbolic link followed, is a block device with the device number
       that sysfs states;
    3. as above, and sysfs states the same size.

    What the identity is, each cloud says in its own way:

    - ``NvmeSerial`` (EBS): the NVMe controller's serial number and model.
    - ``GoogleDeviceName``: the device name. A SCSI disk of vendor ``Google`` and model
      ``PersistentDisk`` has it in its device identification page (VPD 0x83), an NVMe namespace of
      model ``nvme_card-pd`` in the vendor-specific area of Identify Namespace, as JSON. A page that
      names two devices is refused.
    - ``AzureLun``: the logical unit number. A SCSI disk, ``Msft`` ``Virtual Disk``, has it in its
      address, and hangs on one of the VMBus controllers of data disks: those of the operating
      system and of the resource disk use the same numbers. An NVMe namespace of model ``MSFT NVMe
      Accelerator v1.0`` has the number LUN + 2. Where its vendor-specific area says number and
      name, those count, and another name is refused. A LUN proves little, since it is used again
      for the next disk: that it is the right volume is proven by its sealed header alone, when the
      volume is opened.
    - ``DeviceName`` (Xen): a name alone proves nothing.

    Identify Namespace is an administrative command: the kernel lets root (CAP_SYS_ADMIN) ask it.

    Args:
        attachment: what the provider said.
        root: the folder that has ``dev`` and ``sys``. Below another root than this host's, regular
            files stand for block devices, and a file ``identify`` beside ``nsid`` in sysfs for what
            a namespace answers.
        deadline: until when to look again for a device that is not there yet; None looks once.
        identify: who asks an NVMe namespace for its Identify Namespace page; None asks the kernel.

    Returns:
        The device with its size in bytes as it is now, which may be larger.

    Raises:
        DeviceUnavailable: there is no such device, or one that it may be cannot be opened or asked.
        DeviceMismatch: what is there is not the device of the attachment, or there are two of it.
        UnsupportedOperation: the device is known by its name alone.
        OperationCancelled: the caller cancelled.
    """
    steps = None if deadline is None else deadline.steps(first=0.1, longest=2.0)
    while True:
        try:
            return _look(attachment, root, identify)
        except DeviceUnavailable:
            if steps is None or not steps.again():
                raise


def _look(attachment: Attachment, root: Path, identify: Identify | None) -> BlockDevice:
    ask = identify or usual_identify(root)
    identity = attachment.identity
    match identity:
        case FilePath():
            return open_file(attachment, identity)
        case NvmeSerial():
            return find(attachment, SerialNumber(identity), root)
        case GoogleDeviceName():
            return find(attachment, GoogleDisk(identity.device_name, ask), root)
        case AzureLun():
            return find(attachment, AzureDisk(identity, ask), root)
        case DeviceName():
            raise UnsupportedOperation(
                f"finding a device by its name alone ({identity.name})",
                "use an instance type that shows its volumes as NVMe devices",
            )
