"""Disks of GCE: the device name, in a page of the SCSI disk or of the NVMe namespace.

SCSI Primary Commands (SPC-4), section "Device Identification VPD page"; Google's guest-configs,
``65-gce-disk-naming.rules`` and ``google_nvme_id``.
"""

import json
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

import attrs

from cloudcrypt.device._nvme import Identify, vendor_text
from cloudcrypt.device._sysfs import Disk
from cloudcrypt.errors import DeviceMismatch

_SCSI: Final = {"vendor": "Google", "model": "PersistentDisk"}  # a local SSD is an EphemeralDisk
_NVME: Final = {"model": "nvme_card-pd"}  # a local SSD is nvme_card, or nvme_card with a number

_PAGE_CODE: Final = 0x83
_VENDOR_SPECIFIC, _T10_VENDOR = 0, 1  # designator types
_LOGICAL_UNIT: Final = 0  # association of a designator
_T10_PREFIX: Final = re.compile(rb"Google  (?:PersistentDisk  )?")  # vendor, 8 bytes; model, 16
_NAME: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


@attrs.frozen(str=False)
class GoogleDisk:
    """The disk with a device name."""

    device_name: str
    identify: Identify

    def __str__(self) -> str:
        return f"device name {self.device_name}"

    def fits(self, disk: Disk) -> bool:
        """Say whether it is a SCSI disk of this name, or any namespace of Google's."""
        if disk.is_scsi:
            return disk.states(**_SCSI) and self.device_name in _scsi_names(disk)
        return disk.is_nvme and disk.states(**_NVME)

    def proves(self, disk: Disk, fd: int) -> bool:
        """Say whether the disk has this name and no other.

        Raises:
            OSError: the namespace does not answer.
            DeviceMismatch: the page of a SCSI disk has two names.
        """
        if disk.is_nvme:
            return self.device_name == namespace_name(self.identify(fd, disk.path))
        names = _scsi_names(disk)
        if len(names) > 1:
            found = f"called {' and '.join(sorted(names))}"
            raise DeviceMismatch(disk.name, found, f"{self.device_name} alone")
        return self.device_name in names


def page_names(page: bytes) -> frozenset[str]:
    """Return the device names in a device identification page (VPD 0x83) of a SCSI disk.

    Two designators of the logical unit have it: the vendor-specific one, to which ``scsi_id`` of
    systemd puts vendor and model, and that of T10 vendor identification, after ``Google``.

    Returns:
        The names, each once; none if the page is not well-formed.
    """
    names = [_designated(*each) for each in _designators(page)]
    return frozenset(name for name in names if name is not None)


def namespace_name(page: bytes) -> str | None:
    """Return the device name in an Identify Namespace page; None if it has none.

    A text that is not one JSON object with one ``device_name``, a string, has none.
    """
    try:
        document: object = json.loads(vendor_text(page) or "", object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    match document:
        case {"device_name": str() as name} if _is_name(name.encode("utf-8", "replace")):
            return name
        case _:
            return None


def _scsi_names(disk: Disk) -> frozenset[str]:
    page = disk.raw("device/vpd_pg83")
    return frozenset() if page is None else page_names(page)


def _designators(page: bytes) -> Iterator[tuple[int, bytes]]:
    """Return type and content of the designators of the logical unit; none if one is cut short."""
    found = list[tuple[int, bytes]]()
    rest = _body(page)
    while rest:
        if len(rest) < 4 or len(rest) < 4 + rest[3]:
            return iter(())
        if rest[1] >> 4 & 0b11 == _LOGICAL_UNIT:
            found.append((rest[1] & 0b1111, rest[4 : 4 + rest[3]]))
        rest = rest[4 + rest[3] :]
    return iter(found)


def _body(page: bytes) -> bytes:
    if len(page) < 4:
        return b""
    code, length = struct.unpack_from(">xBH", page)
    return page[4 : 4 + length] if code == _PAGE_CODE and len(page) >= 4 + length else b""


def _designated(kind: int, content: bytes) -> str | None:
    name = content.rstrip(b" \0")
    if kind == _T10_VENDOR:
        prefix = _T10_PREFIX.match(name)
        if prefix is None:
            return None
        name = name[prefix.end() :]
    elif kind != _VENDOR_SPECIFIC:
        return None
    return name.decode("ascii") if _is_name(name) else None


def _is_name(name: bytes) -> bool:
    return _NAME.fullmatch(name) is not None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        msg = "a key twice"
        raise ValueError(msg)
    return document
