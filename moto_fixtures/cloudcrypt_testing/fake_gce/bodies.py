"""What stands in the bodies of requests."""

from collections.abc import Mapping
from typing import Any, Final

from cloudcrypt_testing.fake_gce import errors

Body = Mapping[str, Any]

KMS_VERSION: Final = "/cryptoKeyVersions/1"
"""What the API adds to the key that it was asked to encrypt with."""
_KMS_COLLECTIONS: Final = ["projects", "locations", "keyRings", "cryptoKeys"]


def known_fields(body: Body, known: frozenset[str]) -> Body:
    """Return ``body``; raise if it asks for something that the fake would have to ignore."""
    for name in body:
        if name not in known:
            raise errors.not_implemented(f"'{name}'")
    return body


def name(body: Body) -> str:
    """Return the name, which has to be there."""
    if "name" not in body:
        raise errors.required("resource.name")
    return str(body["name"])


def number(body: Body, field: str) -> int | None:
    """Return a whole number, or None if it is missing."""
    return None if field not in body else int(body[field])


def kms_key(body: Body, field: str) -> str | None:
    """Return the key of the key service that ``field`` names, with its version."""
    asked = known_fields(body.get(field, {}), frozenset({"kmsKeyName"})).get("kmsKeyName")
    if asked is None:
        return None
    key = asked.partition("/cryptoKeyVersions/")[0]
    parts = key.split("/")
    if parts[::2] != _KMS_COLLECTIONS or len(parts) != 2 * len(_KMS_COLLECTIONS) or "" in parts:
        raise errors.invalid(f"resource.{field}.kmsKeyName", asked, "The key name is malformed.")
    return f"{key}{KMS_VERSION}"
