"""Writing the journal: batches go around the ring, and an empty ring is left behind.

Three rules keep the ring replayable at every crash point. A batch is durable in the journal before
its sectors are changed. A section is written again only when what it holds is durable in its place:
a batch takes at most half of the ring and is brought to its place before the next one is written,
so the flush of the next batch makes it so. The ring is cleared from its oldest section on, so that
what is left of it is always its newest part.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cloudcrypt.disk import Disk
from cloudcrypt.integrity.geometry import SECTION_ENTRIES, Geometry
from cloudcrypt.integrity.journal import SEQUENCES, Journal, Position, section_bytes

_BATCH_SECTIONS = 32
"""Sections of a batch at most: 4 MiB of payload between two flushes."""


class Ring:
    """The journal of one open volume. Used under the engine's write lock alone."""

    def __init__(self, disk: Disk, geometry: Geometry, found: Journal) -> None:
        """Go on where ``found`` ends."""
        self._disk = disk
        self._geometry = geometry
        self._next = found.position
        self._is_empty = True
        self._is_settled = True
        self._buffer = section_bytes(self._next)
        self._thread = ThreadPoolExecutor(1)  # begun when it is used, gone with this ring
        self._syncing: Future[None] | None = None
        self.batch = SECTION_ENTRIES * max(1, min(_BATCH_SECTIONS, self._sections // 2))

    @property
    def _sections(self) -> int:
        return self._geometry.journal_sections

    def commit(self, entries: Sequence[tuple[int, memoryview, bytes]]) -> None:
        """Write at most a batch of entries to the journal; they are durable after `wait`.

        The caller brings them to their places then, before it commits the next batch.

        Raises:
            DeviceIOError: the device failed; none, some or all of them are in the journal.
        """
        if self._sections == 1 and not self._is_settled:
            self._disk.sync()  # there is no other half
        self._is_empty = self._is_settled = False
        for begin in range(0, len(entries), SECTION_ENTRIES):
            self._write(entries[begin : begin + SECTION_ENTRIES])

    def sync_behind(self) -> None:
        """Begin to make durable what was committed, in a thread beside the caller's."""
        self._syncing = self._thread.submit(self._disk.sync)

    def wait(self) -> None:
        """Return when what was committed is durable.

        Raises:
            DeviceIOError: the device failed; none, some or all of it is in the journal.
        """
        syncing, self._syncing = self._syncing, None
        if syncing is None:
            self._disk.sync()
        else:
            syncing.result()

    def settle(self) -> None:
        """Make durable in its place what the journal holds, and the caller has brought there.

        Raises:
            DeviceIOError: the device failed; the journal alone has it, and must not be cleared.
        """
        if not self._is_empty:
            self._disk.sync()

    def clear(self) -> None:
        """Leave an empty ring, once what it holds is durable in its place. Idempotent.

        Raises:
            DeviceIOError: the device failed; ask again.
        """
        if self._is_empty:
            return
        for _ in range(self._sections):
            self._write(())
        self._disk.sync()
        self._is_empty = self._is_settled = True

    def clear_after(self, found: Journal) -> None:
        """Clear a ring as it was found, once its entries are in their places.

        Raises:
            DeviceIOError: the device failed; ask again.
        """
        self._is_empty = False
        self.settle()
        if found.whole:
            self.clear()
            return
        # As the kernel does it: one number two before the newest, the oldest section first and the
        # newest last, so that a crash in between never makes an older section the newest.
        sequence = (found.position.sequence - 1) % SEQUENCES
        order = [(found.oldest + step) % self._sections for step in range(self._sections)]
        for group in (order[:1], order[1:-1], order[1:][-1:]):
            for section in group:
                self._put(Position(section, sequence), ())
            self._disk.sync()
        self._is_empty = self._is_settled = True

    def _write(self, entries: Sequence[tuple[int, memoryview, bytes]]) -> None:
        self._put(self._next, entries)
        self._next = self._next.after(self._sections)

    def _put(self, position: Position, entries: Sequence[tuple[int, memoryview, bytes]]) -> None:
        offset = self._geometry.section_offset(position.section)
        self._disk.write(offset, section_bytes(position, entries, self._buffer))
