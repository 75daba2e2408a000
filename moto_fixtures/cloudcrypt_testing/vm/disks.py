"""Disks that are plugged into a running virtual machine, resized, and pulled out."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from cloudcrypt_testing.vm.errors import QMPRefused, VMFailed
from cloudcrypt_testing.vm.machine import PORTS
from cloudcrypt_testing.vm.presentations import (
    NVMeNamespace,
    PCIeNVMeDisk,
    Presentation,
    SCSIDisk,
)
from cloudcrypt_testing.vm.qmp import QMP

_NVMET: Final = Path(__file__).parent / "nvmet.py"
_PATIENCE: Final = 60.0  # seconds for the guest to let go of a disk
_TARGETS: Final = range(1, 256)  # virtio, 5.6.4: SCSI targets are numbered from 0 to 255


@attrs.frozen
class PluggedDisk:
    """A disk of one virtual machine. `Disks.plug` makes it; a power cut leaves it meaningless."""

    name: str
    """What QEMU calls it."""
    path: Path
    """The file that has its content."""
    presentation: Presentation
    device: dict[str, Any] = attrs.field(repr=False)
    _disks: "Disks" = attrs.field(repr=False, eq=False)

    def resize(self, size: int) -> None:
        """Let the file, and the disk that the guest sees, have ``size`` bytes. Idempotent.

        Raises:
            QMPRefused: QEMU cannot do that with a `PCIeNVMeDisk`.
        """
        self._disks.resize(self, size)

    def unplug(self) -> None:
        """Pull the disk out, in use or not; its file keeps what was written. Idempotent.

        Raises:
            VMFailed: the guest does not let go of it.
        """
        self._disks.unplug(self)


class Disks:
    """The disks of one virtual machine; safe to use from several threads."""

    def __init__(self, qmp: QMP, call: Callable[..., Any]) -> None:
        """Plug disks in by ``qmp``; ``call`` calls a Python function in the guest."""
        self._qmp = qmp
        self._call = call
        self._lock = threading.Lock()
        self._names = itertools.count(1)
        self._plugged: dict[str, PluggedDisk] = {}

    @property
    def plugged(self) -> tuple[PluggedDisk, ...]:
        """The disks that are plugged in."""
        with self._lock:
            return tuple(self._plugged.values())

    def plug(
        self,
        presentation: Presentation,
        path: Path,
        *,
        log: Path | None = None,
        is_shared: bool = False,
    ) -> PluggedDisk:
        """Plug in the disk whose content is the file ``path``.

        Returns when QEMU has given it to the guest, which may see it a moment later.

        Args:
            presentation: how it looks to the guest.
            path: a regular file; its size is that of the disk.
            log: a file for `cloudcrypt_testing.vm.writelog.WriteLog`, made anew: all that is
                written, flushed and discarded.
            is_shared: whether other virtual machines have the same disk.

        Raises:
            QMPRefused: QEMU refused, because there is no room for it or its file is in use.
            GuestRaised: the guest's NVMe target refused.
        """
        with self._lock:
            name = f"disk{next(self._names)}"
            device = self._device(presentation, name)
            disk = PluggedDisk(name, path, presentation, device, self)
            self._plugged[name] = disk
        try:
            self._add(disk, log, is_shared=is_shared)
        except BaseException:
            self._forget(disk)
            raise
        return disk

    def resize(self, disk: PluggedDisk, size: int) -> None:
        """Resize a disk; see `PluggedDisk.resize`."""
        self._qmp.command("block_resize", {"node-name": disk.name, "size": size})
        if isinstance(disk.presentation, NVMeNamespace):
            self._call(f"{_NVMET}:resize", disk.name, size, **attrs.asdict(disk.presentation))

    def unplug(self, disk: PluggedDisk) -> None:
        """Pull a disk out; see `PluggedDisk.unplug`."""
        with self._lock:
            if self._plugged.get(disk.name) is not disk:
                return
        if isinstance(disk.presentation, NVMeNamespace):
            self._call(f"{_NVMET}:hide", **attrs.asdict(disk.presentation))
        self._remove(disk)
        self._forget(disk)

    def _add(self, disk: PluggedDisk, log: Path | None, *, is_shared: bool) -> None:
        self._qmp.command("blockdev-add", _node(disk, log, is_shared=is_shared))
        try:
            shared = {"share-rw": True} if is_shared else {}
            self._qmp.command("device_add", {**disk.device, **shared})
        except QMPRefused:
            self._qmp.command("blockdev-del", {"node-name": disk.name})
            raise
        if isinstance(disk.presentation, NVMeNamespace):
            try:
                self._call(f"{_NVMET}:show", disk.name, **attrs.asdict(disk.presentation))
            except BaseException:
                self._remove(disk)
                raise

    def _remove(self, disk: PluggedDisk) -> None:
        self._qmp.command("device_del", {"id": disk.name})
        self._qmp.wait_for("DEVICE_DELETED", "device", disk.name, _PATIENCE)
        self._qmp.command("blockdev-del", {"node-name": disk.name})

    def _forget(self, disk: PluggedDisk) -> None:
        with self._lock:
            self._plugged.pop(disk.name, None)

    def _device(self, presentation: Presentation, name: str) -> dict[str, Any]:
        match presentation:
            case SCSIDisk():
                return self._scsi(presentation, name)
            case NVMeNamespace():
                return self._scsi(SCSIDisk("fabric", "QEMU", "FABRIC", serial=name), name)
            case PCIeNVMeDisk():
                taken = {each.device["bus"] for each in self._plugged.values()}
                free = [f"port{number}" for number in range(PORTS)]
                free = [port for port in free if port not in taken]
                if not free:
                    raise VMFailed(f"all {PORTS} ports for NVMe disks are taken")
                driver = {"driver": "nvme", "serial": presentation.serial, "bus": free[0]}
                return {**driver, "id": name, "drive": name}

    def _scsi(self, disk: SCSIDisk, name: str) -> dict[str, Any]:
        bus = f"{disk.controller}.0"
        target = disk.target
        if target is None:
            same_bus = [each.device for each in self._plugged.values() if each.device["bus"] == bus]
            taken = {device["scsi-id"] for device in same_bus}
            target = next(number for number in _TARGETS if number not in taken)
        names = {"device_id": disk.device_id, "serial": disk.serial}
        return {
            "driver": "scsi-hd",
            "id": name,
            "drive": name,
            "bus": bus,
            "scsi-id": target,
            "lun": disk.lun,
            "vendor": disk.vendor,
            "product": disk.product,
            **{field: value for field, value in names.items() if value is not None},
        }


def _node(disk: PluggedDisk, log: Path | None, *, is_shared: bool) -> dict[str, Any]:
    """Return the block node of a disk: its file, with a log of all writes above it if asked for.

    QEMU does not ask the host to make anything durable. What the host has got is safe from the
    death of QEMU, which is the power cut here.
    """
    raw = {"driver": "raw", "file": _file(disk.path, is_locked=not is_shared), "discard": "unmap"}
    if log is None:
        return {**raw, "node-name": disk.name}
    log.write_bytes(b"")
    return {
        "driver": "blklogwrites",
        "node-name": disk.name,
        "file": raw,
        "log": _file(log, is_locked=True),
        "log-sector-size": 512,
        "log-super-update-interval": 1,
        "discard": "unmap",
    }


def _file(path: Path, *, is_locked: bool) -> dict[str, Any]:
    return {
        "driver": "file",
        "filename": str(path),
        "discard": "unmap",
        "locking": "on" if is_locked else "off",
        "cache": {"no-flush": True},
    }
