"""What a mapper is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import RawIOBase
from typing import Protocol, TypeVar

from cloudcrypt.disk import HostDisk
from cloudcrypt.luks2 import UnlockedVolume

Reopen = Callable[[], AbstractContextManager[tuple[HostDisk, UnlockedVolume]]]
"""Opens the device of a volume for reading, and unlocks the volume, for as long as a block runs."""

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
        """That of the device below; see `cloudcrypt.blockdevices.identity_of`."""
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

        A mapping that outlived the process that made it is taken over if it is proven to be that of
        this volume, with this key, on this device; ``disk`` need not be writable then.

        Raises:
            DeviceBusy: the volume is mapped already, and not taken over.
        """
        ...

    def get(self, volume_id: str) -> MappingT_co | None:
        """Return the mapping of the volume that this mapper made or took over, if it is active."""
        ...

    def is_active(self, volume_id: str) -> bool:
        """Say whether the volume is mapped where this mapper maps, or half mapped, by whomever.

        Its device is in use then, and can be opened for reading alone.
        """
        ...

    def resize(self, volume_id: str, capacity: int, reopen: Reopen) -> None:
        """Let the mapping of the volume reach up to byte ``capacity`` of its device. Idempotent.

        Args:
            volume_id: which volume; one that is not mapped stays so.
            capacity: bytes of the device that count from now on; never less than before.
            reopen: for a mapper that did not keep the key.
        """
        ...

    def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
        """Flush and remove the mapping, wipe its key and close its device. Idempotent.

        Args:
            volume_id: which volume.
            deferred: if it is in use, remove it as soon as it no longer is. The answer is False.

        Returns:
            Whether this mapper had the volume mapped, and nobody else on this host uses its device.

        Raises:
            DeviceIOError: the flush failed; the mapping is removed all the same.
        """
        ...
