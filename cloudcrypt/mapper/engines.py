"""The engine that reads and writes the sectors of a volume in user space, by its mode."""

from typing import Protocol

from cloudcrypt.disk import Disk
from cloudcrypt.integrity import Geometry, IntegrityEngine
from cloudcrypt.luks2 import UnlockedVolume, VerifiedHeader, layout
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.luks2.sectors import SectorEngine
from cloudcrypt.model import Mode


class Engine(SectorEngine, Protocol):
    """A sector engine that is closed at the end."""

    def close(self) -> None:
        """Leave the volume as after a clean shutdown. Idempotent.

        Raises:
            DeviceIOError: the device failed; what was synced is not lost.
        """
        ...


def engine_for(volume_id: str, disk: Disk, volume: UnlockedVolume, *, writable: bool) -> Engine:
    """Return the engine of an unlocked volume.

    Args:
        volume_id: what errors call the volume.
        disk: the device; must outlive the engine, as the volume's key must.
        volume: an unlocked volume.
        writable: whether it will be written. The journal of an integrity volume is then brought to
            an end first.

    Raises:
        IntegrityError: superblock or journal of an integrity volume are not what they must be.
        DeviceIOError: the device failed.
    """
    match volume.header.mode:
        case Mode.CRYPT:
            return XTSEngine(disk, volume)
        case Mode.INTEGRITY:
            geometry = geometry_of(volume.header)
            return IntegrityEngine(volume_id, disk, volume, geometry, writable=writable)


def geometry_of(header: VerifiedHeader) -> Geometry:
    """Return the geometry of an integrity volume with this header."""
    return Geometry.of(header.capacity, header.journal_sections)


def payload_size(mode: Mode, capacity: int, journal_sections: int | None = None) -> int:
    """Return the bytes of payload of a volume, before it is formatted or after.

    Args:
        mode: with integrity or without.
        capacity: bytes of the device that count, header included.
        journal_sections: of an integrity volume that has grown since it was formatted.
    """
    match mode:
        case Mode.CRYPT:
            return layout.payload_size(capacity)
        case Mode.INTEGRITY:
            return Geometry.of(capacity, journal_sections).payload_size
