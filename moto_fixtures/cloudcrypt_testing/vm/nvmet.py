"""A SCSI disk shown again as an NVMe namespace, by the kernel's NVMe target; runs in the guest.

The target and its only client are the same kernel, joined by TCP over loopback:
Documentation/nvme and drivers/nvme/target/configfs.c of Linux. Needs the standard library alone.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")

_TARGET: Final = Path("/sys/kernel/config/nvmet")
_PORT: Final = _TARGET / "ports" / "1"
_ADDRESS: Final = {
    "addr_trtype": "tcp",
    "addr_adrfam": "ipv4",
    "addr_traddr": "127.0.0.1",
    "addr_trsvcid": "4420",
}
_HOST: Final = "5e7de1a3-0c0b-4f0e-8d5a-6a0b1c2d3e4f"
"""Who the client is: any UUID, but always the same one."""
_SECTOR: Final = 512  # bytes: the unit of /sys/block/*/size
_PATIENCE: Final = 60.0  # seconds for the kernel
_STEP: Final = 0.02  # seconds between two looks
_VPD_HEADER: Final = 4  # bytes before the serial number in VPD page 0x80


def show(disk: str, model: str, serial: str, nsid: int) -> None:
    """Show the SCSI disk with the serial number ``disk`` as a namespace."""
    path = _waited_for(lambda: _scsi_disk(disk), f"SCSI disk {disk}")
    subsystem = _subsystem(serial)
    is_new = not subsystem.exists()
    if is_new:
        subsystem.mkdir()
        subsystem.joinpath("attr_allow_any_host").write_text("1")
        subsystem.joinpath("attr_model").write_text(model)
        subsystem.joinpath("attr_serial").write_text(serial)
    namespace = subsystem / "namespaces" / str(nsid)
    namespace.mkdir()
    namespace.joinpath("device_path").write_text(f"/dev/{path.name}")
    namespace.joinpath("enable").write_text("1")
    if is_new:
        _offer(subsystem)
        _connect(subsystem.name)


def resize(disk: str, size: int, model: str, serial: str, nsid: int) -> None:
    """Show the size of the SCSI disk, once it has ``size`` bytes."""
    del model
    path = _waited_for(lambda: _scsi_disk(disk), f"SCSI disk {disk}")
    stated = path / "size"
    _waited_for(lambda: int(stated.read_text()) * _SECTOR == size, f"{size} bytes of {disk}")
    namespace = _subsystem(serial) / "namespaces" / str(nsid)
    namespace.joinpath("revalidate_size").write_text("1")


def hide(model: str, serial: str, nsid: int) -> None:
    """Show the namespace no longer, nor the controller if it was the last one."""
    del model
    subsystem = _subsystem(serial)
    namespaces = subsystem / "namespaces"
    is_last = [path.name for path in namespaces.iterdir()] == [str(nsid)]
    if is_last:
        for controller in _controllers(subsystem.name):
            controller.joinpath("delete_controller").write_text("1")
    namespaces.joinpath(str(nsid), "enable").write_text("0")
    namespaces.joinpath(str(nsid)).rmdir()
    if is_last:
        _PORT.joinpath("subsystems", subsystem.name).unlink()
        subsystem.rmdir()


def _subsystem(serial: str) -> Path:
    name = serial.replace(" ", "").replace(":", "-")
    return _TARGET / "subsystems" / f"nqn.2014-08.org.nvmexpress:cloudcrypt-{name}"


def _offer(subsystem: Path) -> None:
    if not _PORT.exists():
        _PORT.mkdir()
        for name, value in _ADDRESS.items():
            _PORT.joinpath(name).write_text(value)
    _PORT.joinpath("subsystems", subsystem.name).symlink_to(subsystem)


def _connect(name: str) -> None:
    options = {
        "transport": "tcp",
        "traddr": "127.0.0.1",
        "trsvcid": "4420",
        "nqn": name,
        "hostnqn": f"nqn.2014-08.org.nvmexpress:uuid:{_HOST}",
        "hostid": _HOST,
        "nr_io_queues": "1",
        "keep_alive_tmo": "0",  # an emulated machine can be slower than that
    }
    text = ",".join(f"{option}={value}" for option, value in options.items())
    Path("/dev/nvme-fabrics").write_text(text)


def _controllers(name: str) -> list[Path]:
    found = Path("/sys/class/nvme").glob("*")
    return [path for path in found if path.joinpath("subsysnqn").read_text().strip() == name]


def _scsi_disk(serial: str) -> Path | None:
    for path in Path("/sys/block").glob("sd*"):
        try:
            page = path.joinpath("device", "vpd_pg80").read_bytes()
        except OSError:  # it is on its way in or out
            continue
        if page[_VPD_HEADER:].decode("ascii", "replace").strip() == serial:
            return path
    return None


def _waited_for(look: Callable[[], Found | None], what: str) -> Found:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(_STEP)
    raise TimeoutError(f"no {what} after {_PATIENCE:.0f} s")
