"""Deletes a blob so that nothing of it remains, or says what remains and why.

Three settings of a storage account keep what was deleted or replaced: versions, snapshots, and soft
delete, which keeps either for a number of days. A version or a snapshot that soft delete keeps can
be deleted permanently, if the account allows that and the caller may (Azure documentation, "Delete
Blob", "Permanent delete"); a whole blob that it keeps cannot be.
"""

from typing import Final

import attrs
from azure.storage.blob import BlobProperties

from cloudcrypt.errors import KeyDenied, KeyServiceFailed
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._keys_container import Container
from cloudcrypt_azure._keys_errors import Asked

_EVERYTHING: Final = ["snapshots", "versions", "deleted", "deletedwithversions"]

SOFT_DELETED: Final = "SoftDeleted"
"""The code of the error that says so; it is ours."""
COPIES: Final = "CopiesRemain"
"""The code of the error that says that others wrote or took snapshots meanwhile; it is ours."""
_CONFLICT: Final = 409  # the status where an account has no permanent delete; it has no code


def shred(container: Container, name: str, asked: Asked, deadline: Deadline) -> bool:
    """Delete the blob ``name`` with all that is kept of it; False if there was nothing. Idempotent.

    Raises:
        KeyServiceFailed: something remains: the blob itself is deleted, and what it held can be
            brought back by whoever may do that. It is soft-deleted, or came while this was running.
        KeyServiceError: as the service says; call again.
    """
    found = _copies(container, name, asked, deadline)
    if not found:
        return False
    container.delete(name, asked, deadline, delete_snapshots="include")
    for copy in _copies(container, name, asked, deadline):
        if copy.which and not copy.is_deleted:
            container.delete(name, asked, deadline, which=copy.which)
    for copy in _copies(container, name, asked, deadline):
        if copy.which and copy.is_deleted:
            _purge(container, name, copy, asked, deadline)
    remains = _copies(container, name, asked, deadline)
    if any(copy.which and not copy.is_deleted for copy in remains):
        reason = "a version or a snapshot came meanwhile; deleted otherwise, delete again"
        raise KeyServiceFailed(asked.service, asked.key_id, COPIES, reason)
    if any(copy.is_deleted for copy in remains):
        days = max(copy.days for copy in remains)
        reason = f"soft delete keeps {len(remains)} copies for {days} days; deleted otherwise"
        raise KeyServiceFailed(asked.service, asked.key_id, SOFT_DELETED, reason)
    return True


@attrs.frozen
class _Copy:
    """The blob itself, a version or a snapshot of it, deleted or not."""

    which: dict[str, str]
    """What names it for the SDK; nothing for the blob itself."""
    is_deleted: bool
    days: int


def _copies(container: Container, name: str, asked: Asked, deadline: Deadline) -> list[_Copy]:
    listed = container.listed(name, _EVERYTHING, asked, deadline)
    return [_copy(one) for one in listed if one.name == name]


def _copy(found: BlobProperties) -> _Copy:
    which: dict[str, str] = {}
    if found.snapshot:
        which = {"snapshot": str(found.snapshot)}
    elif found.version_id and not found.is_current_version:
        which = {"version_id": str(found.version_id)}
    days = found.remaining_retention_days
    return _Copy(which, bool(found.deleted), int(days or 0))


def _purge(container: Container, name: str, copy: _Copy, asked: Asked, deadline: Deadline) -> None:
    """Delete permanently what soft delete keeps, where that can be."""
    try:
        container.delete(name, asked, deadline, which=copy.which, blob_delete_type="Permanent")
    except KeyDenied as error:
        reason = "soft delete keeps it, and permanentDelete is not granted; deleted otherwise"
        raise KeyDenied(asked.service, asked.key_id, reason, answer=error.answer) from error
    except KeyServiceFailed as error:
        if error.answer is None or error.answer.status != _CONFLICT:
            raise
        reason = "soft delete keeps it, and the account has no permanent delete"
        raise KeyServiceFailed(
            asked.service, asked.key_id, SOFT_DELETED, reason, answer=error.answer
        ) from error
