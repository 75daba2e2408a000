"""`LocalProvider`: volumes that are sparse files in one directory of this host.

``begin`` records what is asked for, durably and in one transaction; ``resume`` does the work on the
files. Whatever is cut short is finished by the next ``resume`` of the same operation, in any
process; a deletion also by whoever opens the directory next.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from cloudcrypt.errors import (
    AttachedElsewhere,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RequestConflict,
)
from cloudcrypt.model import Attachment, FilePath, Snapshot, Volume, check_volume_id
from cloudcrypt.spi import (
    AttachVolume,
    Capabilities,
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Handle,
    Intent,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_local._directory import LOCK, prepare
from cloudcrypt_local._files import Files
from cloudcrypt_local._filesystem import FileSystem
from cloudcrypt_local._images import Image, Kind, State
from cloudcrypt_local._intents import differences, encode
from cloudcrypt_local._locks import Locks
from cloudcrypt_local._operations import CAPABILITIES, Operations
from cloudcrypt_local._store import Operation, Store
from cloudcrypt_local._url import directory_of, url_of
from cloudcrypt_local._work import Work

T = TypeVar("T")

BUSY_TIMEOUT = 30.0
"""Seconds to wait for the transactions of others, which take milliseconds."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LocalProvider:
    """Volumes in a directory; implements `cloudcrypt.spi.VolumeProvider`.

    Safe to use from several threads, and by several processes at once. Nothing is open between two
    calls.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        clock: Callable[[], datetime] = _utc_now,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        filesystem: FileSystem | None = None,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        """Open the store in ``directory``; make one if it is empty or missing. Idempotent.

        Deletions that were accepted, and then cut short, are finished.

        Args:
            directory: of this store alone.
            clock: returns the time, aware and in UTC.
            randomness: returns that many random bytes.
            filesystem: takes the steps on files.
            busy_timeout: how long to wait for the transactions of others, in seconds.

        Raises:
            InvalidRequest: the directory is something else than a store; it was not touched.
            HostUnready: the store was written by another release, which this one cannot read.
            ProviderUnavailable: the directory or the store in it cannot be read or written.
        """
        path = Path(directory).resolve()
        self._url = url_of(path)
        with self._translated():
            prepare(path)
            self._store = Store(path, busy_timeout=busy_timeout, randomness=randomness)
            self._files = Files(path, filesystem or FileSystem())
            self._work = Work(self._store, self._files, Locks(path / LOCK))
            self._operations = Operations(self._store.id, clock, randomness)
            self._finish_deletions()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open the store that ``url`` names: ``local:///abs/dir`` or ``local://rel/dir``.

        Raises:
            InvalidRequest: it is not such a URL, or as for the constructor.
            HostUnready, ProviderUnavailable: as for the constructor.
        """
        return cls(directory_of(url))

    @property
    def url(self) -> str:
        """The URL of the directory, absolute."""
        return self._url

    @property
    def namespace(self) -> str:
        """The store, wherever its directory is mounted or moved."""
        return f"local:{self._store.id}"

    @property
    def capabilities(self) -> Capabilities:
        """What this provider offers."""
        return CAPABILITIES

    def instance_name(self, instance: str) -> str:
        """Return the name as it is: any text names an instance here."""
        return instance

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        """Accept ``intent``, durably; see `VolumeProvider.begin`. Idempotent by its token.

        Attaching and detaching take effect at once; the files of volumes and snapshots are changed
        by `resume`.
        """
        _check(deadline)
        with self._translated(), self._store.transaction() as rows:
            operation = rows.operation(intent.token)
            if operation is None:
                reference = self._operations.new_id(rows, "op")
                subject = self._operations.accept(rows, intent)
                operation = Operation(reference, intent.token, encode(intent), subject)
                rows.add_operation(operation)
            differing = differences(operation.intent, intent)
            if differing:
                raise RequestConflict(intent.token, differing)
        return Handle(intent, operation.reference)

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        """Return the handle of ``intent`` if it was accepted; see `VolumeProvider.find`."""
        _check(deadline)
        operation = self._operation(intent)
        if operation is None or differences(operation.intent, intent):
            return None
        return Handle(intent, operation.reference)

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        """Do what is left to do, and return the outcome; see `VolumeProvider.resume`. Idempotent.

        Args:
            handle: as `begin` returned it, in this process or another one.
            deadline: until when to wait for another process or thread that is at it already. Work
                that this call does itself, it does to its end.

        Returns:
            What there is now: a volume that has changed since is described as it is.

        Raises:
            NotFound: the operation is unknown, or what it made is gone since.
            AttachedElsewhere: the volume was attached, and has moved to another instance since.
            OperationPending: another one is still at it.
            ProviderUnavailable: the work failed; what is done stays done.
        """
        operation = self._operation(handle.intent)
        if operation is None or operation.reference != handle.reference:
            raise NotFound("operation", handle.reference)
        differing = differences(operation.intent, handle.intent)
        if differing:
            raise RequestConflict(handle.intent.token, differing)
        until = Deadline.after() if deadline is None else deadline
        return cast("T", self._outcome(handle.intent, operation.subject, until))

    def get(self, volume_id: str) -> Volume:
        """Return the volume; see `VolumeProvider.get`."""
        return self._image(Kind.VOLUME, volume_id).to_volume()

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        """Yield the volumes, oldest first; see `VolumeProvider.list`."""
        return (image.to_volume() for image in self._images(Kind.VOLUME, name))

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        """Yield the snapshots that are complete, oldest first."""
        images = self._images(Kind.SNAPSHOT, name)
        return (image.to_snapshot() for image in images if image.state is State.READY)

    def close(self) -> None:
        """Do nothing: nothing is open between two calls."""

    def _outcome(self, intent: Intent[Any], subject: str, deadline: Deadline) -> object:
        if isinstance(intent, AttachVolume):
            return self._attachment(subject, intent.instance)
        if not isinstance(intent, DetachVolume):
            with self._translated():
                self._work.finish(subject, deadline=deadline)
        if isinstance(intent, DeleteVolume | DeleteSnapshot):
            return None
        if isinstance(intent, CreateSnapshot):
            return self._image(Kind.SNAPSHOT, subject).to_snapshot()
        return self.get(subject)

    def _attachment(self, volume_id: str, instance: str) -> Attachment:
        image = self._image(Kind.VOLUME, volume_id)
        if image.holder is None:
            raise NotFound("attachment", f"of {volume_id} to {instance}")
        if image.holder != instance:
            raise AttachedElsewhere(volume_id, image.holder)
        with self._translated():
            device, inode = self._files.identity(volume_id, image.size)
        path = str(self._files.path(volume_id))
        identity = FilePath(path, device, inode)
        return Attachment(volume_id, instance, image.size, image.origin, identity)

    def _operation(self, intent: Intent[Any]) -> Operation | None:
        with self._translated(), self._store.transaction(write=False) as rows:
            return rows.operation(intent.token)

    def _image(self, kind: Kind, image_id: str) -> Image:
        with self._translated(), self._store.transaction(write=False) as rows:
            image = rows.image(check_volume_id(image_id))
        if image is None or image.kind is not kind:
            raise NotFound(kind.value, image_id)
        return image

    def _images(self, kind: Kind, name: str | None) -> tuple[Image, ...]:
        with self._translated(), self._store.transaction(write=False) as rows:
            if name is None:
                return tuple(rows.images("kind = ?", kind.value))
            return tuple(rows.images("kind = ? AND name = ?", kind.value, name))

    def _finish_deletions(self) -> None:
        for image_id in self._work.unfinished_deletions():
            with contextlib.suppress(ProviderError), self._translated():
                self._work.finish(image_id, deadline=Deadline.after(0))

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        """Let no error of SQLite or of the operating system cross the interface."""
        try:
            yield
        except sqlite3.Error as error:
            raise ProviderUnavailable(self._url, f"{error}") from error
        except OSError as error:
            about = "" if error.filename is None else f": {error.filename}"
            raise ProviderUnavailable(self._url, f"{error.strerror}{about}") from error


def _check(deadline: Deadline | None) -> None:
    """Go on unless the caller has cancelled; what follows does not wait."""
    if deadline is not None:
        deadline.check()
