"""A header as a file in memory that nobody can change any more: what libcryptsetup is given."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from cloudcrypt.errors import HostUnready
from cloudcrypt.luks2 import VerifiedHeader, layout, serialise

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""Neither content nor size change any more, and no seal is taken off; memfd_create(2)."""


@contextmanager
def header_file(header: VerifiedHeader) -> Generator[int]:
    """Yield the descriptor of a sealed file that holds the header; closed after the block.

    It is made of the verified values alone, both copies of the metadata. The keyslot area is left
    zero: the volume is activated by its key. The size is that of a whole header, 16 MiB, since
    libcryptsetup refuses a shorter file; nearly all of it is a hole.

    Raises:
        HostUnready: this host has no memory for it, or this process too many files.
    """
    image = serialise(header)
    try:
        descriptor = _sealed(image.primary + image.secondary, layout.DATA_OFFSET)
    except OSError as error:
        what = f"room for a file in memory ({error.strerror})"
        raise HostUnready(what, "free memory, or open fewer volumes at once") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sealed(content: bytes, size: int) -> int:
    descriptor = os.memfd_create("cloudcrypt-header", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
