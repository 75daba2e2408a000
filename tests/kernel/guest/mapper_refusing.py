"""What the kernel mapper refuses, and leaves alone: cases that run in the guest."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import (
    DeviceBusy,
    MappingConflict,
    SectorRefused,
    SuperblockRefused,
    UnsupportedOperation,
    VolumeKeyRefused,
)
from cloudcrypt.integrity import Geometry, journal
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET
from cloudcrypt.luks2 import UnlockedVolume, new_volume_key
from cloudcrypt.mapper import KernelMapper
from cloudcrypt.mapper._block import opened_beside
from cloudcrypt.mapper._libcryptsetup import ALLOW_DISCARDS, CryptSetup, Source, load
from cloudcrypt.mapper._memfd import header_file
from cloudcrypt.mapper.engines import geometry_of
from cloudcrypt.model import BlockDevice, Mode
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
    settle,
    table,
)

OTHER = "local:0123456789ab/vol-00000000000000000"


def activate(device: BlockDevice, volume: UnlockedVolume, flags: int = 0) -> None:
    """Map a volume under the name of `VOLUME` without any of the mapper's care."""
    settle()
    with (
        FileDisk(device.path) as disk,
        opened_beside(disk) as block,
        header_file(volume.header) as header,
    ):
        load().activate(NAME, Source(header, block.descriptor, volume.volume_key), flags)


class Careless:
    """A libcryptsetup before which something happens that the mapper did not want."""

    def __init__(self, before: Callable[[], None], flags: int = 0) -> None:
        self._before = before
        self._flags = flags
        self._library: CryptSetup = load()
        self.resize = self._library.resize
        self.verify = self._library.verify
        self.deactivate = self._library.deactivate

    def activate(self, name: str, source: Source, flags: int) -> None:
        self._before()
        self._library.activate(name, source, flags | self._flags)


def halve_superblock(file: Path) -> None:
    """Halve the size that the superblock states: the kernel accepts that."""
    with file.open("r+b") as raw:
        raw.seek(SUPERBLOCK_OFFSET + 16)
        provided = int.from_bytes(raw.read(8), "little") // 2 // 8 * 8
        raw.seek(SUPERBLOCK_OFFSET + 16)
        raw.write(provided.to_bytes(8, "little"))


@case()
def another_key_is_refused_and_nothing_is_mapped(bench: Bench) -> None:
    device = bench.formatted()
    right = bench.unlocked(device)
    wrong = attrs.evolve(right, volume_key=new_volume_key(bench.mode))
    before = bench.loops[VOLUME].file.read_bytes()
    settle()
    with FileDisk(device.path, writable=True) as disk:
        mapper = KernelMapper()
        refused(VolumeKeyRefused, lambda: mapper.activate(VOLUME, disk, wrong, writable=True))
    assert (set[str](), None) == (mapped(), mapper.get(VOLUME))
    assert before == bench.loops[VOLUME].file.read_bytes()
    assert CONTENT == bench.read(device)


@case()
def an_image_file_is_not_mapped(bench: Bench) -> None:
    device = bench.formatted()
    volume = bench.unlocked(device)
    with FileDisk(bench.loops[VOLUME].file, writable=True) as disk:
        mapper = KernelMapper()
        refused(UnsupportedOperation, lambda: mapper.activate(VOLUME, disk, volume, writable=True))
    assert set() == mapped()


@case()
def a_name_that_something_else_has_is_left_alone(bench: Bench) -> None:
    device = bench.formatted()
    names = [NAME, *([f"{NAME}_dif"] if bench.mode is Mode.INTEGRITY else [])]
    for name in names:
        run("dmsetup", "create", name, "--table", "0 8 zero")
        error = refused(MappingConflict, partial(bench.open, device))
        assert (name, "uuid") == (error.mapping, error.field)
        refused(MappingConflict, bench.close)
        assert {name} == mapped()
        run("dmsetup", "remove", name)
        assert bench.record().holder is None
    bench.open(device)
    bench.close()


@case()
def a_device_that_something_else_has_is_busy(bench: Bench) -> None:
    device = bench.formatted()
    volume = bench.unlocked(device)
    run("dmsetup", "create", "other", "--table", f"0 8 linear {device.path} 0")
    try:
        refused(DeviceBusy, lambda: bench.open(device))
        if bench.mode is Mode.CRYPT:  # a look at the journal needs no more than reading either
            with FileDisk(device.path) as disk:
                mapper = KernelMapper()
                refused(DeviceBusy, lambda: mapper.activate(VOLUME, disk, volume, writable=True))
        assert {"other"} == mapped()
    finally:
        run("dmsetup", "remove", "other")
    assert bench.record().holder is None


@case()
def nobody_opens_a_device_while_the_kernel_takes_it(bench: Bench) -> None:
    device = bench.formatted()
    met = list[str]()

    def look() -> None:
        for writable in (False, True):
            refused(DeviceBusy, partial(FileDisk, device.path, writable=writable))
            met.append("busy")

    bench.open(device, KernelMapper(library=lambda: Careless(look)))
    assert ["busy", "busy"] == met
    with FileDisk(device.path) as disk:  # the header of a mapped volume can be read
        refused(DeviceBusy, disk.require_unmapped)
    bench.close()
    settle()
    with FileDisk(device.path) as reading:
        reading.require_unmapped()
        refused(DeviceBusy, lambda: bench.open(device))
        with bench.unlocked(device) as volume:
            disk, mapper = FileDisk(device.path), KernelMapper()
            refused(DeviceBusy, lambda: mapper.activate(VOLUME, disk, volume, writable=True))
        assert set() == mapped()
        bench.stage(mapper).open(device, writable=False)  # readers share
        bench.close()


@case()
def a_mapping_with_other_flags_is_not_taken_over(bench: Bench) -> None:
    device = bench.formatted()
    key = bench.folder / "key"
    with bench.unlocked(device) as volume:
        key.write_bytes(volume.volume_key.reveal())
    run("cryptsetup", "open", "--volume-key-file", str(key), str(device.path), NAME)
    before = table()
    error = refused(MappingConflict, lambda: bench.open(device))
    assert ("no_read_workqueue", "absent", "set") == (error.field, error.found, error.expected)
    assert before == table()
    bench.close()
    assert set() == mapped()


@case()
def a_mapping_with_another_key_is_not_taken_over(bench: Bench) -> None:
    device = bench.formatted()
    uuid = bench.record().uuid or ""
    other = bench.disk(OTHER)
    twin = bench.stage(KernelMapper(), new_uuid=lambda: uuid)
    twin.register_new(OTHER, capacity=SIZE, mode=bench.mode)
    twin.format(other)
    with bench.unlocked(other) as volume:
        activate(device, volume)
    before = table()
    error = refused(MappingConflict, lambda: bench.open(device))
    assert error.field == "key", error
    assert before == table()
    bench.close()
    assert CONTENT == bench.read(device)


@case()
def a_mapping_of_another_disk_is_not_taken_over(bench: Bench) -> None:
    device = bench.formatted()
    copy = bench.disk(OTHER)
    settle()
    shutil.copyfile(device.path, copy.path)
    with bench.unlocked(device) as volume:
        activate(copy, volume)
    before = mapped()
    error = refused(MappingConflict, lambda: bench.open(device))
    assert error.field == "device", error
    assert before == mapped()
    bench.close()
    assert set() == mapped()


@case()
def a_suspended_mapping_is_not_taken_over_and_not_read(bench: Bench) -> None:
    device = bench.formatted()
    bench.open(device)
    run("dmsetup", "suspend", NAME)
    try:
        error = refused(MappingConflict, lambda: bench.open(device))
        assert ("state", "suspended") == (error.field, error.found)
    finally:
        run("dmsetup", "resume", NAME)
    bench.open(device)
    bench.close()


@case()
def a_mapping_that_came_out_differently_is_removed_again(bench: Bench) -> None:
    device = bench.formatted()
    file = bench.loops[VOLUME].file
    if bench.mode is Mode.CRYPT:
        library = Careless(lambda: None, ALLOW_DISCARDS)
        field = "allow_discards"
    else:  # the disk says something else once it has been checked
        library = Careless(lambda: halve_superblock(file))
        field = "length"
    error = refused(
        MappingConflict, lambda: bench.open(device, KernelMapper(library=lambda: library))
    )
    assert field == error.field, error
    assert set() == mapped()
    assert bench.record().holder is None


@case(Mode.INTEGRITY)
def a_superblock_that_was_changed_is_refused(bench: Bench) -> None:
    device = bench.formatted()
    halve_superblock(bench.loops[VOLUME].file)
    error = refused(SuperblockRefused, lambda: bench.open(device))
    assert error.field == "provided_sectors"
    assert set() == mapped()


@case(Mode.INTEGRITY)
def a_forged_entry_of_the_journal_never_reaches_the_kernel(bench: Bench) -> None:
    device = bench.formatted()
    file = bench.loops[VOLUME].file
    mapping = bench.open(device)
    with mapping.open() as payload:
        payload.write(b"in the journal" * 1000)
    unclean = file.read_bytes()
    bench.close()
    with bench.unlocked(device) as volume:
        geometry = geometry_of(volume.header)
    file.write_bytes(unclean)
    where = _entry_data(device, geometry)
    with file.open("r+b") as raw:
        raw.seek(where)
        byte = raw.read(1)[0] ^ 1
        raw.seek(where)
        raw.write(bytes([byte]))
    before = file.read_bytes()
    error = refused(SectorRefused, lambda: bench.open(bench.device()))
    assert error.sector >= 0
    assert set() == mapped()
    assert before == file.read_bytes()


def _entry_data(device: BlockDevice, geometry: Geometry) -> int:
    """Return where the data is of an entry that a replay would write."""
    settle()
    with FileDisk(device.path) as disk:
        entries = journal.read(VOLUME, disk, geometry).entries
        assert entries
        for section in range(geometry.journal_sections):
            begin = geometry.section_offset(section)
            content = bytearray(disk.size - begin)
            disk.read_into(begin, memoryview(content))
            at = content.find(entries[0].cipher[:500])
            if at >= 0:
                return begin + at
    raise AssertionError("no such entry")


@case(Mode.INTEGRITY)
def a_journal_to_be_replayed_is_not_mapped_for_reading(bench: Bench) -> None:
    device = bench.formatted()
    file = bench.loops[VOLUME].file
    content = os.urandom(64 * 1024)
    with bench.open(device).open() as payload:
        payload.write(content)
    unclean = file.read_bytes()
    bench.close()
    file.write_bytes(unclean)
    device = bench.device()
    stage = bench.stage(KernelMapper())
    refused(UnsupportedOperation, lambda: stage.open(device, writable=False))
    assert set() == mapped()
    with bench.open(device).open() as payload:
        assert content == payload.read(len(content))
    bench.close()
    assert content == bench.read(device, 0, len(content))
