"""Finding, keeping and losing devices, in the guest."""

import os
import socket
import stat
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from cloudcrypt.device import HostWatch, grown, locate
from cloudcrypt.device._uevents import Uevents
from cloudcrypt.disk import FileDisk, probe, read
from cloudcrypt.errors import CloudcryptError
from cloudcrypt.model import Attachment, BlockDevice
from cloudcrypt.waiting import Deadline

NEVER = 3600.0  # seconds: longer than any test
SECTOR = 4096
MARK = Path("/run/devices-mark")
STATIC = Path("/run/devices-node")
STEP = 0.02  # seconds
QUIET = 0.5  # seconds


class Counting(HostWatch):
    """Counts the waits, and leaves a mark when the first one begins."""

    def __init__(
        self, folders: Iterable[Path], *, has_kernel: bool, has_folders: bool, longest: float
    ) -> None:
        some = folders if has_folders else []
        if has_kernel:
            super().__init__(some)
        else:
            super().__init__(some, kernel=None)
        self.longest = longest
        self.waits = 0

    def wait(self, deadline: Deadline, seconds: float) -> None:
        self.waits += 1
        MARK.touch()
        super().wait(deadline, max(seconds, self.longest))


def located(attachment: str) -> dict[str, Any]:
    """Return the device of an attachment, or the error."""
    return _said(lambda: locate(Attachment.from_json(attachment)))


def waited(
    attachment: str,
    patience: float = 60.0,
    *,
    has_kernel: bool = True,
    has_folders: bool = True,
    longest: float = 0.0,
) -> dict[str, Any]:
    """Wait for a device, and return it and how often it was waited.

    ``longest`` is how long a wait without an event lasts at least.
    """
    MARK.unlink(missing_ok=True)
    began = time.monotonic()
    watches = list[Counting]()

    def begun(folders: Iterable[Path]) -> Counting:
        watches.append(
            Counting(folders, has_kernel=has_kernel, has_folders=has_folders, longest=longest)
        )
        return watches[0]

    said = _said(
        lambda: locate(
            Attachment.from_json(attachment), deadline=Deadline.after(patience), watch=begun
        )
    )
    return {**said, "waits": watches[0].waits, "seconds": time.monotonic() - began}


def grown_to(attachment: str, size: int, patience: float = 60.0, root: str = "/") -> dict[str, Any]:
    """Wait until a device has a size, and return it, or the error."""
    MARK.touch()
    wanted, deadline = Attachment.from_json(attachment), Deadline.after(patience)
    return _said(lambda: grown(wanted, size, deadline=deadline, root=Path(root)))


def recorded(name: str, controller: str) -> str:
    """Return a root where the SCSI disk ``name`` hangs on a VMBus controller, all else being real.

    QEMU has no VMBus controllers with the identities of Azure's.
    """
    real, root = Path("/sys/block", name), Path("/run", f"azure-{name}")
    address = (real / "device").resolve().name
    shown = root / "sys/block" / name
    device = root / "sys/devices/VMBUS:01" / controller / "host1/target1:0:0" / address
    shown.mkdir(parents=True)
    device.mkdir(parents=True)
    for each in ("size", "dev", "diskseq"):
        (shown / each).symlink_to(real / each)
    for each in ("vendor", "model", "rescan"):
        (device / each).symlink_to(real / "device" / each)
    (shown / "device").symlink_to(device)
    device.parents[2].joinpath("device_id").write_text(f"{{{controller}}}\n")
    (root / "dev").symlink_to("/dev")
    return str(root)


def wait_for_mark() -> None:
    """Return once another call has left its mark."""
    while not MARK.exists():
        time.sleep(STEP)
    MARK.unlink()


def kept(path: str) -> list[int]:
    """Make a node of the same device that stays when the device goes; return what it is."""
    STATIC.unlink(missing_ok=True)
    os.mknod(STATIC, stat.S_IFBLK | 0o600, Path(path).stat().st_rdev)
    return [*probe(STATIC)[0], STATIC.stat().st_ino, STATIC.stat().st_rdev]


def probed() -> list[int]:
    """Return what the node of `kept` is now, in the same form."""
    return [*probe(STATIC)[0], STATIC.stat().st_ino, STATIC.stat().st_rdev]


def used_while_it_goes(attachment: str) -> dict[str, Any]:
    """Have a device open while it is pulled out; return what reading, writing and others say."""
    wanted = Attachment.from_json(attachment)
    device = locate(wanted)
    with FileDisk(device.path, writable=True) as disk:
        disk.write(0, b"\1" * SECTOR)
        disk.sync()
        MARK.touch()
        while Path("/sys/block", device.path.name).exists():
            time.sleep(STEP)

        def write() -> None:
            disk.write(2 * SECTOR, b"\1" * SECTOR)
            disk.sync()

        last = device.size - SECTOR
        return {
            "read": _error(lambda: read(disk, SECTOR, SECTOR)),
            "read last": _error(lambda: read(disk, last, SECTOR)),
            "write": _error(write),
            "locate": _error(lambda: locate(wanted)),
            "grown": _error(lambda: grown(wanted, device.size)),
        }


def opened(path: str) -> list[int]:
    """Return what a device is when it is opened, as the stage compares it."""
    with FileDisk(path, writable=True) as disk:
        return list(disk.identity)


def heard(name: str) -> dict[str, bool]:
    """Return what is taken for an event of a disk."""
    with closing(Uevents()) as uevents:
        while uevents.drain():  # of the disk that has just come
            time.sleep(QUIET)
        found = {"nothing": uevents.drain()}
        _say(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=block\0")
        found["a forgery"] = uevents.drain()
        Path("/sys/class/mem/null/uevent").write_text("change")
        found["another device"] = uevents.drain()
        Path("/sys/block", name, "uevent").write_text("change")
        found["a disk"] = uevents.drain()
        for _ in range(5000):
            Path("/sys/class/mem/null/uevent").write_text("change")
        found["lost events"] = uevents.drain()
        found["nothing more"] = uevents.drain()
        return found


def _say(message: bytes) -> None:
    """Send to everybody who listens to the kernel; root may."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with closing(socket.socket(socket.AF_NETLINK, kind, 15)) as forger:
        forger.bind((0, 0))
        forger.sendto(message, (0, 1))


def _said(act: Any) -> dict[str, Any]:
    try:
        device = act()
    except CloudcryptError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {
        "path": str(device.path),
        "size": device.size,
        "identity": list(device.identity),
        "volume_id": device.volume_id,
    }


def _error(act: Any) -> str | None:
    return _said(lambda: act() or BlockDevice("", Path(), 0, (0, 0))).get("error")
