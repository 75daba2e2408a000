"""A node for tests: image files in a folder, a real ledger, a key service and a stage over them."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cloudcrypt.disk import FileDisk, OpenDisk
from cloudcrypt.keys import KeyService, MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import Holder, Record, SqliteLedger
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.profiles import Profile
from cloudcrypt.sizes import KIB
from cloudcrypt.stage import Stage, Trust
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION

PROFILES: Mapping[KeyPolicy, Profile] = {
    KeyPolicy.BOUND: CHEAP,
    KeyPolicy.CONSTELLATION: CHEAP_CONSTELLATION,
}
SIZE = layout.DATA_OFFSET + 512 * KIB
"""Bytes of an image: the header and 128 sectors, or 62 with integrity."""

VOLUME = "local/here/vol-a"
OTHER = "local/here/vol-b"
OTHER_UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
"""One that no header here has."""

CONTENT = b"what was written before" * 3000
"""More than one sector of payload."""


def key_service(seed: int = 0) -> MasterSecretKeyService:
    """Return a key service whose master secret consists of ``seed``."""
    return MasterSecretKeyService(MasterSecret.from_bytes(bytes([seed]) * 32, bytes(range(32))))


class Node:
    """One host during one boot; its images and its ledger are the folder's."""

    def __init__(
        self,
        base: Path,
        *,
        name: str = "node-1",
        boot: str = "boot-1",
        keys: KeyService | None = None,
        open_disk: OpenDisk = FileDisk,
    ) -> None:
        self.base = base
        self.holder = Holder(name, boot)
        self.ledger = SqliteLedger(base / "ledger.sqlite")
        self.mapper = UserspaceMapper()
        self.stage: Stage[UserspaceMapping] = Stage(
            self.ledger,
            keys or key_service(),
            self.mapper,
            holder=self.holder,
            profiles=PROFILES,
            open_disk=open_disk,
        )
        self._closing = contextlib.ExitStack()
        self._closing.callback(self.ledger.close)

    def again(
        self,
        *,
        name: str = "node-1",
        boot: str = "boot-2",
        keys: KeyService | None = None,
        base: Path | None = None,
        open_disk: OpenDisk = FileDisk,
    ) -> "Node":
        """Return another boot of this host, another host, or one that lost its ledger."""
        node = Node(base or self.base, name=name, boot=boot, keys=keys, open_disk=open_disk)
        self._closing.enter_context(node)
        return node

    def device(self, volume_id: str = VOLUME) -> BlockDevice:
        """Return the device of a volume as it is now."""
        path = self.path(volume_id)
        return BlockDevice(volume_id, path, path.stat().st_size)

    def path(self, volume_id: str) -> Path:
        return self.base / f"{volume_id.replace('/', '-')}.img"

    def resize(self, volume_id: str, size: int) -> BlockDevice:
        """Make the image of a volume, or give it another size."""
        with self.path(volume_id).open("ab") as file:
            file.truncate(size)
        return self.device(volume_id)

    def blank(
        self,
        volume_id: str = VOLUME,
        *,
        size: int = SIZE,
        mode: Mode = Mode.CRYPT,
        policy: KeyPolicy = KeyPolicy.BOUND,
    ) -> BlockDevice:
        """Make a volume as a provider does, and register it as new."""
        self.stage.register_new(volume_id, capacity=size, mode=mode, policy=policy)
        return self.resize(volume_id, size)

    def formatted(
        self,
        volume_id: str = VOLUME,
        *,
        size: int = SIZE,
        mode: Mode = Mode.CRYPT,
        policy: KeyPolicy = KeyPolicy.BOUND,
        content: bytes = CONTENT,
    ) -> BlockDevice:
        """Make a formatted volume that holds ``content``."""
        device = self.blank(volume_id, size=size, mode=mode, policy=policy)
        self.stage.format(device)
        with self.stage.open(device, policy=policy).open() as payload:
            payload.write(content)
        self.stage.close(volume_id)
        return device

    def content(
        self,
        device: BlockDevice,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
    ) -> bytes:
        """Open the volume, return what `formatted` writes by default, and close."""
        with self.stage.open(device, policy=policy, trust=trust).open() as payload:
            found = payload.read(len(CONTENT))
        self.stage.close(device.volume_id)
        return found or b""

    def record(self, volume_id: str = VOLUME) -> Record:
        """Return the record of a volume that must have one."""
        record = self.ledger.get(volume_id)
        assert record is not None
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


def empty_folder(base: Path) -> Path:
    """Make a folder for a host that knows nothing."""
    folder = base / "another host"
    folder.mkdir()
    return folder


def read_header(device: BlockDevice) -> bytes:
    """Return the 16 MiB before the payload."""
    with device.path.open("rb") as file:
        return file.read(layout.DATA_OFFSET)


def write_bytes(device: BlockDevice, offset: int, content: bytes) -> None:
    """Write to the device as somebody does who controls the storage."""
    with device.path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
