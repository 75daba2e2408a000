#!/usr/bin/env python3
"""What ran inside the virtual machine: known content onto a mapping, and the kernel's view of it.

It needs nothing but Python's standard library. Sectors are those of the mapping, 4096 bytes each.

    guest.py write DEVICE SEED VERSION:SECTORS...   in this order, each as one write, then one fsync
    guest.py read DEVICE                            a line a sector: number, SHA-256 or "error"

SECTORS is a number or a range, both ends included: 7 or 0-31.
"""

import hashlib
import mmap
import os
import sys
from collections.abc import Iterator

SECTOR = 4096  # bytes


def content(seed: str, sector: int, version: int) -> bytes:
    """Return the 4096 bytes of one version of one sector: a counted stream of SHA-256."""
    return b"".join(
        hashlib.sha256(f"{seed}/{sector}/{version}/{count}".encode()).digest()
        for count in range(SECTOR // hashlib.sha256().digest_size)
    )


def runs(groups: list[str]) -> Iterator[tuple[int, range]]:
    """Yield (version, sectors) of each group."""
    for group in groups:
        version, _, sectors = group.partition(":")
        first, _, last = sectors.partition("-")
        yield int(version), range(int(first), int(last or first) + 1)


def write(device: str, seed: str, groups: list[str]) -> None:
    """Write past the page cache: what reaches the mapping, and when, is exactly what is asked."""
    handle = os.open(device, os.O_RDWR | os.O_DIRECT)
    for version, sectors in runs(groups):
        with mmap.mmap(-1, len(sectors) * SECTOR) as buffer:
            buffer[:] = b"".join(content(seed, sector, version) for sector in sectors)
            os.pwrite(handle, buffer, sectors.start * SECTOR)
    os.fsync(handle)
    os.close(handle)


def read(device: str) -> Iterator[tuple[int, str]]:
    """Yield (sector, SHA-256 of its plaintext, or "error" where the kernel refuses it)."""
    handle = os.open(device, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, SECTOR) as buffer:
        for sector in range(os.lseek(handle, 0, os.SEEK_END) // SECTOR):
            try:
                os.preadv(handle, [buffer], sector * SECTOR)
            except OSError:
                yield sector, "error"
            else:
                yield sector, hashlib.sha256(buffer).hexdigest()
    os.close(handle)


def main(verb: str, device: str, *rest: str) -> None:
    """Do one verb of the command line."""
    if verb == "write":
        write(device, rest[0], list(rest[1:]))
    else:
        for sector, digest in read(device):
            sys.stdout.write(f"{sector} {digest}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
