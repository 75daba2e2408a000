"""Volumes of Constellation, made by stock cryptsetup, and ours for it: cases in the guest."""

import tempfile
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

import attrs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloudcrypt.disk import FileDisk
from cloudcrypt.filesystem import PayloadChoice
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import Filesystem, SqliteLedger
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.model import BlockDevice, Expectation, KeyPolicy, Mode
from cloudcrypt.profiles import CONSTELLATION, Argon2idCost
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from tests.kernel.guest.filesystem_bench import write
from tests.kernel.guest.mapper_bench import mapped, run, settle, table
from tests.kernel.guest.mapper_loops import Loop

UUID: Final = "3f2c1a90-5b7e-4d21-8a6f-0c9d8e7b6a54"
NAME: Final = "pvc-0a1b2c3d"
VOLUME: Final = f"gcp:project/zone/{NAME}"
SECRET, SALT = bytes(range(64, 96)), bytes(range(96, 128))
SIZES: Final = {"ext4": 24 * MIB, "ext4-integrity": 32 * MIB}
FIRST, SECOND = b"written there " * 9000, b"written here " * 9000

FORMAT: Final = (
    *("--type", "luks2", "--cipher", "aes-xts-plain64", "--key-size", "512"),
    *("--sector-size", "4096", "--hash", "sha256", "--batch-mode", "--pbkdf", "argon2id"),
    *("--pbkdf-force-iterations", "4"),  # the fewest that libcryptsetup writes
)
COST: Final = ("--pbkdf-memory", "65536", "--pbkdf-parallel", "4")
"""Constellation's parameters: RFC 9106, the second recommended option, as libcryptsetup has it."""

CHEAP_COST: Final = ("--pbkdf-memory", "32", "--pbkdf-parallel", "1")
CHEAP: Final = attrs.evolve(CONSTELLATION, write=Argon2idCost(time=4, memory=32, lanes=1))
"""What costs an emulated processor nothing. The policy accepts it, since slow hosts choose it."""

CASES: Final = ("theirs_opens_here", "ours_opens_there")


def data_key(uuid: str) -> bytes:
    """Return the key that Constellation's key service derives for a volume."""
    return HKDF(SHA256(), 32, SALT, b"key-" + uuid.encode()).derive(SECRET)


class Node:
    """A node with one disk, which Constellation's driver and ours use in turn."""

    def __init__(self, choice: str, *, is_cheap: bool) -> None:
        parsed = PayloadChoice.parse(choice)
        assert parsed.kind is not None
        self.mode, self.kind = parsed.mode, parsed.kind
        self._closing = ExitStack()
        self.folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory()))
        self.target = self.folder / "mounted"
        self.target.mkdir()
        loop = Loop(self.folder / "disk", SIZES[choice])
        self.path = self._closing.enter_context(loop).path
        ledger = SqliteLedger(self.folder / "ledger.sqlite")
        self._closing.enter_context(closing(ledger))
        keys = MasterSecretKeyService(MasterSecret.from_bytes(SECRET, SALT))
        self.ledger = ledger
        profiles = {KeyPolicy.CONSTELLATION: CHEAP if is_cheap else CONSTELLATION}
        self.stage: Stage[KernelMapping] = Stage(ledger, keys, KernelMapper(), profiles=profiles)
        self.filesystem = self.stage.filesystem(VOLUME)

    @property
    def device(self) -> BlockDevice:
        settle()
        with FileDisk(self.path) as disk:
            return BlockDevice(VOLUME, self.path, disk.size, disk.identity)

    @contextmanager
    def theirs(self, uuid: str) -> Generator[None]:
        """Open the volume as Constellation's driver does, and close it after the block."""
        key = self.folder / "key"
        key.write_bytes(data_key(uuid))
        flags = (
            "--perf-no_read_workqueue",
            "--perf-no_write_workqueue",
            "--disable-external-tokens",
        )
        run("cryptsetup", "open", "--key-file", str(key), *flags, str(self.path), NAME)
        try:
            yield
        finally:
            settle()
            run("cryptsetup", "close", NAME)
            key.unlink()

    @contextmanager
    def mounted(self) -> Generator[Path]:
        """Mount the mapping as Constellation's driver does."""
        run("mount", "-t", self.kind.value, f"/dev/mapper/{NAME}", str(self.target))
        try:
            yield self.target
        finally:
            run("umount", str(self.target))

    @contextmanager
    def ours(self, trust: Expectation | None = None) -> Generator[None]:
        """Open the volume as we do, and close it after the block."""
        policy = KeyPolicy.CONSTELLATION
        self.stage.open(self.device, policy=policy, trust=trust, raw=False)
        try:
            yield
        finally:
            settle()
            self.stage.close(VOLUME)

    def tables(self) -> list[str]:
        """Return the tables of all mappings, the one above first."""
        return [table(name) for name in sorted(mapped())]

    def read(self) -> list[bytes]:
        """Return the content of both files."""
        return [(self.target / name).read_bytes() for name in ("first", "second")]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


def theirs_opens_here(choice: str, *, is_cheap: bool) -> None:
    """A volume that libcryptsetup made, with a filesystem made by hand, is adopted and used."""
    with Node(choice, is_cheap=is_cheap) as node:
        key = node.folder / "new-key"
        key.write_bytes(data_key(UUID))
        integrity = ("--integrity", "hmac-sha256") if node.mode is Mode.INTEGRITY else ()
        own = ("--uuid", UUID, "--key-file", str(key))
        cost = CHEAP_COST if is_cheap else COST
        run("cryptsetup", "luksFormat", *FORMAT, *cost, *integrity, *own, str(node.path))
        with node.theirs(UUID):
            run(f"mkfs.{node.kind.value}", "-q", f"/dev/mapper/{NAME}")
            there = node.tables()
            with node.mounted() as target:
                write(target / "first", FIRST)
        trust = Expectation(node.mode, uuid=UUID, capacity=node.device.size)
        with node.ours(trust):
            assert there == node.tables(), (there, node.tables())
            adopted = node.filesystem.adopt()
            node.filesystem.mount(node.target)
            assert FIRST == (node.target / "first").read_bytes()
            write(node.target / "second", SECOND)
            node.filesystem.unmount(node.target)
        assert isinstance(adopted, Filesystem)
        with node.theirs(UUID), node.mounted():
            assert [FIRST, SECOND] == node.read()


def ours_opens_there(choice: str, *, is_cheap: bool) -> None:
    """A volume of ours is opened, mounted and written to by what Constellation uses."""
    with Node(choice, is_cheap=is_cheap) as node:
        size, policy = node.device.size, KeyPolicy.CONSTELLATION
        node.stage.register_new(VOLUME, capacity=size, mode=node.mode, policy=policy)
        uuid = node.stage.format(node.device).uuid
        assert uuid is not None
        with node.ours():
            here = node.tables()
            node.filesystem.make(node.device, node.kind)
            node.filesystem.mount(node.target)
            write(node.target / "first", FIRST)
            node.filesystem.unmount(node.target)
        with node.theirs(uuid):
            assert here == node.tables(), (here, node.tables())
            with node.mounted() as target:
                assert FIRST == (target / "first").read_bytes()
                write(target / "second", SECOND)
        with node.ours():
            node.filesystem.mount(node.target)
            assert [FIRST, SECOND] == node.read()
            node.filesystem.unmount(node.target)
