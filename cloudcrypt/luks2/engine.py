"""Sectors of volumes without integrity: ciphertext where it belongs, and nothing else."""

import threading

from cloudcrypt.disk import Disk
from cloudcrypt.luks2 import layout
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.luks2.unlock import UnlockedVolume
from cloudcrypt.luks2.xts import SLACK, XTS
from cloudcrypt.model import Mode
from cloudcrypt.profiles import SECTOR_SIZE

_UNIT = 512


class XTSEngine:
    """AES-256-XTS from byte 16 MiB on; see `cloudcrypt.luks2.sectors.SectorEngine`."""

    def __init__(self, disk: Disk, volume: UnlockedVolume, *, capacity: int | None = None) -> None:
        """Stand on a disk and a volume key, which must outlive this engine.

        Args:
            disk: the device.
            volume: an unlocked volume without integrity.
            capacity: how many bytes of the device count, if not those of the verified header.

        Raises:
            ValueError: the volume has integrity.
        """
        if volume.header.mode is not Mode.CRYPT:
            msg = "the volume has integrity"
            raise ValueError(msg)
        self._disk = disk
        self._xts = XTS(volume.volume_key)
        self._buffers = threading.local()
        self.write_lock = threading.Lock()
        self.capacity = volume.header.capacity if capacity is None else capacity

    @property
    def name(self) -> str:
        """The name of the device below."""
        return self._disk.name

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return layout.payload_size(self.capacity)

    def read(self, start: int, span: int, plain: memoryview) -> None:
        """Read and decrypt; see `SectorEngine.read`."""
        cipher = self._scratch()
        self._disk.read_into(layout.DATA_OFFSET + start, cipher[:span])
        self._xts.decrypt(cipher[:span], start // _UNIT, SECTOR_SIZE, plain)

    def write(self, start: int, plain: memoryview) -> None:
        """Encrypt and write; see `SectorEngine.write`."""
        cipher = self._scratch()
        self._xts.encrypt(plain, start // _UNIT, SECTOR_SIZE, cipher)
        self._disk.write(layout.DATA_OFFSET + start, cipher[: len(plain)])

    def sync(self) -> None:
        """Make everything durable; see `SectorEngine.sync`."""
        self._disk.sync()

    def close(self) -> None:
        """Make everything durable; nothing else is left behind."""
        self.sync()

    def _scratch(self) -> memoryview:
        """Return a buffer of this thread for ciphertext."""
        try:
            cipher: memoryview = self._buffers.cipher
        except AttributeError:
            cipher = self._buffers.cipher = memoryview(bytearray(RUN_SIZE + SLACK))
        return cipher
