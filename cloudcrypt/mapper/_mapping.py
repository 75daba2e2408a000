"""A volume that the kernel has mapped, and the files of this process on it."""

import threading
from pathlib import Path
from weakref import WeakSet

from cloudcrypt.errors import DeviceUnavailable
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.mapper._block import opened_mapping
from cloudcrypt.mapper._devicemapper import Active, Devices
from cloudcrypt.mapper._names import node
from cloudcrypt.mapper._payload import MappedEngine, MappedFile
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE

_UNIT = 512


class KernelMapping:
    """A mapping of the kernel whose key, table and device were proven; see `Mapping`.

    It outlives this process. ``path`` is what filesystems are made on and mounted from.
    """

    def __init__(
        self,
        volume_id: str,
        mode: Mode,
        active: Active,
        device_identity: tuple[int, int],
        devices: Devices,
    ) -> None:
        """Stand for the device ``active``; made by `KernelMapper` alone.

        Args:
            volume_id: which volume is mapped.
            mode: with integrity or without.
            active: the top of the mapping.
            device_identity: of the device below all; see `cloudcrypt.blockdevices.identity_of`.
            devices: the device-mapper.
        """
        self.volume_id = volume_id
        self.writable = not active.readonly
        self.device_identity = device_identity
        self.name = active.name
        self._mode = mode
        self._active = active
        self._devices = devices
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._gate = Gate(str(self.path))
        self._files: WeakSet[MappedFile] = WeakSet()

    @property
    def path(self) -> Path:
        """The block device with the payload."""
        return node(self.name)

    @property
    def size(self) -> int:
        """Bytes of payload, as the kernel says now.

        Raises:
            DeviceUnavailable: the mapping is gone.
        """
        found = self._devices.find(self.name)
        if found is None:
            raise DeviceUnavailable(str(self.path), "the volume was closed")
        return found.sectors * _UNIT // SECTOR_SIZE * SECTOR_SIZE

    def is_of(self, found: Active | None) -> bool:
        """Say whether ``found`` is the very device that was proven, and is to stay."""
        mine = self._active
        return (
            found is not None
            and not found.leaving
            and found.sequence is not None
            and (found.number, found.sequence) == (mine.number, mine.sequence)
        )

    def open(self) -> SectorFile:
        """Open the payload as a raw binary file of the size it has now.

        Raises:
            DeviceUnavailable: the mapping is gone.
            DeviceMismatch: its path is that of another device.
        """
        with self._lock:
            descriptor = opened_mapping(self.path, self._active.number, writable=self.writable)
            has_tags = self._mode is Mode.INTEGRITY
            engine = MappedEngine(
                self.volume_id, str(self.path), descriptor, self._write_lock, has_tags=has_tags
            )
            file = MappedFile(engine, writable=self.writable, gate=self._gate)
            self._files.add(file)
        return file

    def release(self) -> None:
        """Take the mapping away from the files that `open` returned: they are of no use any more.

        Reads and writes under way are waited for. The mapping itself stays.
        """
        with self._lock:
            gate, self._gate = self._gate, Gate(str(self.path))
            files = list(self._files)
            self._files.clear()
        gate.close()
        for file in files:
            file.detach_mapping()
