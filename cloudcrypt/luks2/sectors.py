"""The payload of an unlocked volume as a file, decrypted and encrypted in this process.

This is the engine of offline tests, of recovery without root, and of ``luks import`` and
``export``. Byte ranges are mapped to 4096-byte sectors: whole sectors go straight through, a partly
written one is read, changed and written back.
"""

import io
import os
import threading
from typing import TYPE_CHECKING

from cloudcrypt.disk import Disk
from cloudcrypt.errors import DeviceUnavailable, InvalidRequest, UnsupportedOperation
from cloudcrypt.luks2 import layout
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.luks2.unlock import UnlockedVolume
from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB, round_down, round_up

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

RUN_SIZE = 1 * MIB
"""Bytes that are read, converted and written at a time; bounds memory."""

_UNITS = SECTOR_SIZE // 512


class SectorFile(io.RawIOBase):
    """A payload as a raw binary file of fixed size.

    Positions are bytes of payload; byte 0 is byte 16 MiB of the device. Reads stop at the end,
    writes beyond it are refused whole. `pread` and `pwrite` have no shared position and are safe
    from several threads; writes are serialised. Nothing is durable before `flush` returns.
    """

    def __init__(
        self,
        disk: Disk,
        volume: UnlockedVolume,
        *,
        writable: bool,
        capacity: int | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Open the payload; the disk and the volume's key must outlive this file.

        Args:
            disk: the device.
            volume: the unlocked volume.
            writable: whether `pwrite` and `write` are allowed.
            capacity: how many bytes of the device count, if not those of the verified header.
            gate: what whoever closes the disk and wipes the key closes first.

        Raises:
            UnsupportedOperation: the volume has integrity, whose data this version does not read.
        """
        super().__init__()
        if volume.header.mode is Mode.INTEGRITY:
            raise UnsupportedOperation(
                "the data of an integrity volume in user space", "map it with the kernel"
            )
        self._disk = disk
        self._xts = XTS(volume.volume_key)
        self._size = layout.payload_size(capacity or volume.header.capacity)
        self._writable = writable
        self._position = 0
        self._gate = Gate(disk.name) if gate is None else gate
        self._write_lock = threading.Lock()
        self._buffers = threading.local()

    @property
    def size(self) -> int:
        """Bytes of payload, a multiple of 4096."""
        return self._size

    @property
    def name(self) -> str:
        """The name of the device below."""
        return self._disk.name

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
        with self._gate, self._write_lock:
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
            with self._gate:
                self._disk.sync()
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
                self._decrypt(start, span, out[done:])
            else:
                out[done : done + count] = self._decrypted(start, span)[lead : lead + count]
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
            self._store(start, piece)
            done += count

    def _merged(self, start: int, span: int, lead: int, piece: memoryview) -> memoryview:
        """Return ``span`` bytes from ``start`` with ``piece`` laid over them at ``lead``."""
        whole = bytearray(span)
        view = memoryview(whole)
        for sector in {0, span - SECTOR_SIZE}:
            view[sector : sector + SECTOR_SIZE] = self._decrypted(start + sector, SECTOR_SIZE)
        view[lead : lead + len(piece)] = piece
        return view

    def _decrypted(self, start: int, span: int) -> memoryview:
        """Return ``span`` bytes from ``start``, in a buffer of this thread that is used again."""
        _, plain = self._scratch()
        self._decrypt(start, span, plain)
        return plain[:span]

    def _decrypt(self, start: int, span: int, plain: memoryview) -> None:
        cipher, _ = self._scratch()
        self._disk.read_into(layout.DATA_OFFSET + start, cipher[:span])
        self._xts.decrypt(cipher[:span], start // SECTOR_SIZE * _UNITS, SECTOR_SIZE, plain)

    def _store(self, start: int, plain: memoryview) -> None:
        cipher, _ = self._scratch()
        self._xts.encrypt(plain, start // SECTOR_SIZE * _UNITS, SECTOR_SIZE, cipher)
        self._disk.write(layout.DATA_OFFSET + start, cipher[: len(plain)])

    def _scratch(self) -> tuple[memoryview, memoryview]:
        """Return two buffers of this thread, for ciphertext and for plaintext."""
        try:
            scratch: tuple[memoryview, memoryview] = self._buffers.pair
        except AttributeError:
            scratch = (
                memoryview(bytearray(RUN_SIZE + SLACK)),
                memoryview(bytearray(RUN_SIZE + SLACK)),
            )
            self._buffers.pair = scratch
        return scratch
