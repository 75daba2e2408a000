"""The names of mappings: the short cloud id where it fits, else a digest of the volume id.

A name follows from the volume id alone, so that any process of this host finds the mapping of a
volume. Names that Constellation would choose are kept where the id allows it.
"""

import hashlib
import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/dev/mapper")
"""Where the kernel's mappings have their nodes."""

_ALONE: Final = re.compile(
    r"vol-[0-9a-f]{8,17}"  # EBS, and the local provider
    r"|[0-9]{15,20}"  # GCE: 64 bits in decimal
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # Azure: a GUID
    re.ASCII,
)
"""Ids that a cloud gives once and never again, whatever the account and the place."""

_DIGEST_DIGITS: Final = 32


def mapping_name(volume_id: str) -> str:
    """Return the name of the mapping of a volume: at most 43 characters, no underscore.

    It is the last part of the volume id if that identifies the volume by itself, else
    ``cloudcrypt-`` and 32 hexadecimal digits of the SHA-256 of the volume id.
    """
    last = volume_id.rpartition("/")[2]
    if _ALONE.fullmatch(last):
        return last
    return f"cloudcrypt-{hashlib.sha256(volume_id.encode()).hexdigest()[:_DIGEST_DIGITS]}"


def integrity_name(name: str) -> str:
    """Return the name of the dm-integrity device below the mapping ``name``."""
    return f"{name}_dif"


def limit_name(name: str) -> str:
    """Return the name of the device that hides the unused tail of a disk from dm-integrity."""
    return f"{name}_lim"


def node(name: str) -> Path:
    """Return the path of the mapping ``name``."""
    return FOLDER / name
