"""What the kernel shows of disks; runs in the guest and needs the standard library alone."""

import re
import time
from pathlib import Path
from typing import Any

BLOCK = Path("/sys/block")
SECTOR = 512  # bytes: the unit of /sys/block/*/size
STEP = 0.02  # seconds between two looks
NVME = re.compile(r"nvme\d+n\d+")
SCSI = re.compile(r"sd[a-z]+")


def disks() -> dict[str, dict[str, Any]]:
    """Return the facts of all disks, by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in BLOCK.iterdir():
        try:
            if NVME.fullmatch(path.name):
                found[path.name] = nvme(path)
            elif SCSI.fullmatch(path.name):
                found[path.name] = scsi(path)
        except OSError:  # it has gone, or is not wholly there yet
            continue
    return found


def nvme(path: Path) -> dict[str, Any]:
    return {
        "name": path.name,
        "size": size(path),
        "model": text(path / "device" / "model"),
        "serial": text(path / "device" / "serial"),
        "nsid": int(text(path / "nsid")),
    }


def scsi(path: Path) -> dict[str, Any]:
    host, _, target, lun = (path / "device").resolve().name.split(":")
    page = path / "device" / "vpd_pg83"
    return {
        "name": path.name,
        "size": size(path),
        "vendor": text(path / "device" / "vendor"),
        "model": text(path / "device" / "model"),
        "host": int(host),
        "target": int(target),
        "lun": int(lun),
        "page_83": page.read_bytes().hex() if page.exists() else None,
    }


def size(path: Path) -> int:
    return int(text(path / "size")) * SECTOR


def text(path: Path) -> str:
    return path.read_text().strip()


def wait_for(facts: dict[str, Any], timeout: float = 60.0) -> str:
    """Return the name of the one disk that has these facts, once there is one."""
    end = time.monotonic() + timeout
    while True:
        now = disks()
        names = [name for name, shown in now.items() if shown.items() >= facts.items()]
        if names:
            (name,) = names
            return name
        if time.monotonic() > end:
            raise TimeoutError(f"no disk with {facts}, but {now}")
        time.sleep(STEP)


def wait_until_gone(name: str, timeout: float = 60.0) -> None:
    """Return once there is no disk of this name, nor a node of it."""
    end = time.monotonic() + timeout
    while name in disks() or Path("/dev", name).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{name} is still there: {disks()}")
        time.sleep(STEP)
