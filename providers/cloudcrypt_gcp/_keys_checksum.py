"""CRC32C, the checksum by which both ends of a request to Google see that it arrived whole."""

import base64
from typing import Any, Final

import google_crc32c

_LIBRARY: Final[Any] = google_crc32c  # has no whole types


def crc32c(data: bytes) -> int:
    """Return the checksum as Cloud KMS has it, a number."""
    return int(_LIBRARY.value(data))


def crc32c_text(data: bytes) -> str:
    """Return the checksum as Cloud Storage has it: base64 of the number in big-endian order."""
    return base64.b64encode(crc32c(data).to_bytes(4)).decode()
