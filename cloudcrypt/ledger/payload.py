"""What is recorded of the payload of a volume: whether a filesystem may be made on it.

The payload of a fresh volume decrypts to noise, so nothing that can be read from it says whether it
is in use. Only this record does, and it goes one way: from untouched to a filesystem, or to bytes
of somebody's own. Nothing leads back to untouched.
"""

import enum
from collections.abc import Mapping
from typing import Any

import attrs


class FilesystemKind(enum.Enum):
    """The filesystems that are made here, by the names that mount(8) knows."""

    EXT4 = "ext4"
    XFS = "xfs"


@attrs.frozen
class Unrecorded:
    """Nobody knows: a volume of another ledger, or of a time before this was recorded."""


@attrs.frozen
class Untouched:
    """Nothing was ever written to it. Recorded by ``format``, and by nothing else."""


@attrs.frozen
class Making:
    """A filesystem is being made, and was never handed out; it is made again after a crash."""

    kind: FilesystemKind
    uuid: str


@attrs.frozen
class Filesystem:
    """It holds this very filesystem, which is never made again."""

    kind: FilesystemKind
    uuid: str


@attrs.frozen
class Raw:
    """It was opened for writing as a block device: what it holds is somebody's own."""


Payload = Unrecorded | Untouched | Making | Filesystem | Raw

_PLAIN: dict[str, type[Unrecorded | Untouched | Raw]] = {
    "unrecorded": Unrecorded,
    "untouched": Untouched,
    "raw": Raw,
}
_OF_FILESYSTEM: dict[str, type[Making | Filesystem]] = {
    "making": Making,
    "filesystem": Filesystem,
}
_NAMES = {kind: name for name, kind in (_PLAIN | _OF_FILESYSTEM).items()}


def name_of(payload: Payload) -> str:
    """Return ``payload`` in a few words: ``untouched``, ``filesystem ext4``."""
    name = _NAMES[type(payload)]
    return f"{name} {payload.kind.value}" if isinstance(payload, Making | Filesystem) else name


def payload_to_dict(payload: Payload) -> dict[str, Any]:
    """Return ``payload`` in the form in which it is stored."""
    document = {"is": _NAMES[type(payload)]}
    if isinstance(payload, Making | Filesystem):
        document |= {"kind": payload.kind.value, "uuid": payload.uuid}
    return document


def payload_from_dict(document: Mapping[str, Any]) -> Payload:
    """Return the payload that `payload_to_dict` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is not such a form.
    """
    fields = dict(document)
    name = fields.pop("is")
    if name in _PLAIN:
        return _PLAIN[name](**fields)
    kind = FilesystemKind(fields.pop("kind"))
    return _OF_FILESYSTEM[name](kind=kind, **fields)
