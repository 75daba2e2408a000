"""A folder that looks like ``/dev`` and ``/sys`` of a Linux host, as far as disks go.

    node = FakeNode(folder)
    node.plug(NodeDevice("sda", (8, 0), {"vendor": "Google"}), backing)
    node.root / "sys/block/sda/size"

Nothing here knows a cloud: which names and attributes a disk has is said by who plugs it in.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import attrs

_SECTOR = 512  # bytes, the unit of /sys/block/*/size


@attrs.frozen
class NodeDevice:
    """What a host shows of one disk."""

    name: str
    """The kernel's name, such as ``nvme1n1``."""
    number: tuple[int, int]
    """Major and minor number."""
    attributes: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """The files in ``/sys/block/NAME/device`` and what they contain."""
    links: tuple[str, ...] = ()
    """The symbolic links in ``/dev/disk/by-id``."""
    controller: str | None = None
    """Where the attributes are below ``/sys`` if ``device`` is a link: ``class/nvme/nvme1``."""


class FakeNode:
    """The disks of one host. Not thread-safe: whoever owns the cloud holds its lock."""

    def __init__(self, root: Path) -> None:
        """Make the empty folders below ``root``."""
        self.root = root
        self._devices: dict[str, NodeDevice] = {}
        self._by_id = root / "dev" / "disk" / "by-id"
        for folder in (self._by_id, root / "sys" / "block", root / "sys" / "dev" / "block"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def devices(self) -> Mapping[str, NodeDevice]:
        """What is plugged in, by name."""
        return dict(self._devices)

    def plug(self, device: NodeDevice, backing: Path) -> None:
        """Show ``device``, whose node in ``/dev`` is the same file as ``backing``."""
        self._devices[device.name] = device
        self._show_in_sys(device, backing.stat().st_size)
        os.link(backing, self.root / "dev" / device.name)
        for link in device.links:
            self.point(link, device.name)

    def unplug(self, name: str) -> None:
        """Show the device no longer; links to something else stay. Idempotent."""
        device = self._devices.pop(name, None)
        if device is None:
            return
        for link in device.links:
            if self._by_id.joinpath(link).is_symlink() and self.target(link) == name:
                self._by_id.joinpath(link).unlink()
        self.root.joinpath("dev", name).unlink()
        self._sys_number(device).unlink()
        shutil.rmtree(self.root / "sys" / "block" / name)
        if device.controller is not None:
            shutil.rmtree(self.root / "sys" / device.controller)

    def resize(self, name: str, size: int) -> None:
        """Show a size of ``size`` bytes."""
        target = self.root / "sys" / "block" / name / "size"
        fresh = target.with_name(".size")
        fresh.write_text(f"{size // _SECTOR}\n")
        fresh.replace(target)

    def point(self, link: str, name: str) -> None:
        """Let ``link`` in ``/dev/disk/by-id`` point to ``name``: right, stale or wrong."""
        fresh = self._by_id / f".{link}"
        fresh.symlink_to(f"../../{name}")
        fresh.replace(self._by_id / link)

    def target(self, link: str) -> str:
        """Return the name of the device that ``link`` points to, plugged in or not."""
        return self._by_id.joinpath(link).readlink().name

    def _show_in_sys(self, device: NodeDevice, size: int) -> None:
        sys = self.root / "sys"
        block = sys / "block" / device.name
        block.mkdir()
        if device.controller is None:
            attributes = block / "device"
            attributes.mkdir()
        else:
            attributes = sys / device.controller
            attributes.mkdir(parents=True)
            block.joinpath("device").symlink_to(f"../../{device.controller}")
        for name, content in device.attributes.items():
            attributes.joinpath(name).write_text(content)
        major, minor = device.number
        block.joinpath("dev").write_text(f"{major}:{minor}\n")
        self._sys_number(device).symlink_to(f"../../block/{device.name}")
        self.resize(device.name, size)

    def _sys_number(self, device: NodeDevice) -> Path:
        major, minor = device.number
        return self.root / "sys" / "dev" / "block" / f"{major}:{minor}"
