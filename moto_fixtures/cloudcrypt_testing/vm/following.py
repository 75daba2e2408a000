"""A virtual machine that is an instance of a fake cloud: it has the disks that the cloud attaches.

with VM(bed) as vm:
fake.node(instance).watch(Following(vm))
...                                 # what is attached to the instance is in the guest
"""

from pathlib import Path
from typing import Protocol

import attrs

from cloudcrypt_testing.vm.presentations import (
    NVMeNamespace,
    Presentation,
    azure_disk,
    google_disk,
)
from cloudcrypt_testing.world.node import NodeDevice

_GOOGLE_LINK = "google-"


class Disk(Protocol):
    """A disk that is plugged in: `cloudcrypt_testing.vm.PluggedDisk` is one."""

    def resize(self, size: int, /) -> None:
        """Let it have ``size`` bytes."""
        ...

    def unplug(self) -> None:
        """Pull it out."""
        ...


class Machine(Protocol):
    """What disks are plugged into: `cloudcrypt_testing.vm.VM` is one."""

    @property
    def is_running(self) -> bool:
        """Whether disks can be plugged in."""
        ...

    def plug(self, presentation: Presentation, path: Path, /) -> Disk:
        """Plug in the disk whose content is the file ``path``."""
        ...


@attrs.frozen
class _Followed:
    presentation: Presentation
    path: Path
    plugged: Disk | None


class Following:
    """Plugs into a virtual machine what a fake cloud plugs into its node.

    See `cloudcrypt_testing.world.node.Watcher`. While the virtual machine does not run, disks come
    and go all the same: `restore` plugs them in once it runs again.
    """

    def __init__(self, vm: Machine) -> None:
        """Let ``vm`` be the instance."""
        self._vm = vm
        self._disks: dict[str, _Followed] = {}

    def plugged(self, device: NodeDevice, path: Path) -> None:
        """Plug in a new disk."""
        self._plug(device.name, presentation_of(device), path)

    def resized(self, name: str, size: int) -> None:
        """Let a disk have another size; one that was there before is not known."""
        disk = self._disks.get(name)
        if disk is not None and disk.plugged is not None and self._vm.is_running:
            disk.plugged.resize(size)

    def unplugged(self, name: str) -> None:
        """Pull a disk out; one that was there before is not known."""
        disk = self._disks.pop(name, None)
        if disk is not None and disk.plugged is not None and self._vm.is_running:
            disk.plugged.unplug()

    def restore(self) -> None:
        """Plug in all disks that the instance has, after the virtual machine was booted again."""
        for name, disk in list(self._disks.items()):
            self._plug(name, disk.presentation, disk.path)

    def _plug(self, name: str, presentation: Presentation, path: Path) -> None:
        plugged = self._vm.plug(presentation, path) if self._vm.is_running else None
        self._disks[name] = _Followed(presentation, path, plugged)


def presentation_of(device: NodeDevice) -> Presentation:
    """Return how a virtual machine shows what a node shows.

    Raises:
        ValueError: it cannot, as with Xen's disks.
    """
    vendor = _text(device, "vendor")
    if device.name.startswith("nvme"):
        nsid = int(device.block.get("nsid", "1"))
        return NVMeNamespace(_text(device, "model"), _text(device, "serial"), nsid)
    if vendor == "Google":
        names = [link for link in device.links if link.startswith(_GOOGLE_LINK)]
        return google_disk(names[0].removeprefix(_GOOGLE_LINK))
    if vendor == "Msft" and device.controller is not None:
        host, _, _, lun = device.controller.rpartition("/")[2].split(":")
        return azure_disk(int(lun), controller="azure" if int(host) else "azure-os")
    raise ValueError(f"no virtual machine shows {device.name}")


def _text(device: NodeDevice, name: str) -> str:
    value = device.attributes.get(name, "")
    return (value if isinstance(value, str) else value.decode("ascii")).strip()
