"""Virtual machines for tests that need a kernel: device-mapper, real buses, real power cuts.

    Bed.prepare(Path("build/kernel"))            # once: `python -m cloudcrypt_testing.vm`
    with VM(Bed.load(Path("build/kernel"))) as vm:
        disk = vm.plug(google_disk("data"), image)
        vm.run(["cryptsetup", "open", "--key-file", key, "/dev/sda", "data"], check=True)
        disk.resize(64 * MIB)

A stock kernel of Debian is emulated; this host's root is the guest's, read-only, so that the guest
has the interpreter, the packages and the programs of this host. Needs root, on x86_64.
"""

from cloudcrypt_testing.vm.bed import Bed
from cloudcrypt_testing.vm.channel import GuestJob
from cloudcrypt_testing.vm.disks import PluggedDisk
from cloudcrypt_testing.vm.errors import GuestRaised, QMPRefused, VMFailed, VMUnavailable
from cloudcrypt_testing.vm.measuring import Measurement
from cloudcrypt_testing.vm.presentations import (
    NVMeNamespace,
    PCIeNVMeDisk,
    Presentation,
    SCSIDisk,
    azure_disk,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)
from cloudcrypt_testing.vm.vm import VM

__all__ = [
    "VM",
    "Bed",
    "GuestJob",
    "GuestRaised",
    "Measurement",
    "NVMeNamespace",
    "PCIeNVMeDisk",
    "PluggedDisk",
    "Presentation",
    "QMPRefused",
    "SCSIDisk",
    "VMFailed",
    "VMUnavailable",
    "azure_disk",
    "azure_nvme_disk",
    "ebs_volume",
    "google_disk",
]
