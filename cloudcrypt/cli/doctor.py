"""``cloudcrypt doctor``: what of this host is ready, and what to install for the rest."""

import ctypes.util
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import click
from cryptography.exceptions import UnsupportedAlgorithm

from cloudcrypt.cli.output import json_option, show_rows
from cloudcrypt.luks2.keyslot import probe_argon2id
from cloudcrypt.profiles import CLOUDCRYPT_V1
from cloudcrypt.sizes import KIB, MIB, format_size

_MODULES = {"dm-crypt": "dm_crypt", "dm-integrity": "dm_integrity"}
_SDKS = {
    "aws": ("boto3",),
    "gcp": ("google.cloud.compute_v1",),
    "azure": ("azure.mgmt.compute", "azure.identity"),
    "keyservice": ("grpc", "google.protobuf"),
}
_ROOT = Path("/")
_NEEDED = CLOUDCRYPT_V1.write.memory * KIB


@attrs.frozen
class Check:
    """One thing that was looked at. ``required`` is what the user-space stage cannot do without."""

    what: str
    ready: bool
    required: bool
    found: str
    advice: str


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context) -> None:
    """Say what of this host is ready; exit 8 if something required is missing."""
    checks = list(examine())
    show_rows("checks", [_row(check) for check in checks])
    if not all(check.ready for check in checks if check.required):
        context.exit(8)


def examine(
    find_spec: Callable[[str], object] = importlib.util.find_spec,
    find_library: Callable[[str], str | None] = ctypes.util.find_library,
    root: Path = _ROOT,
) -> Iterator[Check]:
    """Yield every check of this host.

    Args:
        find_spec: returns something if a Python module is installed.
        find_library: returns the name of a shared library, or None.
        root: where ``proc``, ``sys`` and ``dev`` are.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", sys.version_info >= (3, 11), True, version, "Python 3.11 or later")  # noqa: FBT003
    yield _argon2id()
    yield _memory(root)
    library = find_library("cryptsetup")
    yield _optional("libcryptsetup", library, "apt-get install libcryptsetup12")
    tool = shutil.which("cryptsetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    yield _optional("cryptsetup", tool, "apt-get install cryptsetup-bin")
    control = root / "dev/mapper/control"
    found = str(control) if control.exists() else None
    yield _optional("device-mapper", found, "modprobe dm_mod; needed for kernel mappings only")
    for name, module in _MODULES.items():
        found = _module(root, module)
        yield _optional(name, found, f"modprobe {module}; needed for kernel mappings only")
    for extra, modules in _SDKS.items():
        missing = [module for module in modules if not _installed(module, find_spec)]
        found = None if missing else ", ".join(modules)
        yield _optional(f"SDK {extra}", found, f'pip install "cloudcrypt[{extra}]"')


def _argon2id() -> Check:
    try:
        probe_argon2id()
    except UnsupportedAlgorithm:
        ready, found = False, "missing"
    else:
        ready, found = True, "cryptography with OpenSSL 3.2 or later"
    advice = "install the wheel of cryptography, whose OpenSSL has Argon2id"
    return Check("Argon2id", ready, True, found, advice)  # noqa: FBT003


def _memory(root: Path) -> Check:
    available = _available(root / "proc/meminfo")
    found = "unknown" if available is None else f"{format_size(available)} available"
    ready = available is None or available >= 2 * _NEEDED
    advice = f"each volume that is being opened takes {format_size(_NEEDED)}: free memory"
    return Check("memory for Argon2id", ready, True, found, advice)  # noqa: FBT003


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text("ascii").splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) * KIB // MIB * MIB if values else None


def _module(root: Path, module: str) -> str | None:
    if (root / "sys/module" / module).exists():
        return "loaded"
    release = os.uname().release
    for index in ("modules.builtin", "modules.dep"):
        try:
            text = (root / "lib/modules" / release / index).read_text("ascii", "replace")
        except OSError:
            continue
        if f"/{module.replace('_', '-')}.ko" in text:
            return "built in" if index == "modules.builtin" else "available"
    return None


def _installed(module: str, find_spec: Callable[[str], object]) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _optional(what: str, found: str | None, advice: str) -> Check:
    return Check(what, found is not None, False, found or "missing", advice)  # noqa: FBT003


def _row(check: Check) -> dict[str, object]:
    return {
        "check": check.what,
        "ready": check.ready,
        "required": check.required,
        "found": check.found,
        "advice": None if check.ready else check.advice,
    }
