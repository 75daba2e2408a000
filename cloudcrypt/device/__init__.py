"""From an attachment to a block device that is proven to be the one the provider described.

A path alone proves nothing: it may be stale, or name something else by now. Whatever cannot be
proven is refused. No external tool is asked, and no link below ``/dev/disk`` is believed.
"""

from pathlib import Path

from cloudcrypt.device._growth import look_for_size
from cloudcrypt.device._looking import Host
from cloudcrypt.device._node import ROOT
from cloudcrypt.device._nvme import Identify
from cloudcrypt.device._watch import HostWatch, OpenWatch, Watch, awaited
from cloudcrypt.model import Attachment, BlockDevice
from cloudcrypt.waiting import Deadline

__all__ = ["ROOT", "HostWatch", "Identify", "OpenWatch", "Watch", "grown", "locate"]


def locate(
    attachment: Attachment,
    *,
    root: Path = ROOT,
    deadline: Deadline | None = None,
    unproven: bool = False,
    identify: Identify | None = None,
    watch: OpenWatch = HostWatch,
) -> BlockDevice:
    """Find the device of ``attachment`` on this host, and prove its identity.

    Opens nothing for writing, reads no content, and changes nothing. A file, of the local provider:

    1. the path, no symbolic link followed, is a regular file or a block device;
    2. its device number and inode are those that the provider saw;
    3. it has at least the size of the attachment: a volume never shrinks.

    A device of a cloud:

    1. exactly one disk in sysfs has the identity of the attachment (below);
    2. its node below ``dev``, no symbolic link followed, is a block device with the device number
       that sysfs states, and with the sequence number of the disk where Linux has them (5.15);
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
      volume is opened. A volume without a header yet is formatted only if the ledger says that it
      is new and the device is blank, so that no content can be lost by a mistaken number.
    - ``DeviceName`` (Xen): a name alone proves nothing. It is looked for only if ``unproven`` is
      said, and what is returned has ``proven`` False: it can be opened, since the sealed header
      proves it, but not be formatted, rebound, or given a header.

    Identify Namespace is an administrative command: the kernel lets root (CAP_SYS_ADMIN) ask it.

    Waiting is by events of the kernel and by inotify; only where neither is to be had, and in case
    one is lost, it is looked every few seconds.

    Args:
        attachment: what the provider said.
        root: the folder that has ``dev`` and ``sys``. Below another root than this host's, regular
            files stand for block devices, and a file ``identify`` beside ``nsid`` in sysfs for what
            a namespace answers.
        deadline: until when to wait for a device that is not there yet; None looks once.
        unproven: look for a device that is known by its name alone, too.
        identify: who asks an NVMe namespace for its Identify Namespace page; None asks the kernel.
        watch: who says when to look again.

    Returns:
        The device with its size in bytes as it is now, which may be larger.

    Raises:
        DeviceUnavailable: there is no such device, or one that it may be cannot be opened or asked.
        DeviceMismatch: what is there is not the device of the attachment, or there are two of it.
        UnsupportedOperation: the device is known by its name alone.
        OperationCancelled: the caller cancelled.
    """
    host = Host(root, identify, unproven)
    return awaited(lambda: host.look(attachment), deadline, lambda: watch(host.folders(attachment)))


def grown(
    attachment: Attachment,
    size: int,
    *,
    root: Path = ROOT,
    deadline: Deadline | None = None,
    unproven: bool = False,
    identify: Identify | None = None,
    watch: OpenWatch = HostWatch,
) -> BlockDevice:
    """Confirm that the device of ``attachment`` has its new size, after the cloud resized it.

    Its identity is proven as by `locate`, before and after. Where it is smaller the kernel is made
    to ask it again: a SCSI disk, or the controller of an NVMe namespace; files, loop devices and
    Xen's disks need nothing. That needs root, and a sysfs that can be written. Idempotent: a device
    that has the size is returned at once.

    Args:
        attachment: what the provider said, before the resize or after it.
        size: bytes that the device has to have at least; also at least that of the attachment.
        root: as for `locate`.
        deadline: until when to wait for the size; None looks, rescans, and looks again.
        unproven: as for `locate`.
        identify: as for `locate`.
        watch: as for `locate`.

    Returns:
        The device with its size in bytes as it is now.

    Raises:
        DeviceNotGrown: it is smaller still; nothing is wrong with it otherwise.
        DeviceUnavailable, DeviceMismatch, UnsupportedOperation, OperationCancelled: as `locate`.
    """
    host = Host(root, identify, unproven)
    return awaited(
        lambda: look_for_size(host, attachment, size),
        deadline,
        lambda: watch(host.folders(attachment)),
    )
