"""The payload of an unlocked volume as a file, decrypted and encrypted in this process.

This is the engine of offline tests, of recovery without root, and of ``luks import`` and
``export``. Byte ranges are mapped to 4096-byte sectors: whole sectors go straight through, a partly
written one is read, changed and written back. What a sector is on the disk is the business of a
`SectorEngine`.
"""

import io
import os
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from cloudcrypt.errors import DeviceUnavailable, InvalidRequest
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.luks2.xts import SLACK
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB, round_down, round_up

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

RUN_SIZE = 1 * MIB
"""Bytes that are read, converted and written at a time; bounds memory."""


class SectorEngine(Protocol):
    """Whole sectors of one payload, in the clear. Reading is safe from several threads.

    Offsets and lengths are in bytes, multiples of 4096. `SectorFile` holds ``write_lock`` around
    `write` and `sync`.
    """

    @property
    def name(self) -> str:
        """The name of the device below."""
        ...

    @property
    def size(self) -> int:
        """Bytes of payload."""
        ...

    @property
    def write_lock(self) -> AbstractContextManager[object]:
        """Serialises the writers of all files on this engine."""
        ...

    def read(self, start: int, span: int, plain: memoryview) -> None:
        """Read at most `RUN_SIZE` bytes into ``plain``, which is at least `SLACK` bytes longer.

        Raises:
            DeviceIOError: the device failed.
            SectorRefused: a tag does not verify; nothing in ``plain`` is to be used.
        """
        ...

    def write(self, start: int, plain: memoryview) -> None:
        """Write at most `RUN_SIZE` bytes; durable after `sync`.

        Raises:
            DeviceIOError: the device failed; any of the sectors may have been written.
        """
        ...

    def sync(self) -> None:
        """Make everything written so far durable.

        Raises:
            DeviceIOError: the device failed.
        """
        ...


class SectorFile(io.RawIOBase):
    """A payload as a raw binary file of fixed size.

    Positions are bytes of payload. Reads stop at the end, writes beyond it are refused whole.
    `pread` and `pwrite` have no shared position and are safe from several threads; writes are
    serialised. Nothing is durable before `flush` returns.
    """

    def __init__(self, engine: SectorEngine, *, writable: bool, gate: Gate | None = None) -> None:
        """Open the payload; what the engine stands on must outlive this file.

        Args:
            engine: reads and writes whole sectors.
            writable: whether `pwrite` and `write` are allowed.
            gate: what whoever closes the disk and wipes the key closes first.
        """
        super().__init__()
        self._engine = engine
        self._size = engine.size
        self._writable = writable
        self._position = 0
        self._gate = Gate(engine.name) if gate is None else gate
        self._buffers = threading.local()

    @property
    def size(self) -> int:
        """Bytes of payload, a multiple of 4096."""
        return self._size

    @property
    def name(self) -> str:
        """The name of the device below."""
        return self._engine.name

    # --- without a position: safe from several threads ---

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from byte ``offset``; fewer only at the end.

        Raises:
            DeviceIOError: the device failed.
            InvalidRequest: offset or length is negative.
        """
        self._check_open(offset, length)
        buffer = bytearray(max(0, min(length, self._size - offset)))
        with self._gate:
            self._read_range(offset, memoryview(buffer))
        return bytes(buffer)

    def pwrite(self, offset: int, data: "ReadableBuffer") -> int:
        """Write all of ``data`` at byte ``offset`` and return its length.

        Raises:
            DeviceIOError: the device failed; any sector of the range may have been written.
            InvalidRequest: the range does not lie within the payload; nothing was written.
            io.UnsupportedOperation: the file was opened for reading.
        """
        view = memoryview(data).cast("B")
        self._check_open(offset, len(view))
        if not self._writable:
            raise io.UnsupportedOperation("not writable")  # io's own wording
        if offset + len(view) > self._size:
            raise InvalidRequest("end", offset + len(view), f"the payload ends at {self._size}")
        with self._gate, self._engine.write_lock:
            self._write_range(offset, view)
        return len(view)

    # --- with a position: io.RawIOBase ---

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Say whether the file was opened for writing."""
        return self._writable

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position and return it.

        Raises:
            InvalidRequest: the position would be negative, or ``whence`` is none of the three.
        """
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        base = bases.get(whence)
        if base is None:
            raise InvalidRequest("whence", whence, "SEEK_SET, SEEK_CUR or SEEK_END")
        self._check_open(base + offset, 0)
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill ``buffer`` from the position, move it, and return how many bytes were read."""
        view = memoryview(buffer).cast("B")
        self._check_open(self._position, len(view))
        count = max(0, min(len(view), self._size - self._position))
        with self._gate:
            self._read_range(self._position, view[:count])
        self._position += count
        return count

    def readall(self) -> bytes:
        """Return everything from the position to the end, and move it there."""
        content = self.pread(self._position, max(0, self._size - self._position))
        self._position += len(content)
        return content

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of ``data`` at the position, move it, and return the length; see `pwrite`."""
        count = self.pwrite(self._position, data)
        self._position += count
        return count

    def flush(self) -> None:
        """Make everything written so far durable.

        Raises:
            DeviceIOError: the device failed.
        """
        if not self.closed and self._writable:
            with self._gate, self._engine.write_lock:
                self._engine.sync()
        super().flush()

    def close(self) -> None:
        """Flush and close the file; the disk stays open. Idempotent.

        Raises:
            DeviceIOError: the flush failed; the file is closed all the same.
        """
        try:
            super().close()
        except DeviceUnavailable:  # the volume was closed before, and flushed then
            return

    # --- sectors ---

    def _check_open(self, offset: int, length: int) -> None:
        if self.closed:
            msg = "I/O operation on closed file"
            raise ValueError(msg)
        if offset < 0 or length < 0:
            raise InvalidRequest("offset, length", (offset, length), "not negative")

    def _read_range(self, offset: int, out: memoryview) -> None:
        done = 0
        while done < len(out):
            start = round_down(offset + done, SECTOR_SIZE)
            lead, rest = offset + done - start, len(out) - done
            span = min(RUN_SIZE, round_up(lead + rest, SECTOR_SIZE))
            count = min(span - lead, rest)
            if lead == 0 and span + SLACK <= rest:  # straight into the caller's buffer
                self._engine.read(start, span, out[done:])
            else:
                out[done : done + count] = self._plain(start, span)[lead : lead + count]
            done += count

    def _write_range(self, offset: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            start = round_down(offset + done, SECTOR_SIZE)
            lead = offset + done - start
            span = min(RUN_SIZE, round_up(lead + len(data) - done, SECTOR_SIZE))
            count = min(span - lead, len(data) - done)
            piece = data[done : done + count]
            if lead or count < span:
                piece = self._merged(start, span, lead, piece)
            self._engine.write(start, piece)
            done += count

    def _merged(self, start: int, span: int, lead: int, piece: memoryview) -> memoryview:
        """Return ``span`` bytes from ``start`` with ``piece`` laid over them at ``lead``."""
        view = memoryview(bytearray(span))
        for sector in {0, span - SECTOR_SIZE}:
            view[sector : sector + SECTOR_SIZE] = self._plain(start + sector, SECTOR_SIZE)
        view[lead : lead + len(piece)] = piece
        return view

    def _plain(self, start: int, span: int) -> memoryview:
        """Return ``span`` bytes from ``start``, in a buffer of this thread that is used again."""
        try:
            plain: memoryview = self._buffers.plain
        except AttributeError:
            plain = self._buffers.plain = memoryview(bytearray(RUN_SIZE + SLACK))
        self._engine.read(start, span, plain)
        return plain[:span]
