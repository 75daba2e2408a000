"""What virtual machines are made of: a stock kernel, BusyBox, udev, QEMU, virtiofsd."""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import attrs

from cloudcrypt_testing.vm import debian, initramfs
from cloudcrypt_testing.vm.errors import VMUnavailable
from cloudcrypt_testing.vm.modules import Modules

PROGRAMS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "depmod": "kmod",
}
"""Programs that have to be installed, and Debian's packages of them."""

_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_VIRTIOFSD: Final = (Path("/usr/libexec/virtiofsd"), Path("/usr/lib/qemu/virtiofsd"))
_PARTS: Final = ("kernel", "busybox", "udev")
_DESCRIPTION: Final = "bed.json"
_LAYOUT: Final = 1  # of the folder; another one is prepared anew

_RULES: Final = (
    *("50-udev-default.rules", "60-block.rules", "60-persistent-storage.rules"),
    *("55-dm.rules", "60-persistent-storage-dm.rules", "95-dm-notify.rules"),
)
"""The rules about block devices: under emulation every other one costs time for nothing."""


@attrs.frozen
class Bed:
    """A prepared folder. Any number of virtual machines may use it at once."""

    folder: Path
    package: str
    """The kernel's package."""
    release: str
    """What ``uname -r`` says in the guest."""

    @classmethod
    def prepare(cls, folder: Path) -> Self:
        """Fetch and unpack what is missing. Idempotent; a half-made folder is made again.

        A kernel that is there already is kept, though Debian may have a newer one by now: remove
        the folder for that.

        Raises:
            VMUnavailable: it is impossible here.
        """
        check_host()
        try:
            return cls.load(folder)
        except VMUnavailable:
            pass
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in _PARTS:
            shutil.rmtree(folder / name, ignore_errors=True)
        package = debian.kernel_package()
        release = package.removeprefix("linux-image-")
        _unpack_kernel(package, release, folder / "kernel")
        debian.unpack("busybox-static", folder / "busybox")
        _unpack_udev(folder / "udev")
        bed = cls(folder, package, release)
        bed.initramfs()
        description = {"layout": _LAYOUT, "package": package, "release": release}
        folder.joinpath(_DESCRIPTION).write_text(json.dumps(description))
        return bed

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the bed that was prepared in ``folder``.

        Raises:
            VMUnavailable: none was, or not by this version; or this host cannot run it.
        """
        check_host()
        try:
            description: dict[str, Any] = json.loads(folder.joinpath(_DESCRIPTION).read_text())
        except OSError as error:
            remedy = f"run `python -m cloudcrypt_testing.vm {folder}`"
            raise VMUnavailable(f"no virtual machine was prepared in {folder}", remedy) from error
        if description["layout"] != _LAYOUT:
            raise VMUnavailable(f"{folder} was prepared by another version", "remove it")
        return cls(folder.resolve(), description["package"], description["release"])

    @property
    def kernel(self) -> Path:
        """The kernel's image."""
        return self.folder / "kernel" / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """What is ``/lib/modules`` in the guest."""
        return (self.folder / "kernel" / "lib" / "modules").resolve()

    @property
    def udev(self) -> Path:
        """The folder with udev, its libraries and rules."""
        return self.folder / "udev" / "made"

    @property
    def qemu(self) -> Path:
        """The emulator."""
        return _program("qemu-system-x86_64")

    @property
    def virtiofsd(self) -> Path:
        """The server of the host's root."""
        return _virtiofsd()

    def initramfs(self) -> Path:
        """Return the first root file system; made if it is missing or what makes it has changed."""
        path = self.folder / f"initramfs-{initramfs.fingerprint()}.cpio"
        if not path.exists():
            content = initramfs.build(
                _one(self.folder / "busybox", "bin/busybox"), Modules(self.modules / self.release)
            )
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                file.write(content)
            for old in self.folder.glob("initramfs-*.cpio"):
                old.unlink(missing_ok=True)
            Path(file.name).replace(path)
        return path


def check_host() -> None:
    """Do nothing if this host can run a virtual machine.

    Raises:
        VMUnavailable: it cannot.
    """
    if platform.machine() != "x86_64":
        raise VMUnavailable(f"this host is {platform.machine()}", "take one that is x86_64")
    if os.geteuid() != 0:
        raise VMUnavailable("only root can share this host's root with a virtual machine")
    for program in PROGRAMS:
        _program(program)
    _virtiofsd()


def _program(name: str) -> Path:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise VMUnavailable(f"there is no {name} here", f"apt-get install {PROGRAMS[name]}")
    return Path(found)


def _virtiofsd() -> Path:
    for path in _VIRTIOFSD:
        if os.access(path, os.X_OK):
            return path
    raise VMUnavailable("there is no virtiofsd here", "apt-get install virtiofsd (on Debian 13)")


def _unpack_kernel(package: str, release: str, folder: Path) -> None:
    debian.unpack(package, folder)
    if not folder.joinpath("lib").exists():  # from Debian 13 on packages have /usr/lib alone
        folder.joinpath("lib").symlink_to("usr/lib")
    depmod = [str(_program("depmod")), "-b", str(folder), release]
    subprocess.run(depmod, check=True)  # noqa: S603 - arguments of our own


def _unpack_udev(folder: Path) -> None:
    """Put together what guest.sh copies: lib with the rules, shared with a library, and bin."""
    root, made = folder / "unpacked", folder / "made"
    for package in ("udev", "libsystemd-shared", "dmsetup"):
        debian.unpack(package, root)
    for name in ("lib/rules.d", "shared", "bin"):
        made.joinpath(name).mkdir(parents=True)
    for name in ("ata_id", "scsi_id"):
        shutil.copy(_one(root, f"lib/udev/{name}"), made / "lib")
    rules = [_one(root, f"lib/udev/rules.d/{name}") for name in _RULES]
    for rule in [*rules, *sorted(Path(__file__).parent.joinpath("rules").iterdir())]:
        shutil.copy(rule, made / "lib" / "rules.d")
    shutil.copy(next(root.rglob("libsystemd-shared-*.so")), made / "shared")
    shutil.copy(_one(root, "bin/udevadm"), made / "bin")
    shutil.rmtree(root)


def _one(root: Path, name: str) -> Path:
    """Return where ``name`` is below ``root``, with or without ``usr``.

    Raises:
        VMUnavailable: it is not there.
    """
    for path in (root / name, root / "usr" / name):
        if path.exists():
            return path
    raise VMUnavailable(f"Debian's packages have no {name}")
