"""The bytes of a data key that Key Vault or Managed HSM has wrapped.

    blob = magic, field, field, ...
    field = length (2 bytes, big-endian), bytes

What the fields are, says who writes them: `cloudcrypt_azure._keys_hsm`, `_keys_signed`. There is
one way to write a blob, and what is left over or missing makes it none. The version of the key is
in it because the service has to be told, and its form is checked before it becomes part of a URL: a
blob chooses among the versions of the key that the caller has named, and nothing else.
"""

import re
from typing import Final

VERSION: Final = re.compile(rb"[0-9a-f]{32}")
"""The version of a key (Azure documentation, "About keys, secrets and certificates": 128 bits)."""


def encoded(magic: bytes, *fields: bytes) -> bytes:
    """Return ``fields`` behind ``magic``; no two sequences of fields have one encoding."""
    return magic + b"".join(len(field).to_bytes(2, "big") + field for field in fields)


def decoded(blob: bytes, magic: bytes, count: int) -> list[bytes] | None:
    """Return the ``count`` fields of a blob; None if it is not one with so many."""
    if not blob.startswith(magic):
        return None
    fields: list[bytes] = []
    at = len(magic)
    while len(fields) < count:
        start = at + 2
        at = start + int.from_bytes(blob[at:start], "big")
        if start > len(blob) or at > len(blob):
            return None
        fields.append(blob[start:at])
    return fields if at == len(blob) else None


def version_in(field: bytes) -> str | None:
    """Return the version of a key that ``field`` is; None if it has not the form of one."""
    return field.decode() if VERSION.fullmatch(field) else None
