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
from typing import Protocol

import attrs

_SECTOR = 512  # bytes, the unit of /sys/block/*/size

Attributes = Mapping[str, str | bytes]
"""Files of one folder in sysfs: their names and what they contain."""


@attrs.frozen
class NodeDevice:
    """What a host shows of one disk."""

    name: str
    """The kernel's name, such as ``nvme1n1``."""
    number: tuple[int, int]
    """Major and minor number."""
    attributes: Attributes = attrs.field(factory=dict[str, str | bytes])
    """The files in ``/sys/block/NAME/device`` and what they contain."""
    links: tuple[str, ...] = ()
    """The symbolic links in ``/dev/disk/by-id``; one with a slash is below ``/dev/disk``."""
    controller: str | None = None
    """Where the attributes are below ``/sys`` if ``device`` is a link: ``class/nvme/nvme1``.

    Disks may share it, as the namespaces of one NVMe controller do.
    """
    block: Attributes = attrs.field(factory=dict[str, str | bytes])
    """The files in ``/sys/block/NAME`` besides ``dev`` and ``size``, such as ``nsid``."""


class Watcher(Protocol):
    """Who is told of the disks of a host as they come and go, while the cloud's lock is held."""

    def plugged(self, device: NodeDevice, path: Path) -> None:
        """Take note of a new disk; ``path`` is the file with its bytes."""
        ...

    def resized(self, name: str, size: int) -> None:
        """Take note that the disk of this name has ``size`` bytes now."""
        ...

    def unplugged(self, name: str) -> None:
        """Take note that there is no disk of this name any more."""
        ...


class FakeNode:
    """The disks of one host. Not thread-safe: whoever owns the cloud holds its lock."""

    def __init__(self, root: Path) -> None:
        """Make the empty folders below ``root``."""
        self.root = root
        self._devices: dict[str, NodeDevice] = {}
        self._watchers: list[Watcher] = []
        self._by_id = root / "dev" / "disk" / "by-id"
        for folder in (self._by_id, root / "sys" / "block", root / "sys" / "dev" / "block"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def devices(self) -> Mapping[str, NodeDevice]:
        """What is plugged in, by name."""
        return dict(self._devices)

    def watch(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of all that comes and goes from now on."""
        self._watchers.append(watcher)

    def plug(self, device: NodeDevice, backing: Path) -> None:
        """Show ``device``, whose node in ``/dev`` is the same file as ``backing``."""
        self._devices[device.name] = device
        self._show_in_sys(device, backing.stat().st_size)
        os.link(backing, self.root / "dev" / device.name)
        for link in device.links:
            self.point(link, device.name)
        for watcher in self._watchers:
            watcher.plugged(device, self.root / "dev" / device.name)

    def unplug(self, name: str) -> None:
        """Show the device no longer; links to something else stay. Idempotent."""
        device = self._devices.pop(name, None)
        if device is None:
            return
        for watcher in self._watchers:
            watcher.unplugged(name)
        for link in device.links:
            if self._link(link).is_symlink() and self.target(link) == name:
                self._link(link).unlink()
        self.root.joinpath("dev", name).unlink()
        self._sys_number(device).unlink()
        shutil.rmtree(self.root / "sys" / "block" / name)
        shared = {each.controller for each in self._devices.values()}
        if device.controller is not None and device.controller not in shared:
            shutil.rmtree(self.root / "sys" / device.controller)

    def resize(self, name: str, size: int) -> None:
        """Show a size of ``size`` bytes."""
        self._show_size(name, size)
        for watcher in self._watchers:
            watcher.resized(name, size)

    def point(self, link: str, name: str) -> None:
        """Let ``link`` in ``/dev/disk/by-id`` point to ``name``: right, stale or wrong."""
        target = self._link(link)
        target.parent.mkdir(parents=True, exist_ok=True)
        up = os.path.relpath(self.root / "dev", target.parent)
        fresh = target.with_name(f".{target.name}")
        fresh.symlink_to(f"{up}/{name}")
        fresh.replace(target)

    def target(self, link: str) -> str:
        """Return the name of the device that ``link`` points to, plugged in or not."""
        return self._link(link).readlink().name

    def describe(self, folder: str, attributes: Attributes) -> None:
        """Let ``folder`` below ``/sys`` have these files, whatever disks there are."""
        target = self.root / "sys" / folder
        target.mkdir(parents=True, exist_ok=True)
        for name, content in attributes.items():
            raw = content.encode("ascii") if isinstance(content, str) else content
            target.joinpath(name).write_bytes(raw)

    def _show_in_sys(self, device: NodeDevice, size: int) -> None:
        block = f"block/{device.name}"
        attributes = f"{block}/device" if device.controller is None else device.controller
        self.describe(block, device.block)
        self.describe(attributes, device.attributes)
        if device.controller is not None:
            link = self.root / "sys" / block / "device"
            link.symlink_to(f"../../{device.controller}")
        major, minor = device.number
        self.describe(block, {"dev": f"{major}:{minor}\n"})
        self._sys_number(device).symlink_to(f"../../block/{device.name}")
        self._show_size(device.name, size)

    def _show_size(self, name: str, size: int) -> None:
        target = self.root / "sys" / "block" / name / "size"
        fresh = target.with_name(".size")
        fresh.write_text(f"{size // _SECTOR}\n")
        fresh.replace(target)

    def _sys_number(self, device: NodeDevice) -> Path:
        major, minor = device.number
        return self.root / "sys" / "dev" / "block" / f"{major}:{minor}"

    def _link(self, link: str) -> Path:
        return self._by_id.parent / link if "/" in link else self._by_id / link
