"""Prepare build/kernel, which the tests in tests/kernel boot; say why where that is impossible.

Programs that are missing are installed, and named: QEMU and its file server, kmod, and what a node
has to have. The kernel, BusyBox and udev are fetched from Debian and unpacked in build/kernel:
nothing that this machine itself boots from is touched. What is there already stays.

Where it is impossible the tests are skipped, and this ends well all the same, unless
``CLOUDCRYPT_KERNEL=required``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from cloudcrypt_testing.vm import Bed, VMUnavailable

ROOT = Path(__file__).resolve().parent.parent
BED = ROOT / "build" / "kernel"


def prepared() -> Bed:
    """Return what virtual machines are made of, after preparing what is missing.

    Raises:
        VMUnavailable: it is impossible here.
    """
    packages = [str(ROOT / "tools" / "system-packages.sh"), "vm"]
    if subprocess.run(packages, check=False, stdin=subprocess.DEVNULL).returncode != 0:
        raise VMUnavailable("system packages are missing")
    return Bed.prepare(BED)


def main() -> None:
    """Prepare, and say what there is."""
    began = time.monotonic()
    try:
        bed = prepared()
    except VMUnavailable as unavailable:
        is_required = os.environ.get("CLOUDCRYPT_KERNEL") == "required"
        outcome = "and they are required" if is_required else "they will be skipped"
        print(f"tests/kernel cannot run here, {outcome}: {unavailable}", file=sys.stderr)
        sys.exit(1 if is_required else 0)
    seconds = time.monotonic() - began
    print(f"tests/kernel run {bed.package}, unpacked in build/kernel ({seconds:.1f} s)")


if __name__ == "__main__":
    main()
