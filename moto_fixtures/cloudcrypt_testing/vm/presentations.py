"""How a disk looks to the guest: the bus, and the names that the cloud gives it there."""

from typing import Final

import attrs

EBS_MODEL: Final = "Amazon Elastic Block Store"
AZURE_NVME_MODEL: Final = "MSFT NVMe Accelerator v1.0"
AZURE_FIRST_DATA_NSID: Final = 2
"""azure-vm-utils, 80-azure-disk.rules: LUN 0 is namespace 2; the first one is the OS disk."""


@attrs.frozen
class SCSIDisk:
    """A disk on one of `cloudcrypt_testing.vm.machine.CONTROLLERS`.

    ``target`` None takes the lowest one above 0 on which no disk is. ``device_id`` is what VPD page
    0x83 names it by.
    """

    controller: str
    vendor: str
    product: str
    target: int | None = None
    lun: int = 0
    device_id: str | None = None
    serial: str | None = None


@attrs.frozen
class NVMeNamespace:
    """A namespace of the kernel's own NVMe target: any model and serial, and sizes that change.

    All namespaces with the same model and serial are those of one controller.
    """

    model: str
    serial: str
    nsid: int = 1


@attrs.frozen
class PCIeNVMeDisk:
    """QEMU's NVMe disk, on PCI Express, where it can be pulled out as hardware is.

    Its model is QEMU's, and its size cannot change while it is plugged in.
    """

    serial: str


Presentation = SCSIDisk | NVMeNamespace | PCIeNVMeDisk


def ebs_volume(volume_id: str) -> NVMeNamespace:
    """Return how an instance of EC2 sees a volume of EBS: its id without the dash is the serial."""
    return NVMeNamespace(EBS_MODEL, volume_id.replace("-", ""))


def google_disk(device_name: str) -> SCSIDisk:
    """Return how a VM of Compute Engine sees a persistent disk on SCSI."""
    return SCSIDisk("google", "Google", "PersistentDisk", device_id=device_name)


def azure_disk(lun: int, *, controller: str = "azure") -> SCSIDisk:
    """Return how a VM of Azure sees a data disk on SCSI; ``azure-os`` is where the OS disk is."""
    return SCSIDisk(controller, "Msft", "Virtual Disk", target=0, lun=lun)


def azure_nvme_disk(lun: int) -> NVMeNamespace:
    """Return how a VM of Azure sees a data disk on NVMe, as far as the kernel's target can.

    The vendor's part of Identify Namespace, which newer hosts fill in, is empty.
    """
    return NVMeNamespace(AZURE_NVME_MODEL, "SN: 000001", lun + AZURE_FIRST_DATA_NSID)
