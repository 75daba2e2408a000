"""Volumes that grow on a live node, also where it dies meanwhile: cases that run in the guest."""

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import UnsupportedOperation
from cloudcrypt.integrity import superblock
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET
from cloudcrypt.ledger import State
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.mapper.engines import geometry_of
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.sizes import MIB
from tests.kernel.guest.mapper_bench import (
    CONTENT,
    NAME,
    SIZE,
    VOLUME,
    Bench,
    case,
    mapped,
    refused,
    run,
)

DIED = 7
"""The exit code of a process that was made to end."""


class Dying(FileDisk):
    """A disk whose process ends, without cleaning up, at one moment of a growth."""

    def __init__(self, moment: str, path: Path, *, writable: bool = False) -> None:
        super().__init__(path, writable=writable)
        self._moment = moment
        self._tags = 0
        self._is_stated = False

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write, or end before."""
        if offset == SUPERBLOCK_OFFSET:
            if self._moment == "before the superblock":
                os._exit(DIED)
            self._is_stated = True
        elif offset > SUPERBLOCK_OFFSET:
            self._tags += 1
            if self._moment == "before the tags":
                os._exit(DIED)
        super().write(offset, data)

    def sync(self) -> None:
        """Sync, and perhaps end."""
        super().sync()
        if self._moment == "after the superblock" and self._is_stated:
            os._exit(DIED)
        if self._moment == "after the tags" and self._tags:
            os._exit(DIED)


def grow_and_die(bench: Bench, device: BlockDevice, moment: str) -> None:
    """Let another process grow the volume, and end at a moment."""
    child = os.fork()
    if child == 0:
        try:
            other = Bench(bench.mode, bench.folder)
            stage = other.stage(KernelMapper(), open_disk=partial(Dying, moment))
            stage.grow(device, integrity_growth=True)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == DIED, moment


def mounted(mapping: KernelMapping, place: Path, work: Callable[[], None]) -> None:
    """Do something while the filesystem is mounted."""
    run("mount", str(mapping.path), str(place))
    try:
        work()
    finally:
        run("umount", str(place))


@case(Mode.INTEGRITY)
def it_grows_though_the_node_dies_and_is_used_meanwhile(bench: Bench) -> None:
    device = bench.formatted()
    mapping = bench.open(device)
    run("mkfs.ext4", "-q", str(mapping.path))
    place = bench.folder / "mounted"
    place.mkdir()
    files = list[str]()
    moments = {
        "before the tags": False,
        "after the tags": False,
        "before the superblock": False,
        "after the superblock": True,
    }
    for number, (moment, is_grown) in enumerate(moments.items(), start=2):
        files.append(moment)
        mounted(mapping, place, partial(_write, place / moment))
        size = mapping.size
        bench.close()

        bench.loops[VOLUME].grow(number * SIZE)
        device = bench.device()
        grow_and_die(bench, device, moment)
        record = bench.record()
        assert (State.GROWING, number * SIZE) == (record.state, record.goal), moment

        mapping = bench.open(device)  # what it is now, old or new, and nothing between
        assert (mapping.size > size) is is_grown, moment
        assert (f"{NAME}_lim" in mapped()) is not is_grown
        _require_whole(mapping)
        mounted(mapping, place, lambda: _require_files(place, files))
        bench.close()

        bench.stage(KernelMapper()).grow(device, integrity_growth=True)
        record = bench.record()
        assert (State.READY, number * SIZE, None) == (record.state, record.capacity, record.goal)
        for _ in range(2):  # the kernel takes up a new size at the second activation
            mapping = bench.open(device)
            assert mapping.size > size + SIZE * 9 // 10
            assert {NAME, f"{NAME}_dif"} == mapped()
            _require_whole(mapping)
            bench.close()

        mapping = bench.open(device)
        mounted(mapping, place, partial(_grow_filesystem, place, mapping))
    bench.close()
    _require_superblock(bench, device)
    mapping = bench.open(device)
    run("e2fsck", "-fn", str(mapping.path))
    mounted(mapping, place, lambda: _require_files(place, files))
    bench.close()


def _write(path: Path) -> None:
    path.write_bytes(CONTENT)


def _require_files(place: Path, names: list[str]) -> None:
    assert [CONTENT] * len(names) == [(place / name).read_bytes() for name in names]


def _require_whole(mapping: KernelMapping) -> None:
    with mapping.open() as payload:
        assert mapping.size == len(payload.readall())


def _grow_filesystem(place: Path, mapping: KernelMapping) -> None:
    run("resize2fs", str(mapping.path))
    found = os.statvfs(place)
    assert found.f_blocks * found.f_frsize > mapping.size * 7 // 8
    (place / "room").write_bytes(os.urandom(8 * MIB))
    (place / "room").unlink()


def _require_superblock(bench: Bench, device: BlockDevice) -> None:
    with bench.unlocked(device) as volume, FileDisk(device.path) as disk:
        superblock.require(VOLUME, disk, geometry_of(volume.header))


@case(Mode.INTEGRITY)
def it_grows_only_if_asked_and_closed(bench: Bench) -> None:
    device = bench.formatted()
    size = bench.open(device).size
    bench.close()
    bench.loops[VOLUME].grow(2 * SIZE)
    device = bench.device()
    record = bench.record()
    refused(UnsupportedOperation, lambda: bench.stage(KernelMapper()).grow(device))
    assert record == bench.record()
    assert size == bench.open(device).size
    bench.close()


@case(Mode.CRYPT)
def one_without_integrity_ends_where_it_did_until_it_grows(bench: Bench) -> None:
    device = bench.formatted()
    bench.loops[VOLUME].grow(2 * SIZE)
    device = bench.device()
    mapping = bench.open(device)
    assert layout.payload_size(SIZE) == mapping.size
    with mapping.path.open("r+b", buffering=0) as raw:
        raw.seek(mapping.size)
        error = refused(OSError, lambda: raw.write(bytes(4096)))
        assert error.errno == errno.ENOSPC
    bench.close()
