"""Volumes for hostile storage, made on the host in user space: in the guest it would take minutes.

For each mode: ``a`` and ``b``, of one ledger, each with ext4 and a file; ``old``, which is ``a``
before its keys were rotated; and a header backup of ``a``.
"""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import attrs

from cloudcrypt.ledger import Filesystem, FilesystemKind, SqliteLedger
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.stage import Stage
from tests.kernel.guest.hostile_bench import (
    CONTENTS,
    FILE,
    IDS,
    PROFILES,
    SIZE,
    key_service,
)

UUIDS = {
    "a": "0a0a0a0a-1111-4222-8333-444444444444",
    "b": "0b0b0b0b-1111-4222-8333-444444444444",
}


def prepare(folder: Path) -> Path:
    """Make them below ``folder``, each mode in a folder of its own."""
    for mode in Mode:
        own = folder / mode.value
        own.mkdir(parents=True)
        with closing(SqliteLedger(own / "ledger.sqlite")) as ledger:
            mapper = UserspaceMapper()
            stage = Stage(ledger, key_service(), mapper, profiles=PROFILES)
            for name in IDS:
                _volume(stage, ledger, own, name, mode)
            device = _device(own, "a")
            shutil.copyfile(device.path, own / "old.img")
            for name in IDS:
                stage.rotate(_device(own, name))
            (own / "backup").write_bytes(stage.backup_header(device))
    return folder


def _device(folder: Path, name: str) -> BlockDevice:
    return BlockDevice(IDS[name], folder / f"{name}.img", SIZE)


def _volume(
    stage: Stage[UserspaceMapping], ledger: SqliteLedger, folder: Path, name: str, mode: Mode
) -> None:
    device = _device(folder, name)
    with device.path.open("xb") as file:
        file.truncate(SIZE)
    stage.register_new(device.volume_id, capacity=SIZE, mode=mode)
    stage.format(device)
    with stage.open(device).open() as payload:
        payload.write(_filesystem(folder, name, payload.size))
    stage.close(device.volume_id)
    record = ledger.get(device.volume_id)
    assert record is not None
    made = Filesystem(FilesystemKind.EXT4, UUIDS[name])
    ledger.replace(record, attrs.evolve(record, payload=made))


def _filesystem(folder: Path, name: str, size: int) -> bytes:
    """Return ext4 with one file in it."""
    content = folder / f"{name}.content"
    content.mkdir()
    content.joinpath(FILE).write_bytes(CONTENTS[name])
    image = folder / f"{name}.ext4"
    with image.open("xb") as file:
        file.truncate(size)
    command = [
        "mkfs.ext4",
        "-q",
        "-F",
        "-b",
        "4096",
        "-U",
        UUIDS[name],
        "-d",
        str(content),
        str(image),
    ]
    subprocess.run(command, check=True)
    return image.read_bytes()
