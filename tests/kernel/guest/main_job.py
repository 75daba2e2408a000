"""The main job on a node: a volume is formatted, mounted, written, grown, and read elsewhere."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import attrs

from cloudcrypt.facade import grow_volume, mounted_volume
from cloudcrypt.filesystem import PayloadChoice
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2 import derive
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.stage import Stage
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from tests.kernel.guest.clouds import aws, device_of
from tests.kernel.guest.filesystem_bench import write
from tests.kernel.guest.mapper_bench import run

BLKFLSBUF: Final = 0x1261  # include/uapi/linux/fs.h
CHUNK: Final = 1 << 20
FILES: Final = ("first", "second")
SECRET: Final = (bytes(range(32)), bytes(32))
CHEAPLY: Final[Mapping[KeyPolicy, Profile]] = {
    KeyPolicy.BOUND: CHEAP,
    KeyPolicy.CONSTELLATION: CHEAP_CONSTELLATION,
}

Ranges = Iterable[tuple[int, int]]
"""Offsets and lengths of a payload, in bytes."""


@attrs.frozen
class Work:
    """What a node is told of its part of the job; it comes as JSON."""

    name: str
    choice: str
    is_real: bool = False
    """Whether keyslots cost what they cost outside of tests."""
    attachment: str = ""
    pages: Mapping[str, str] | None = None
    capacity: int | None = None
    """Bytes of the disk that the volume uses; None: all."""
    size: int | None = None
    """Bytes that the disk has by now."""

    @property
    def folder(self) -> Path:
        """Where this node keeps the ledger, and mounts the volume."""
        return Path("/run/jobs", self.name)

    @property
    def payload(self) -> PayloadChoice:
        """What the volume is for."""
        return PayloadChoice.parse(self.choice)

    @property
    def profiles(self) -> Mapping[KeyPolicy, Profile]:
        """What headers cost."""
        return PROFILES if self.is_real else CHEAPLY

    def content(self, file: str) -> bytes:
        """Return what a file of the volume holds, over an odd number of sectors."""
        return content(self.name, file)

    def device(self) -> BlockDevice:
        """Return the device, or the part of it that the volume uses."""
        found = device_of(self.attachment, self.pages, self.size)
        return found if self.capacity is None else attrs.evolve(found, size=self.capacity)


def content(name: str, file: str) -> bytes:
    """Return what a file of the job ``name`` holds: 300 KiB and a part, unlike any other."""
    return hashlib.shake_256(f"{name}/{file}".encode()).digest(300 * 1024 + 1000)


def key_service() -> MasterSecretKeyService:
    """Return the key service of all nodes."""
    return MasterSecretKeyService(MasterSecret.from_bytes(*SECRET))


class OnNode:
    """The node's part of one job."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.target = work.folder / "mounted"
        self.target.mkdir(parents=True, exist_ok=True)
        self.ledger = SqliteLedger(work.folder / "ledger.sqlite")
        self.stage: Stage[KernelMapping] = Stage(
            self.ledger, key_service(), KernelMapper(), profiles=work.profiles
        )

    def begin(self, device: BlockDevice) -> dict[str, Any]:
        """Format, open, make the filesystem, mount it, and write to it."""
        mode, kind = self.work.payload.mode, self.work.payload.kind
        assert kind is not None
        self.stage.register_new(device.volume_id, capacity=device.size, mode=mode)
        self.stage.format(device)
        mapping = self.stage.open(device, raw=False)
        filesystem = self.stage.filesystem(device.volume_id)
        filesystem.make(device, kind)
        filesystem.mount(self.target)
        self.write(FILES[0])
        return {"size": mapping.size, "room": room(self.target)}

    def grow(self, device: BlockDevice) -> dict[str, Any]:
        """Let a mounted volume and its filesystem use all of the device; write more; close it.

        One with integrity is closed meanwhile.
        """
        volume_id, is_whole = device.volume_id, self.work.payload.mode is Mode.CRYPT
        filesystem = self.stage.filesystem(volume_id)
        if is_whole:
            self.stage.open(device, raw=False)  # this process takes it over
            self.stage.grow(device)
        else:
            filesystem.unmount(self.target)
            self.stage.close(volume_id)
            self.stage.grow(device, integrity_growth=True)
            self.stage.open(device, raw=False)
            filesystem.mount(self.target)
        mapping = self.stage.open(device, raw=False)
        filesystem.grow()
        self.write(FILES[1])
        facts = {"size": mapping.size, "room": room(self.target), "files": self.read()}
        filesystem.unmount(self.target)
        self.stage.close(volume_id)
        return facts

    def write(self, file: str) -> None:
        write(self.target / file, self.work.content(file))

    def read(self) -> dict[str, str]:
        """Return the digests of the files that are there."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.target.iterdir()
            if path.is_file()
        }

    def digests(
        self, device: BlockDevice, mapping: KernelMapping, ranges: Ranges
    ) -> dict[str, Any]:
        """Return what an open volume holds, for us and for stock cryptsetup; it is closed then."""
        ours, size = digest(mapping.path, ranges), mapping.size
        self.stage.close(device.volume_id)
        name, key = f"stock-{mapping.path.name}", self.work.folder / "key"
        key.write_bytes(self.passphrase(device.volume_id))
        opening = ("--type", "luks2", "--readonly", "--key-file", str(key))
        run("cryptsetup", "open", *opening, str(device.path), name)
        try:
            path = Path("/dev/mapper", name)
            theirs = digest(path, ranges)
            sizes = (size, int(run("blockdev", "--getsize64", str(path))))
        finally:
            run("cryptsetup", "close", name)
            key.unlink()
        return {"ours": ours, "theirs": theirs, "sizes": sizes}

    def passphrase(self, volume_id: str) -> bytes:
        """Return the passphrase of the volume's keyslot."""
        record = self.ledger.get(volume_id)
        assert record is not None
        with get_data_key(key_service(), bound_key_id(volume_id)) as data_key:
            return bytes(derive(data_key, volume_id, record.generation).passphrase.reveal())


def begin(work: dict[str, Any]) -> dict[str, Any]:
    """Do `OnNode.begin`."""
    node = OnNode(Work(**work))
    return node.begin(node.work.device())


def grow(work: dict[str, Any]) -> dict[str, Any]:
    """Do `OnNode.grow`, in a process that has not opened the volume itself."""
    node = OnNode(Work(**work))
    return node.grow(node.work.device())


def read(work: dict[str, Any], ranges: list[tuple[int, int]]) -> dict[str, Any]:
    """Open and mount the volume on another node, read it, unmount and close it; `digests`."""
    node = OnNode(Work(**work))
    device = node.work.device()
    mapping = node.stage.open(device, raw=False)
    filesystem = node.stage.filesystem(device.volume_id)
    filesystem.mount(node.target)
    facts = {"files": node.read(), "room": room(node.target)}
    filesystem.unmount(node.target)
    return {**facts, **node.digests(device, mapping, ranges)}


def in_one_call(work: dict[str, Any], cloud: dict[str, str], size: int) -> dict[str, Any]:
    """Do all of it through the facade: this node asks the cloud itself.

    Args:
        work: what the job is.
        cloud: the facts of AWS, and the ``instance`` that this node is.
        size: bytes of the disk; it grows by as much again.
    """
    node = OnNode(Work(**work))
    choices: dict[str, Any] = {
        "instance": cloud["instance"],
        "keys": key_service(),
        "ledger": node.ledger,
        "profiles": node.work.profiles,
    }
    with (
        closing(SqliteJournal(node.work.folder / "journal.sqlite")) as journal,
        closing(aws(cloud)) as provider,
        mounted_volume(
            provider,
            VolumeRequest("data", size),
            target=node.target,
            filesystem=node.work.payload,
            journal=journal,
            **choices,
        ),
    ):
        node.write(FILES[0])
        before = room(node.target)
        grown = grow_volume(provider, "data", 2 * size, journal=journal, **choices)
        node.write(FILES[1])
        facts = {"files": node.read(), "rooms": (before, room(node.target))}
    (record,) = node.ledger.records()
    return {**facts, "capacity": grown.capacity, "volume_id": record.volume_id}


def read_in_one_call(work: dict[str, Any], cloud: dict[str, str], size: int) -> dict[str, Any]:
    """Mount and read the volume on another node through the facade; it stays attached."""
    node = OnNode(Work(**work))
    with (
        closing(aws(cloud)) as provider,
        mounted_volume(
            provider,
            VolumeRequest("data", size),
            target=node.target,
            filesystem=node.work.payload,
            instance=cloud["instance"],
            keys=key_service(),
            ledger=node.ledger,
            profiles=node.work.profiles,
            detach=False,
        ),
    ):
        return {"files": node.read(), "room": room(node.target)}


def digests(work: dict[str, Any], ranges: list[tuple[int, int]]) -> dict[str, Any]:
    """Open a volume for reading, and do `OnNode.digests`."""
    node = OnNode(Work(**work))
    device = node.work.device()
    return node.digests(device, node.stage.open(device, raw=False, writable=False), ranges)


def digest(path: Path, ranges: Ranges) -> str:
    """Return the SHA-256 of ranges of a block device, none of them from memory."""
    found = hashlib.sha256()
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, BLKFLSBUF)
        for offset, length in ranges:
            for at in range(offset, offset + length, CHUNK):
                count = min(CHUNK, offset + length - at)
                piece = os.pread(device, count, at)
                assert len(piece) == count, f"{path} ends at {at + len(piece)}"
                found.update(piece)
    finally:
        os.close(device)
    return found.hexdigest()


def room(target: Path) -> int:
    """Return how many bytes a mounted filesystem has."""
    facts = os.statvfs(target)
    return facts.f_blocks * facts.f_frsize
