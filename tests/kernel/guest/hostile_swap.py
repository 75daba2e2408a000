"""A disk that is pulled out while it is mounted, and swapped; runs in the guest."""

import shutil
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from cloudcrypt.errors import CloudcryptError, DeviceIOError, HeaderRefused
from cloudcrypt.filesystem import FilesystemKind
from cloudcrypt.ledger import Holder, SqliteLedger
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.mapper._devicemapper import DeviceMapper
from cloudcrypt.mapper._names import integrity_name, mapping_name
from cloudcrypt.stage import Stage
from tests.kernel.guest.clouds import device_of
from tests.kernel.guest.filesystem_bench import write
from tests.kernel.guest.hostile_bench import (
    CONTENTS,
    FILE,
    PROFILES,
    VOLUME,
    forget,
    key_service,
)
from tests.kernel.guest.mapper_bench import mapped, settle

FOLDER = Path("/run/swapped")
TARGET = FOLDER / "mounted"
LEDGER = FOLDER / "ledger.sqlite"


def _stage(ledger: SqliteLedger) -> Stage[KernelMapping]:
    holder = Holder("node", "boot")
    return Stage(ledger, key_service(), KernelMapper(), holder=holder, profiles=PROFILES)


def use(attachment: str, prepared: str) -> str:
    """Open, mount and read the volume; leave it mounted."""
    TARGET.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(prepared, "ledger.sqlite"), LEDGER)
    with closing(SqliteLedger(LEDGER)) as ledger:
        _mount(_stage(ledger), attachment)
    return _whose()


def use_again(attachment: str) -> str:
    """Open, mount and read the volume; say whose content it is; unmount and close it."""
    with closing(SqliteLedger(LEDGER)) as ledger:
        stage = _stage(ledger)
        _mount(stage, attachment)
        whose = _whose()
        stage.filesystem(VOLUME).unmount(TARGET)
        settle()
        stage.close(VOLUME)
    return whose


def _mount(stage: Stage[KernelMapping], attachment: str) -> None:
    stage.open(device_of(attachment), raw=False)
    stage.filesystem(VOLUME).mount(TARGET)


def _whose() -> str:
    forget()
    found = (TARGET / FILE).read_bytes()
    return next(name for name, content in CONTENTS.items() if content == found)


def meet_another(attachment: str) -> dict[str, Any]:
    """Try to use the disk that is there now; return how that is refused, twice in the same way.

    First beneath the mount of the disk that has gone, which serves nothing any more; then after
    everything was closed.
    """
    with closing(SqliteLedger(LEDGER)) as ledger:
        record = ledger.get(VOLUME)
        device = device_of(attachment)
        first = _refusal(lambda: _stage(ledger).open(device, raw=False))
        forget()
        with suppress(OSError):
            assert CONTENTS["b"] != (TARGET / FILE).read_bytes()
        with suppress(OSError):
            write(TARGET / "lost", b"x")
        stage = _stage(ledger)
        with suppress(DeviceIOError):
            stage.filesystem(VOLUME).unmount(TARGET)
        assert not TARGET.is_mount()
        settle()
        with suppress(DeviceIOError):
            stage.close(VOLUME)
        second = _refusal(lambda: _stage(ledger).open(device, raw=False))
        assert type(first) is type(second), (first, second)
        for ask in (
            lambda: stage.format(device),
            lambda: stage.filesystem(VOLUME).make(device, FilesystemKind.EXT4),
        ):
            _refusal(ask)
        now = ledger.get(VOLUME)
        assert record is not None
        assert now is not None
        assert (now.state, now.payload, now.holder) == (record.state, record.payload, None)
    assert isinstance(second, HeaderRefused)
    found = second.found
    return {
        "kind": type(second).__name__,
        "found": found["uuid"] if isinstance(found, dict) else found,
        "expected": second.expected,
        "mapped": sorted(mapped()),
    }


def _refusal(ask: Any) -> CloudcryptError:
    try:
        ask()
    except CloudcryptError as error:
        return error
    raise AssertionError("nothing was refused")


def clean_up() -> None:
    """Leave nothing mounted or mapped, whatever happened."""
    while TARGET.is_mount():
        subprocess.run(["umount", "--lazy", TARGET], check=True)
    name = mapping_name(VOLUME)
    for each in (name, integrity_name(name)):
        DeviceMapper().remove(each, deferred=True)
    settle()
