"""The mapper in user space: a mapping lives in this process and dies with it."""

import threading

from cloudcrypt.disk import HostDisk
from cloudcrypt.errors import DeviceBusy
from cloudcrypt.luks2 import SectorFile, UnlockedVolume
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.mapper.engines import engine_for
from cloudcrypt.mapper.protocol import Reopen


class UserspaceMapping:
    """A volume that this process decrypts and encrypts itself."""

    def __init__(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> None:
        """Take over ``disk`` and the key of ``volume``.

        Raises:
            DeviceBusy: the kernel has the volume mapped.
            IntegrityError: superblock or journal of the volume are not what they must be.
        """
        disk.require_unmapped()
        self.volume_id = volume_id
        self.writable = writable
        self.disk = disk
        self.volume = volume
        self.engine = engine_for(volume_id, disk, volume, writable=writable)
        self._gate = Gate(disk.name)

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return self.engine.size

    @property
    def device_identity(self) -> tuple[int, int]:
        """Device number and inode of the device below."""
        return self.disk.identity

    def open(self) -> SectorFile:
        """Open the payload as a raw binary file of the size it has now."""
        return SectorFile(self.engine, writable=self.writable, gate=self._gate)

    def close(self) -> bool:
        """Wait for reads and writes under way, flush, wipe the key and close the device.

        Files of this mapping that are still open raise `DeviceUnavailable` from now on.

        Returns:
            Whether nobody else on this host uses the device.

        Raises:
            DeviceIOError: the flush failed; everything is closed all the same.
        """
        self._gate.close()
        try:
            if self.writable:
                self.engine.close()
            return not self.disk.is_shared()
        finally:
            self.volume.volume_key.wipe()
            self.disk.close()


class UserspaceMapper:
    """Mappings of this process by volume id; see `cloudcrypt.mapper.Mapper`."""

    def __init__(self) -> None:
        """Start without mappings."""
        self._mappings: dict[str, UserspaceMapping] = {}
        self._lock = threading.Lock()

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> UserspaceMapping:
        """Map the volume; see `Mapper.activate`."""
        mapping = UserspaceMapping(volume_id, disk, volume, writable=writable)
        with self._lock:
            if volume_id in self._mappings:
                raise DeviceBusy(disk.name)
            self._mappings[volume_id] = mapping
        return mapping

    def get(self, volume_id: str) -> UserspaceMapping | None:
        """Return the active mapping of the volume, if there is one."""
        return self._mappings.get(volume_id)

    def is_active(self, volume_id: str) -> bool:
        """Say whether this mapper has the volume mapped; see `Mapper.is_active`."""
        return volume_id in self._mappings

    def resize(
        self,
        volume_id: str,
        capacity: int,
        reopen: Reopen | None = None,  # noqa: ARG002 - the disk that is open has grown
    ) -> None:
        """Let files that are opened from now on reach byte ``capacity``; see `Mapper.resize`."""
        with self._lock:
            mapping = self._mappings.get(volume_id)
            if mapping is not None:
                mapping.disk.refresh()
                if isinstance(mapping.engine, XTSEngine):  # the other one grows when it is closed
                    mapping.engine.capacity = capacity

    def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
        """Flush and remove the mapping, at once in any case; see `Mapper.deactivate`."""
        del deferred
        with self._lock:
            mapping = self._mappings.pop(volume_id, None)
        return mapping is not None and mapping.close()
