"""Identify Namespace: what an NVMe namespace says of itself, asked of the kernel by ioctl.

NVM Express base specification, section "Identify command"; Linux: ``linux/nvme_ioctl.h``.
"""

import ctypes
import errno
import fcntl
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cloudcrypt.device._node import is_host
from cloudcrypt.device._sysfs import Disk

Identify = Callable[[int, Path], bytes]
"""Asks an open namespace, given with its folder in sysfs, for its Identify Namespace page.

Raises:
    OSError: it does not answer.
"""

PAGE_BYTES: Final = 4096
"""The length of what Identify returns."""

_VENDOR_BYTES: Final = 384  # where the vendor-specific area of Identify Namespace begins
_IDENTIFY: Final = 0x06  # the opcode of Identify; CNS 0, in command dword 10, is a namespace
_ADMIN_COMMAND: Final = struct.Struct("=BBHIIIQQII6III")  # struct nvme_passthru_cmd
_NVME_IOCTL_ADMIN_CMD: Final = 0xC0484E41  # _IOWR('N', 0x41, struct nvme_admin_cmd), 72 bytes


def identify_namespace(
    fd: int, namespace: Path, *, ioctl: Callable[[int, int, Any], int] = fcntl.ioctl
) -> bytes:
    """Return the Identify Namespace page of an open namespace. Needs CAP_SYS_ADMIN.

    The kernel compares the number that sysfs states with that of the open device, and refuses
    another one.

    Raises:
        OSError: it is no NVMe device, may not be asked, has gone, or answers with a status.
    """
    nsid = Disk(namespace).number("nsid")
    if nsid is None:
        raise OSError(errno.ENODEV, "no namespace number in sysfs")
    with mmap.mmap(-1, PAGE_BYTES) as page:  # aligned to a page, as DMA likes it
        first = ctypes.c_char.from_buffer(page)
        try:
            command = bytearray(_command(nsid, ctypes.addressof(first)))
            status = ioctl(fd, _NVME_IOCTL_ADMIN_CMD, command)
        finally:
            del first  # the map cannot be closed while somebody points into it
        if status != 0:
            raise OSError(errno.EIO, f"NVMe status 0x{status:x}")
        return page[:]


def recorded_page(fd: int, namespace: Path) -> bytes:
    """Return the page that a host which is a mere folder keeps beside the attributes.

    Raises:
        OSError: it keeps none.
    """
    del fd
    page = Disk(namespace).raw("identify")
    if page is None:
        raise OSError(errno.ENODEV, "no page was recorded")
    return page


def usual_identify(root: Path) -> Identify:
    """Return who asks the namespaces of a host: the kernel, unless the host is a mere folder."""
    return identify_namespace if is_host(root) else recorded_page


def vendor_text(page: bytes) -> str | None:
    """Return the text in the vendor-specific area of an Identify Namespace page.

    It ends with the first NUL byte; what follows is undefined.

    Returns:
        The text, which is empty where a host says nothing; None if it is not ASCII, does not end,
        or the page has another length than a page.
    """
    if len(page) != PAGE_BYTES:
        return None
    text, end, _ = page[_VENDOR_BYTES:].partition(b"\0")
    return text.decode("ascii") if end and text.isascii() else None


def _command(nsid: int, address: int) -> bytes:
    return _ADMIN_COMMAND.pack(
        *(_IDENTIFY, 0, 0, nsid, 0, 0),  # opcode, flags, reserved, nsid, cdw2, cdw3
        *(0, address, 0, PAGE_BYTES),  # metadata, addr, metadata_len, data_len
        *(0, 0, 0, 0, 0, 0),  # cdw10 to cdw15
        *(0, 0),  # timeout_ms: the kernel's own, result
    )
