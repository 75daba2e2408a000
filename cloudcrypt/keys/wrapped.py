"""What a store holds for a key id: a wrapped data key, and hints of which key has wrapped it.

It is one JSON document in canonical form (names sorted, no spaces, ASCII), such as

    {"format":"cloudcrypt-wrapped-key/1","kms":"NAME","version":"3","wrapped":"BASE64"}

``kms`` and ``version`` are hints for people: nothing vouches for them, and nothing is decided by
them. What is wrapped is authenticated by the KMS, together with the key id.
"""

import base64
import json
from typing import Final, Self, cast

import attrs

from cloudcrypt.errors import WrappedKeyRefused
from cloudcrypt.kms import BLOB_MAX

FORMAT: Final = "cloudcrypt-wrapped-key/1"
"""The format that is written, and the only one that is read."""

_FAMILY: Final = "cloudcrypt-wrapped-key/"
_HINT_MAX: Final = 1024  # characters; the resource names of clouds have a few hundred


@attrs.frozen
class WrappedKey:
    """A wrapped data key: ``wrapped`` is what the KMS gave, ``kms`` and ``version`` are hints."""

    wrapped: bytes
    kms: str | None = None
    version: str | None = None

    def to_bytes(self) -> bytes:
        """Return the document."""
        document = {
            "format": FORMAT,
            "kms": self.kms,
            "version": self.version,
            "wrapped": base64.b64encode(self.wrapped).decode(),
        }
        return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, key_id: str, blob: bytes) -> Self:
        """Return what ``blob`` says; it is one that `to_bytes` makes, to the byte.

        Raises:
            WrappedKeyRefused: it is not; ``key_id`` says whose it should have been.
        """
        if len(blob) > BLOB_MAX:
            raise WrappedKeyRefused(key_id, f"it is longer than {BLOB_MAX} bytes")
        document = _document(blob)
        found = document.get("format")
        if isinstance(found, str) and found.startswith(_FAMILY) and found != FORMAT:
            raise WrappedKeyRefused(key_id, "its format is one that this version does not know")
        wrapped = _decoded(document.get("wrapped"))
        hints = [document.get("kms"), document.get("version")]
        if wrapped is None or not all(_is_hint(hint) for hint in hints):
            raise WrappedKeyRefused(key_id, f"it is no document of the format {FORMAT}")
        kms, version = cast("list[str | None]", hints)
        parsed = cls(wrapped, kms, version)
        if parsed.to_bytes() != blob:
            raise WrappedKeyRefused(key_id, f"it is not in the canonical form of {FORMAT}")
        return parsed


def _document(blob: bytes) -> dict[str, object]:
    try:
        document: object = json.loads(blob)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", document) if isinstance(document, dict) else {}


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def _is_hint(value: object) -> bool:
    return value is None or (
        isinstance(value, str) and 0 < len(value) <= _HINT_MAX and value.isprintable()
    )
