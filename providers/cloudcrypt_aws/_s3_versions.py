"""Deletes an object of S3 with all of its versions, which is what shreds a key."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from cloudcrypt.waiting import Deadline
from cloudcrypt_aws._keys_client import Api
from cloudcrypt_aws._keys_errors import Asked

PAGE: Final = 1000
"""Versions on one page: S3's own most (Amazon S3 API reference, ListObjectVersions)."""


@attrs.frozen
class _Version:
    id: str
    has_bytes: bool
    """False for a delete marker."""


@attrs.frozen
class Versions:
    """The versions of the objects of a bucket; ``where`` names it in requests, ``name`` in errors.

    A bucket without versioning has one version of each object, with the id ``null``.
    """

    _api: Api
    _where: Mapping[str, str]
    _name: str

    def delete(self, name: str, key_id: str, deadline: Deadline) -> bool:
        """Delete all versions and delete markers of object ``name``; False if none had bytes.

        The versions are listed again after that, until none is left.

        Raises:
            KeyServiceError: it is not known whether all are gone. `KeyDenied` says which permission
                is missing; an object lock and MFA delete deny as well.
        """
        had_bytes = False
        while versions := list(self._all(name, key_id, deadline)):
            for version in versions:
                asked = Asked(self._name, key_id, "DeleteObject")
                parameters = {**self._where, "Key": name, "VersionId": version.id}
                self._api.again(asked, parameters, deadline, dict)
                had_bytes |= version.has_bytes
        return had_bytes

    def _all(self, name: str, key_id: str, deadline: Deadline) -> Iterator[_Version]:
        """Yield the versions of ``name``; of the names that begin with it, S3 lists it first."""
        asked = Asked(self._name, key_id, "ListObjectVersions")
        parameters = {**self._where, "Prefix": name, "MaxKeys": PAGE}
        at: Mapping[str, str] = {}
        while True:
            page = self._api.again(asked, {**parameters, **at}, deadline, dict)
            yield from _of(page, name)
            if not page.get("IsTruncated") or page.get("NextKeyMarker") != name:
                return
            at = {"KeyMarker": name}
            if page.get("NextVersionIdMarker"):
                at = {**at, "VersionIdMarker": str(page["NextVersionIdMarker"])}


def _of(page: Mapping[str, Any], name: str) -> Iterator[_Version]:
    for kind, has_bytes in (("Versions", True), ("DeleteMarkers", False)):
        for entry in page.get(kind, []):
            if entry["Key"] == name:
                yield _Version(str(entry["VersionId"]), has_bytes)
