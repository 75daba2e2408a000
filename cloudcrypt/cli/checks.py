"""What ``cloudcrypt doctor`` looks at: one check for each thing of this host that is needed."""

import enum
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
from cryptography.exceptions import UnsupportedAlgorithm

from cloudcrypt.errors import HostUnready
from cloudcrypt.filesystem import PACKAGES, FilesystemKind, HostTools
from cloudcrypt.luks2.keyslot import probe_argon2id
from cloudcrypt.mapper.readiness import find_library, target_versions
from cloudcrypt.profiles import CLOUDCRYPT_V1
from cloudcrypt.sizes import KIB, MIB, format_size

_TARGETS: Final = {"crypt": "dm_crypt", "integrity": "dm_integrity"}
_PACKAGE_OF: Final = {FilesystemKind.EXT4: "e2fsprogs", FilesystemKind.XFS: "xfsprogs"}
_SDKS: Final = {
    "aws": ("boto3",),
    "gcp": ("google.cloud.compute_v1",),
    "azure": ("azure.mgmt.compute", "azure.identity"),
    "keyservice": ("grpc", "google.protobuf"),
    "gcp-keys": ("google.cloud.kms", "google.cloud.storage"),
    "azure-keys": ("azure.keyvault.keys", "azure.storage.blob"),
    "vault": ("hvac",),
}
_ROOT: Final = Path("/")
_NEEDED: Final = CLOUDCRYPT_V1.write.memory * KIB
_CAP_SYS_ADMIN: Final = 21  # include/uapi/linux/capability.h
_KEYRING: Final = "a kernel with CONFIG_KEYS, or a container that may use it"


class Area(enum.Enum):
    """What a host can be ready for."""

    USER_SPACE = "user space"
    KERNEL = "kernel mappings"
    EXT4 = "filesystem ext4"
    XFS = "filesystem xfs"

    @property
    def areas(self) -> "frozenset[Area]":
        """What has to be ready for it: a filesystem needs a mapping of the kernel."""
        needed = {Area.USER_SPACE, self}
        return frozenset(needed if self is Area.USER_SPACE else needed | {Area.KERNEL})


_AREA_OF: Final = {FilesystemKind.EXT4: Area.EXT4, FilesystemKind.XFS: Area.XFS}


@attrs.frozen
class Check:
    """One thing that was looked at, and what needs it; nothing if ``area`` is None."""

    what: str
    area: Area | None
    ready: bool
    found: str
    advice: str


def examine(
    find_spec: Callable[[str], object] = importlib.util.find_spec,
    library: Callable[[], str] = find_library,
    root: Path = _ROOT,
    tools: HostTools | None = None,
) -> Iterator[Check]:
    """Yield every check of this host.

    Args:
        find_spec: returns something if a Python module is installed.
        library: returns the name of libcryptsetup, or raises `HostUnready`.
        root: where ``proc``, ``sys``, ``lib`` and ``dev`` are.
        tools: the programs; those of this host by default.
    """
    yield from _of_user_space(root)
    yield from _of_kernel(library, root)
    yield from _of_filesystems(HostTools() if tools is None else tools, root)
    tool = shutil.which("cryptsetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    yield _check("cryptsetup", None, tool, "apt-get install cryptsetup-bin")
    for extra, modules in _SDKS.items():
        missing = [module for module in modules if not _installed(module, find_spec)]
        found = None if missing else ", ".join(modules)
        yield _check(f"SDK {extra}", None, found, f'pip install "cloudcrypt[{extra}]"')


def missing_for(area: Area, checks: list[Check]) -> list[str]:
    """Return what of ``checks`` is not ready, and needed for ``area``."""
    return [check.what for check in checks if check.area in area.areas and not check.ready]


def _of_user_space(root: Path) -> Iterator[Check]:
    area = Area.USER_SPACE
    version = ".".join(map(str, sys.version_info[:3]))
    is_new = sys.version_info >= (3, 11)
    yield Check("Python", area, is_new, version, "Python 3.11 or later")
    yield _argon2id()
    available = _available(root / "proc/meminfo")
    found = "unknown" if available is None else f"{format_size(available)} available"
    ready = available is None or available >= 2 * _NEEDED
    advice = f"each volume that is being opened takes {format_size(_NEEDED)}: free memory"
    yield Check("memory for Argon2id", area, ready, found, advice)


def _of_kernel(library: Callable[[], str], root: Path) -> Iterator[Check]:
    area = Area.KERNEL
    try:
        yield Check("libcryptsetup", area, True, f"{library()}, 2.6 or later", "")  # noqa: FBT003
    except HostUnready as missing:
        yield Check("libcryptsetup", area, False, missing.message, missing.instead)  # noqa: FBT003
    control, is_admin = root / "dev/mapper/control", _is_admin(root / "proc/self/status")
    found: str | None = f"{control} answers"
    try:
        versions = target_versions(control)
    except HostUnready:  # others than root may not ask
        versions = {}
        found = str(control) if control.exists() and not is_admin else None
    yield _check("device-mapper", area, found, "modprobe dm_mod")
    for target, module in _TARGETS.items():
        version = f"target {versions[target]}" if target in versions else _module(root, module)
        yield _check(f"dm-{target}", area, version, f"modprobe {module}")
    yield _check("CAP_SYS_ADMIN", area, "yes" if is_admin else None, "run as root")
    keys = root / "proc/sys/kernel/keys"
    yield _check("kernel keyring", area, str(keys) if keys.exists() else None, _KEYRING)


def _of_filesystems(tools: HostTools, root: Path) -> Iterator[Check]:
    for kind, area in _AREA_OF.items():
        listed = _known(root / "proc/filesystems", kind.value)
        found = "loaded" if listed else _module(root, kind.value)
        yield _check(f"kernel {kind.value}", area, found, f"modprobe {kind.value}")
        for tool, package in PACKAGES.items():
            if package == _PACKAGE_OF[kind]:
                yield _check(tool, area, tools.where(tool), f"apt-get install {package}")


def _argon2id() -> Check:
    try:
        probe_argon2id()
    except UnsupportedAlgorithm:
        ready, found = False, "missing"
    else:
        ready, found = True, "cryptography with OpenSSL 3.2 or later"
    advice = "install the wheel of cryptography, whose OpenSSL has Argon2id"
    return Check("Argon2id", Area.USER_SPACE, ready, found, advice)


def _available(meminfo: Path) -> int | None:
    values = [line.split()[1] for line in _lines(meminfo) if line.startswith("MemAvailable:")]
    return int(values[0]) * KIB // MIB * MIB if values else None


def _is_admin(status: Path) -> bool:
    """Say whether the effective capabilities of proc(5) have CAP_SYS_ADMIN."""
    values = [line.split()[1] for line in _lines(status) if line.startswith("CapEff:")]
    return bool(values) and bool(int(values[0], 16) >> _CAP_SYS_ADMIN & 1)


def _known(filesystems: Path, name: str) -> bool:
    return name in [line.split("\t")[-1] for line in _lines(filesystems)]


def _module(root: Path, module: str) -> str | None:
    if (root / "sys/module" / module).exists():
        return "loaded"
    folder = root / "lib/modules" / os.uname().release
    for index, found in (("modules.builtin", "built in"), ("modules.dep", "available")):
        if f"/{module.replace('_', '-')}.ko" in "\n".join(_lines(folder / index)):
            return found
    return None


def _lines(path: Path) -> list[str]:
    """Return the lines of a file of the system; none if it cannot be read."""
    try:
        return path.read_text("ascii", "replace").splitlines()
    except OSError:
        return []


def _installed(module: str, find_spec: Callable[[str], object]) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _check(what: str, area: Area | None, found: str | None, advice: str) -> Check:
    return Check(what, area, found is not None, found or "missing", advice)
