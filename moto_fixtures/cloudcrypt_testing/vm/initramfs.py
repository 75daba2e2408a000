"""The first root file system of the virtual machine: BusyBox, modules, and the first process."""

import hashlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloudcrypt_testing.vm.modules import Modules, plain
from cloudcrypt_testing.vm.newc import Archive

APPLETS: Final = ("cp", "insmod", "mkdir", "mount", "poweroff", "sh", "switch_root")
"""What ``init.sh`` uses of BusyBox."""

MODULES: Final = (
    # The host's root, and the port to the host.
    *("virtio_pci", "virtio_console", "virtiofs", "overlay"),
    # Disks as the clouds present them.
    *("virtio_scsi", "sd_mod", "virtio_blk", "nvme", "nvmet", "nvmet_tcp", "nvme_tcp", "configfs"),
    # Mappings, and what the kernel would else ask modprobe for one by one.
    *("dm_mod", "dm_crypt", "dm_integrity", "algif_skcipher", "algif_aead", "authenc", "xts"),
    *("aesni_intel", "sha256_ssse3", "hmac", "ext4"),
    # The way to servers of the host.
    "virtio_net",
)
"""What is loaded before anything else. Modules that are missing here are found by modprobe."""

_FOLDER: Final = Path(__file__).parent
_CONSOLE: Final = (5, 1)  # Documentation/admin-guide/devices.txt: /dev/console


def build(busybox: Path, modules: Modules) -> bytes:
    """Return the archive."""
    archive = Archive()
    archive.file("bin/busybox", busybox.read_bytes(), mode=0o755)
    for applet in APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for folder in ("dev", "lower", "merged", "proc", "sys", "upper"):
        archive.folder(folder)
    archive.character_device("dev/console", *_CONSOLE)
    names: list[str] = []
    for path in modules.needed(MODULES):
        name, content = plain(path)
        names.append(name)
        archive.file(f"modules/{name}", content)
    archive.file("modules.order", "".join(f"{name}\n" for name in names).encode())
    archive.file("init", _FOLDER.joinpath("init.sh").read_bytes(), mode=0o755)
    archive.file("guest.sh", _FOLDER.joinpath("guest.sh").read_bytes(), mode=0o755)
    return archive.to_bytes()


def settings(values: Mapping[str, str]) -> bytes:
    """Return an archive, to follow the other one, with variables for ``guest.sh``."""
    archive = Archive()
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    archive.file("settings", "".join(lines).encode())
    return archive.to_bytes()


def fingerprint() -> str:
    """Return a digest of all that `build` puts into an archive beside BusyBox and the modules."""
    digest = hashlib.sha256(repr((APPLETS, MODULES)).encode())
    for name in ("init.sh", "guest.sh", "initramfs.py", "newc.py", "modules.py"):
        digest.update(_FOLDER.joinpath(name).read_bytes())
    return digest.hexdigest()[:16]
