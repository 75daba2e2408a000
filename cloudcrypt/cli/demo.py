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
from cloudcrypt.cli.output import json_option, say, show
from cloudcrypt.device import locate
from cloudcrypt.errors import DeviceMismatch, HeaderRefused
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2 import derive
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, Volume
from cloudcrypt.registry import open_provider
from cloudcrypt.sizes import MIB, format_size
from cloudcrypt.stage import Stage

SIZE = 64 * MIB
GROWN = 96 * MIB
FIRST, SECOND = "node-1", "node-2"


@click.command()
@click.option(
    "--provider",
    "url",
    metavar="URL",
    help="Where the volume is made; by default a directory that is removed afterwards.",
)
@json_option
def demo(url: str | None) -> None:
    """Create, attach, encrypt, write, grow, move and read back a volume, then let others look.

    The master secret is random, and forgotten at the end.
    """
    with tempfile.TemporaryDirectory(prefix="cloudcrypt-demo-") as directory:
        base = Path(directory)
        where = url or f"local://{base / 'volumes'}"
        with closing(open_provider(where)) as provider, _world(provider, base) as world:
            show(_run(world))


@attrs.frozen
class _World:
    """The parts that the demo composes, in the order of the data's path."""

    provider: spi.VolumeProvider
    keys: MasterSecretKeyService
    stage: Stage[UserspaceMapping]

    def perform(self, intent: spi.Intent[spi.T]) -> spi.T:
        return spi.perform(self.provider, intent)

    def attach(self, volume: Volume, instance: str) -> BlockDevice:
        attachment = self.perform(spi.AttachVolume(_token(), volume.id, instance))
        return locate(attachment)

    def detach(self, volume: Volume, instance: str) -> None:
        self.stage.close(volume.id)
        self.perform(spi.DetachVolume(_token(), volume.id, instance))


@contextmanager
def _world(provider: spi.VolumeProvider, base: Path) -> Generator[_World]:
    secret = MasterSecret.from_bytes(
        bytearray(secrets.token_bytes(32)), bytearray(secrets.token_bytes(32))
    )
    keys = MasterSecretKeyService(secret)
    try:
        with closing(SqliteLedger(base / "ledger.db")) as ledger:
            yield _World(provider, keys, Stage(ledger, keys, UserspaceMapper()))
    finally:
        secret.wipe()


def _run(world: _World) -> dict[str, object]:
    say(f"1. create a volume of {format_size(SIZE)} at {world.provider.url}")
    name = f"demo-{secrets.token_hex(4)}"
    volume = world.perform(spi.CreateVolume(_token(), name, SIZE))
    try:
        return _main_job(world, volume)
    finally:
        for holder in world.provider.get(volume.id).holders:
            world.detach(volume, holder)
        world.perform(spi.DeleteVolume(_token(), volume.id))


def _main_job(world: _World, volume: Volume) -> dict[str, object]:
    stage = world.stage
    say(f"   {volume.id}")
    say(f"2. attach it to {FIRST}, find the device and prove its identity")
    device = world.attach(volume, FIRST)
    say("3. format it: LUKS2, AES-256-XTS, Argon2id, sealed for this volume id")
    stage.register_new(volume.id, capacity=device.size)
    record = stage.format(device)
    say("4. open it and write")
    content = secrets.token_bytes(5 * MIB + 123)
    _write(stage.open(device), 1000, content)
    say(f"5. grow it to {format_size(GROWN)} while it is open, and write at the new end")
    world.perform(spi.ResizeVolume(_token(), volume.id, GROWN))
    device = world.attach(volume, FIRST)
    stage.grow(device)
    mapping = stage.open(device)
    tail = b"the new end"
    _write(mapping, mapping.size - len(tail), tail)
    say(f"6. close it, detach it, attach it to {SECOND}")
    world.detach(volume, FIRST)
    device = world.attach(volume, SECOND)
    say("7. verify, unlock and read back what was written")
    mapping = stage.open(device)
    with mapping.open() as payload:
        _expect(device, payload.pread(1000, len(content)), content)
        _expect(device, payload.pread(mapping.size - len(tail), len(tail)), tail)
    stage.close(volume.id)
    say("8. let the cloud flip one bit of the header on a copy of the disk")
    refusal = _tampered(world, device)
    say(f"   refused: {refusal.message}")
    say("9. let stock cryptsetup open what was written")
    stock = _cryptsetup(world, device)
    say(f"   {stock}")
    return {
        "volume_id": volume.id,
        "uuid": record.uuid,
        "payload": mapping.size,
        "read_back": hashlib.sha256(content).hexdigest(),
        "tampered_header": f"refused at step {refusal.step} ({refusal.step_name})",
        "cryptsetup": stock,
    }


def _write(mapping: UserspaceMapping, offset: int, content: bytes) -> None:
    with mapping.open() as payload:
        payload.pwrite(offset, content)
        payload.flush()


def _expect(device: BlockDevice, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise DeviceMismatch(str(device.path), "other content", "what was written")


def _tampered(world: _World, device: BlockDevice) -> HeaderRefused:
    """Open a copy of the disk with one bit of its keyslot area flipped, and return the refusal."""
    with tempfile.TemporaryDirectory(prefix="cloudcrypt-demo-") as directory:
        copy = Path(directory) / "copy"
        shutil.copyfile(device.path, copy)
        with copy.open("r+b") as file:
            file.seek(40000)
            byte = file.read(1)[0]
            file.seek(40000)
            file.write(bytes([byte ^ 1]))
        try:
            world.stage.check(attrs.evolve(device, path=copy, identity=None))
        except HeaderRefused as refusal:
            return refusal
    raise DeviceMismatch(str(device.path), "a tampered header that opened", "a refusal")


def _cryptsetup(world: _World, device: BlockDevice) -> str:
    tool = shutil.which("cryptsetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if tool is None:
        return "not tried: cryptsetup is not installed (apt-get install cryptsetup-bin)"
    command = [tool, "open", "--test-passphrase", "--type", "luks2", "--key-file", "-"]
    with get_data_key(world.keys, bound_key_id(device.volume_id)) as data_key:
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
