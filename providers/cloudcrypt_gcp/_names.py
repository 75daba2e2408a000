"""Names that follow from what the caller says: of disks and snapshots, of labels, of requests.

None is random. Whoever asks again, in whatever process, uses the same names, so that GCE can tell.
"""

import hashlib
import re
import uuid
from typing import Final

NAME_MAX: Final = 63
"""Characters of the name of a resource, and of the value of a label (Compute Engine documentation,
"Naming resources", "Organize resources using labels")."""
TOKEN_DIGITS: Final = 32
"""Hex digits of a token as a label; half of SHA-256."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)  # RFC 1035
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_OTHERS: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_DIGITS: Final = 16
_DERIVED: Final = re.compile(rf".*-[0-9a-f]{{{_DIGITS}}}", re.ASCII)
_SLUG_MAX: Final = NAME_MAX - _DIGITS - 1
_REQUESTS: Final = uuid.UUID("6f1d0c5e-3a0b-5d57-9d0e-6a7c0e1f2b43")
"""The namespace of request ids (RFC 9562, section 5.5); a constant without a meaning."""


def disk_name(name: str) -> str:
    """Return what GCE is to call the volume ``name``.

    It is the name itself if that can be, else what can be kept of it and a digest. A name that
    looks like one with a digest gets one, too: so no two names are ever one.
    """
    is_usable = _NAME.fullmatch(name) is not None and _DERIVED.fullmatch(name) is None
    return name if is_usable else _derived(name, name, "volume")


def snapshot_name(region: str, owner: str, name: str) -> str:
    """Return what GCE is to call the snapshot ``name``.

    Snapshots of all regions and owners of a project share one set of names, so all are derived.
    """
    return _derived(name, f"{region}\0{owner}\0{name}", "snapshot")


def device_name(disk: str, *, is_regional: bool) -> str:
    """Return the device name that a disk is attached with; a regional disk has its own.

    A zonal and a regional disk may have one name, and be attached to one instance. Longer ones
    than GCE takes are derived.
    """
    name = f"{disk}_regional" if is_regional else disk
    return name if len(name) <= NAME_MAX else _derived(disk, name, "disk")


def owner_label(owner: str) -> str:
    """Return ``owner`` as the value of a label: itself if it can be, else derived from it."""
    is_usable = _LABEL.fullmatch(owner) is not None and _DERIVED.fullmatch(owner) is None
    return owner if is_usable else _derived(owner, owner, "owner")


def token_label(owner: str, token: str) -> str:
    """Return a token as the value of a label.

    It depends on the owner, so that the short tokens of two programs do not meet.
    """
    return _digest(f"cloudcrypt\0{owner}\0{token}")[:TOKEN_DIGITS]


def request_id(namespace: str, token: str, verb: str, attempt: int = 1) -> str:
    """Return the ``requestId`` of a request: a UUID, never the zero one.

    GCE answers the same id with the same operation (reference of the parameter ``requestId``).
    """
    return str(uuid.uuid5(_REQUESTS, f"{namespace}\0{token}\0{verb}\0{attempt}"))


def chosen(name: str, count: int) -> int:
    """Return a number below ``count`` that ``name`` decides: the same one whenever it is asked."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count


def _derived(text: str, whole: str, otherwise: str) -> str:
    """Return a slug of ``text`` and a digest of ``whole``; ``otherwise`` where no slug is left."""
    slug = _OTHERS.sub("-", text.lower()).strip("-")
    if not slug or not slug[0].isalpha():
        slug = f"{otherwise}-{slug}".strip("-")
    return f"{slug[:_SLUG_MAX].strip('-')}-{_digest(whole)[:_DIGITS]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
