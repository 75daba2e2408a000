"""Packages of Debian, fetched and unpacked into a folder: nothing is installed."""

import re
import subprocess
from pathlib import Path
from typing import Final

from cloudcrypt_testing.vm.errors import VMUnavailable

KERNEL: Final = "linux-image-cloud-amd64"
"""Depends on the newest kernel for virtual machines: Debian runs it on all three clouds."""

_VERSIONED: Final = re.compile(r"^Depends:.*?\b(linux-image-[0-9][^\s,]*)", re.MULTILINE)
_TIMEOUT: Final = 300  # seconds for one command; a kernel has 30 MB


def kernel_package() -> str:
    """Return the name of the package that `KERNEL` stands for at present.

    Raises:
        VMUnavailable: the package lists do not have it.
    """
    shown = _shown()
    if shown is None:
        _update()
        shown = _shown()
    if shown is None:
        raise VMUnavailable(
            f"there is no package {KERNEL} here", "take Debian 12 or later, on amd64"
        )
    return shown


def unpack(package: str, folder: Path) -> None:
    """Fetch the package and unpack it into ``folder``, over what is there.

    Raises:
        VMUnavailable: it cannot be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = _fetched(package, folder)
    _run("dpkg", "-x", str(archive), str(folder))
    archive.unlink()


def _shown() -> str | None:
    try:
        text = _run("apt-cache", "--no-all-versions", "show", KERNEL)
    except VMUnavailable:
        return None
    found = _VERSIONED.search(text)
    return None if found is None else found[1]


def _fetched(package: str, folder: Path) -> Path:
    for archive in folder.glob("*.deb"):
        archive.unlink()
    fetch = ("apt-get", "-qq", "download", package)
    try:
        _run(*fetch, folder=folder)
    except VMUnavailable:  # the lists are older than the server, or there are none
        _update()
        _run(*fetch, folder=folder)
    (archive,) = folder.glob("*.deb")
    return archive


def _update() -> None:
    _run("apt-get", "-qq", "update")


def _run(*command: str, folder: Path | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        VMUnavailable: it failed, or there is no such command.
    """
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file
            command, cwd=folder, check=True, capture_output=True, text=True, timeout=_TIMEOUT
        )
    except FileNotFoundError as error:
        raise VMUnavailable(f"there is no {command[0]} here", "take Debian 12 or later") from error
    except subprocess.CalledProcessError as error:
        raise VMUnavailable(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise VMUnavailable(f"{' '.join(command)} took longer than {_TIMEOUT} s") from error
    return done.stdout
