"""The payload of a mapping as a file: the same behaviour and errors as in user space."""

import errno
import os
from contextlib import AbstractContextManager

from cloudcrypt.errors import DeviceIOError, SectorRefused
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.mapper._block import direct
from cloudcrypt.profiles import SECTOR_SIZE


class MappedEngine:
    """Sectors that the kernel decrypts; see `cloudcrypt.luks2.sectors.SectorEngine`."""

    def __init__(
        self,
        volume_id: str,
        name: str,
        descriptor: int,
        write_lock: AbstractContextManager[object],
        *,
        has_tags: bool,
    ) -> None:
        """Own the open mapping ``descriptor``.

        Args:
            volume_id: what errors call the volume.
            name: the path of the mapping.
            descriptor: of the mapping.
            write_lock: shared by all files of this process on this mapping.
            has_tags: whether the volume has integrity.
        """
        self.name = name
        self.size = os.lseek(descriptor, 0, os.SEEK_END)
        self.write_lock = write_lock
        self._volume_id = volume_id
        self._descriptor = descriptor
        self._has_tags = has_tags

    def read(self, start: int, span: int, plain: memoryview) -> None:
        """Read; see `SectorEngine.read`."""
        done = 0
        while done < span:
            try:
                count = os.preadv(self._descriptor, [plain[done:span]], start + done)
            except OSError as error:
                self._refuse_damage(start, span)
                raise self._failed("read", start + done, error) from error
            if count == 0:
                raise DeviceIOError(self.name, "read", start + done, "the device ends here")
            done += count

    def write(self, start: int, plain: memoryview) -> None:
        """Write; see `SectorEngine.write`."""
        done = 0
        while done < len(plain):
            try:
                done += os.pwrite(self._descriptor, plain[done:], start + done)
            except OSError as error:
                raise self._failed("write", start + done, error) from error

    def sync(self) -> None:
        """Make everything durable; see `SectorEngine.sync`."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed("flush", 0, error) from error

    def close(self) -> None:
        """Close the mapping, which stays. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _refuse_damage(self, start: int, span: int) -> None:
        """Return, unless dm-integrity refuses one of the sectors.

        A read through the page cache fails alike for every reason; one past it says which.

        Raises:
            SectorRefused: its tag does not verify.
        """
        if not self._has_tags:
            return
        with direct(self.name, self._descriptor) as sectors:
            for offset in range(start, start + span, SECTOR_SIZE):
                try:
                    sectors.read(offset)
                except DeviceIOError as error:
                    if isinstance(error.__cause__, OSError) and (
                        error.__cause__.errno == errno.EILSEQ
                    ):
                        raise SectorRefused(self._volume_id, offset // SECTOR_SIZE) from error
                    return

    def _failed(self, operation: str, offset: int, error: OSError) -> DeviceIOError:
        return DeviceIOError(self.name, operation, offset, error.strerror or "unknown error")


class MappedFile(SectorFile):
    """A payload that the kernel maps; its mapping is in use until it is closed."""

    def __init__(self, engine: MappedEngine, *, writable: bool, gate: Gate) -> None:
        """Own ``engine``; arguments as `SectorFile`."""
        super().__init__(engine, writable=writable, gate=gate)
        self._mapped = engine

    def close(self) -> None:
        """Flush and close; see `SectorFile.close`."""
        try:
            super().close()
        finally:
            self.detach_mapping()

    def detach_mapping(self) -> None:
        """Give up the mapping without a flush; only behind a gate that was closed. Idempotent."""
        self._mapped.close()
