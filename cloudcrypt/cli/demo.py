"""``cloudcrypt demo``: the main job, for real, on the embedded provider."""

import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import click

from cloudcrypt import spi
from cloudcrypt.cli.output import json_option, say, show, wants_json
from cloudcrypt.device import ROOT, locate
from cloudcrypt.errors import CloudcryptError, DeviceMismatch, HeaderError, IntegrityError
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2 import derive
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping, geometry_of
from cloudcrypt.model import BlockDevice, Mode, Volume
from cloudcrypt.registry import OfflineCloud, offline_clouds, open_offline, open_provider
from cloudcrypt.sizes import MIB, format_size
from cloudcrypt.stage import Stage

SIZE = 64 * MIB
GROWTH = 32 * MIB
NODES = "node-1", "node-2"


@click.command()
@click.option(
    "--provider",
    "where",
    metavar="NAME|all|URL",
    help="A simulated cloud (aws, azure, gcp), all of them, or the URL of a local directory; by "
    "default one of its own.",
)
@json_option
def demo(where: str | None) -> None:
    """Create, attach, encrypt, write, grow, move and read back a volume, in both modes.

    The master secret is random, and forgotten at the end. A simulated cloud is a server on
    loopback: the cloud's own SDK talks to it, and no account is needed.
    """
    if where == "all":
        _show({name: _demo(name) for name in offline_clouds()})
    else:
        _show(_demo(where))


def _show(results: dict[str, object]) -> None:
    """Show what was done, or say that it was."""
    if wants_json():
        show(results)
    else:
        say("done: all volumes were read back as written, and are deleted")


def _demo(where: str | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="cloudcrypt-demo-") as directory:
        base = Path(directory)
        with _cloud(where, base) as cloud, _world(cloud, base) as world:
            return _run(world)


@attrs.frozen
class _World:
    """The parts that the demo composes, in the order of the data's path."""

    cloud: OfflineCloud
    keys: MasterSecretKeyService
    stage: Stage[UserspaceMapping]

    @property
    def provider(self) -> spi.VolumeProvider:
        return self.cloud.provider

    @property
    def instances(self) -> tuple[str, str]:
        first, second = self.cloud.roots
        return first, second

    def perform(self, intent: spi.Intent[spi.T]) -> spi.T:
        return spi.perform(self.provider, intent)

    def attach(self, volume: Volume, instance: str) -> BlockDevice:
        attachment = self.perform(spi.AttachVolume(_token(), volume.id, instance))
        return locate(attachment, root=self.cloud.roots[instance])

    def detach(self, volume: Volume, instance: str) -> None:
        self.stage.close(volume.id)
        self.perform(spi.DetachVolume(_token(), volume.id, instance))


@contextmanager
def _cloud(where: str | None, base: Path) -> Generator[OfflineCloud]:
    if where is not None and "://" not in where:
        folder = base / where
        folder.mkdir()
        with open_offline(where, folder) as cloud:
            yield cloud
        return
    with closing(open_provider(where or f"local://{base / 'volumes'}")) as provider:
        yield OfflineCloud(provider, dict.fromkeys(NODES, ROOT))


@contextmanager
def _world(cloud: OfflineCloud, base: Path) -> Generator[_World]:
    secret = MasterSecret.from_bytes(
        bytearray(secrets.token_bytes(32)), bytearray(secrets.token_bytes(32))
    )
    keys = MasterSecretKeyService(secret)
    try:
        with closing(SqliteLedger(base / "ledger.db")) as ledger:
            yield _World(cloud, keys, Stage(ledger, keys, UserspaceMapper()))
    finally:
        secret.wipe()


def _run(world: _World) -> dict[str, object]:
    results: dict[str, object] = {}
    for mode in Mode:
        say(f"-- {mode.value} " + "-" * 40)
        size = max(SIZE, world.provider.capabilities.size_min)
        say(f"1. create a volume of {format_size(size)} at {world.provider.url}")
        name = f"demo-{secrets.token_hex(4)}"
        volume = world.perform(spi.CreateVolume(_token(), name, size))
        try:
            results[mode.value] = _main_job(world, volume, mode)
        finally:
            for holder in world.provider.get(volume.id).holders:
                world.detach(volume, holder)
            world.perform(spi.DeleteVolume(_token(), volume.id))
    return results


def _main_job(world: _World, volume: Volume, mode: Mode) -> dict[str, object]:
    stage = world.stage
    first, second = world.instances
    say(f"   {volume.id}")
    say(f"2. attach it to {first}, find the device and prove its identity")
    device = world.attach(volume, first)
    tags = ", HMAC-SHA256 tags" if mode is Mode.INTEGRITY else ""
    say(f"3. format it: LUKS2, AES-256-XTS{tags}, Argon2id, sealed for this volume id")
    stage.register_new(volume.id, capacity=device.size, mode=mode)
    record = stage.format(device)
    say("4. open it and write")
    content = secrets.token_bytes(5 * MIB + 123)
    _write(stage.open(device), 1000, content)
    device = _grow(world, volume, mode)
    mapping = stage.open(device)
    tail = b"the new end"
    _write(mapping, mapping.size - len(tail), tail)
    size = mapping.size
    say(f"6. close it, detach it, attach it to {second}")
    world.detach(volume, first)
    device = world.attach(volume, second)
    say("7. verify, unlock and read back what was written")
    with stage.open(device).open() as payload:
        _expect(device, payload.pread(1000, len(content)), content)
        _expect(device, payload.pread(size - len(tail), len(tail)), tail)
    stage.close(volume.id)
    refusals = _tamper(world, device, mode)
    say("9. let stock cryptsetup open what was written")
    stock = _cryptsetup(world, device)
    say(f"   {stock}")
    return {
        "volume_id": volume.id,
        "uuid": record.uuid,
        "payload": size,
        "read_back": hashlib.sha256(content).hexdigest(),
        **refusals,
        "cryptsetup": stock,
    }


def _grow(world: _World, volume: Volume, mode: Mode) -> BlockDevice:
    """Grow the volume at the provider and on the node; with integrity it is closed meanwhile."""
    how = "while it is open" if mode is Mode.CRYPT else "while it is closed"
    grown = volume.size + max(GROWTH, world.provider.capabilities.size_unit)
    say(f"5. grow it to {format_size(grown)} {how}, and write at the new end")
    if mode is Mode.INTEGRITY:
        world.stage.close(volume.id)
    world.perform(spi.ResizeVolume(_token(), volume.id, grown))
    device = world.attach(volume, world.instances[0])
    world.stage.grow(device, integrity_growth=True)
    return device


def _write(mapping: UserspaceMapping, offset: int, content: bytes) -> None:
    with mapping.open() as payload:
        payload.pwrite(offset, content)
        payload.flush()


def _expect(device: BlockDevice, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise DeviceMismatch(str(device.path), "other content", "what was written")


def _tamper(world: _World, device: BlockDevice, mode: Mode) -> dict[str, object]:
    """Flip bits of the disk, one at a time, and return what became of it."""
    say("8. let the cloud flip one bit of the header")
    header = _refusal(world, device, 40000)
    say(f"   refused: {header.message}")
    refusals: dict[str, object] = {"tampered_header": header.message}
    if mode is Mode.INTEGRITY:
        say("   and one bit of the data")
        data = _refusal(world, device, _first_data_byte(world, device))
        say(f"   refused: {data.message}")
        refusals["tampered_data"] = data.message
    return refusals


def _first_data_byte(world: _World, device: BlockDevice) -> int:
    with world.stage.check(device) as volume:
        return geometry_of(volume.header).data_offset(0)


def _refusal(world: _World, device: BlockDevice, offset: int) -> CloudcryptError:
    """Read the disk with one bit flipped, flip it back, and return the refusal."""
    _flip(device.path, offset)
    try:
        with world.stage.open(device).open() as payload:
            payload.pread(0, 1)
    except (HeaderError, IntegrityError) as refusal:
        return refusal
    finally:
        world.stage.close(device.volume_id)
        _flip(device.path, offset)
    raise DeviceMismatch(str(device.path), "a tampered disk that was read", "a refusal")


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _cryptsetup(world: _World, device: BlockDevice) -> str:
    tool = shutil.which("cryptsetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if tool is None:
        return "not tried: cryptsetup is not installed (apt-get install cryptsetup-bin)"
    command = [tool, "open", "--test-passphrase", "--type", "luks2", "--key-file", "-"]
    with get_data_key(world.keys, bound_key_id(device.volume_id), existing=True) as data_key:
        keys = derive(data_key, device.volume_id, 1)
    with keys.passphrase as passphrase:
        result = subprocess.run(  # noqa: S603  # a fixed command, the secret goes through a pipe
            [*command, str(device.path)],
            input=passphrase.reveal(),
            capture_output=True,
            check=False,
        )
    keys.wipe()
    if result.returncode != 0:
        raise DeviceMismatch(str(device.path), result.stderr.decode(), "cryptsetup opens it")
    version = subprocess.run([tool, "--version"], capture_output=True, check=True)  # noqa: S603
    return f"opened by {' '.join(version.stdout.decode().split()[:2])}"


def _token() -> str:
    return secrets.token_hex(16)
