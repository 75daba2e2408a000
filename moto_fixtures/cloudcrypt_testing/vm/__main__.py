"""Prepare what virtual machines are made of: ``python -m cloudcrypt_testing.vm FOLDER``."""

import sys
from pathlib import Path

from cloudcrypt_testing.vm.bed import Bed
from cloudcrypt_testing.vm.errors import VMUnavailable


def main(*arguments: str) -> str | None:
    """Prepare the folder; return what is wrong, if something is."""
    if len(arguments) != 1:
        return "usage: python -m cloudcrypt_testing.vm FOLDER"
    try:
        bed = Bed.prepare(Path(arguments[0]))
    except VMUnavailable as unavailable:
        return f"No virtual machine can be had: {unavailable}"
    sys.stdout.write(f"{bed.package}, unpacked in {bed.folder}\n")
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
