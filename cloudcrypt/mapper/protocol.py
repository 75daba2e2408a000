"""What a mapper is."""

from io import RawIOBase
from typing import Protocol, TypeVar

from cloudcrypt.disk import HostDisk
from cloudcrypt.luks2 import UnlockedVolume

MappingT_co = TypeVar("MappingT_co", bound="Mapping", covariant=True)


class Mapping(Protocol):
    """An active mapping of one volume."""

    @property
    def volume_id(self) -> str:
        """Which volume is mapped."""
        ...

    @property
    def writable(self) -> bool:
        """Whether the payload can be written."""
        ...

    @property
    def size(self) -> int:
        """Bytes of payload."""
        ...

    @property
    def device_identity(self) -> tuple[int, int]:
        """Device number and inode of the device below."""
        ...

    def open(self) -> RawIOBase:
        """Open the payload as a raw binary file; several may be open at once."""
        ...


class Mapper(Protocol[MappingT_co]):
    """Makes mappings. Safe to use from several threads."""

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> MappingT_co:
        """Map the volume. On success the mapping owns ``disk`` and the volume's key.

        Raises:
            DeviceBusy: the volume is mapped already; nothing was taken over.
        """
        ...

    def get(self, volume_id: str) -> MappingT_co | None:
        """Return the active mapping of the volume, if there is one."""
        ...

    def resize(self, volume_id: str, capacity: int) -> None:
        """Let the mapping of the volume reach up to byte ``capacity`` of its device. Idempotent."""
        ...

    def deactivate(self, volume_id: str) -> bool:
        """Flush and remove the mapping, wipe its key and close its device. Idempotent.

        Returns:
            Whether this mapper had the volume mapped, and nobody else on this host uses its device.

        Raises:
            DeviceIOError: the flush failed; the mapping is removed all the same.
        """
        ...
