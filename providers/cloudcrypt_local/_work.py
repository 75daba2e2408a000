"""The work that accepted intents leave to be done on files, found in the rows.

A row that is not `READY`, or has a size to grow to, is the record of work: it is written before the
file is touched and changed after the file is durable, so that whoever comes next finishes it.
"""

import attrs

from cloudcrypt.waiting import Deadline
from cloudcrypt_local._files import Files
from cloudcrypt_local._images import Image, State
from cloudcrypt_local._locks import Locks
from cloudcrypt_local._store import Store


@attrs.frozen
class Work:
    """Whoever finishes what is accepted, in this process or in another one."""

    store: Store
    files: Files
    locks: Locks

    def finish(self, image_id: str, *, deadline: Deadline) -> None:
        """Do what is left to be done for ``image_id``. Idempotent.

        Args:
            image_id: a volume or snapshot, which may be gone.
            deadline: until when to wait for others that are at it already. Work that this call
                does itself is done to its end: cut short, it would begin anew each time.

        Raises:
            OperationPending: others are at it still.
            OSError: the file system refused; what was accepted stays to be done.
        """
        if not _is_due(self._row(image_id)):
            return
        with self.locks.hold(image_id, deadline=deadline):
            image = self._row(image_id)
            if image is None or not _is_due(image):
                return
            self._do(image)

    def unfinished_deletions(self) -> tuple[str, ...]:
        """Return the ids of what is to be deleted but still there."""
        with self.store.transaction(write=False) as rows:
            return tuple(image.id for image in rows.images("state = 'deleting'"))

    def _row(self, image_id: str) -> Image | None:
        with self.store.transaction(write=False) as rows:
            return rows.image(image_id)

    def _do(self, image: Image) -> None:
        match image.state:
            case State.CREATING:
                self._fill(image)
            case State.DELETING:
                self._remove(image)
            case State.READY:
                self._grow(image)

    def _fill(self, image: Image) -> None:
        source = None if image.source is None else self._row(image.source)
        length = 0 if source is None else min(source.size, image.size)
        self.files.fill(image.id, image.size, image.source, length)
        with self.store.transaction() as rows:
            now = rows.image(image.id)
            if now is not None and now.state is State.CREATING:
                rows.replace_image(attrs.evolve(now, state=State.READY))

    def _grow(self, image: Image) -> None:
        assert image.grow_to is not None  # noqa: S101 - else nothing is due
        self.files.grow(image.id, image.grow_to)
        with self.store.transaction() as rows:
            now = rows.image(image.id)
            assert now is not None  # noqa: S101 - only the holder of its lock removes it
            left = None if now.grow_to == image.grow_to else now.grow_to
            rows.replace_image(attrs.evolve(now, size=image.grow_to, grow_to=left))

    def _remove(self, image: Image) -> None:
        self.files.remove(image.id)
        with self.store.transaction() as rows:
            rows.forget_image(image.id)


def _is_due(image: Image | None) -> bool:
    return image is not None and (image.state is not State.READY or image.grow_to is not None)
