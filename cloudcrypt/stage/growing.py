"""Growing: letting a volume use a device that has become larger.

A volume without integrity only needs its new capacity on record. One with integrity needs the tags
of its new tail first, and then a superblock that speaks of it: a crash at any point leaves the old
size or the new one.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk, HostDisk, ReadableDisk
from cloudcrypt.errors import (
    CapacityRefused,
    StateForbids,
    SuperblockRefused,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.integrity import Geometry, IntegrityEngine, superblock
from cloudcrypt.integrity.geometry import sections_of
from cloudcrypt.integrity.initialise import write_superblock, write_tags
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import Step
from cloudcrypt.mapper import Mapper, Mapping
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.stage.blank import require_blank
from cloudcrypt.stage.limits import Progress, check_capacity
from cloudcrypt.stage.reading import require_same, unlocked, verified
from cloudcrypt.stage.world import World, held

MappingT = TypeVar("MappingT", bound=Mapping)


def grow_volume(
    world: World,
    mapper: Mapper[MappingT],
    device: BlockDevice,
    *,
    integrity_growth: bool,
    progress: Progress,
) -> Record:
    """Let a volume use all of its device; one with integrity only if the caller insists."""
    record = require_growable(world, device.volume_id, integrity_growth=integrity_growth)
    needed = record.capacity if record.goal is None else record.goal
    if device.size < needed:
        found, expected = {"device size": device.size}, f"at least {needed}"
        raise CapacityRefused(int(Step.CAPACITY), Step.CAPACITY.name, found, expected)
    if device.size > record.capacity:
        check_capacity(device.size, record.mode)
        with held(world, record) as before:
            if record.mode is Mode.INTEGRITY:
                return _with_integrity(world, before, device, progress)
            _prove(world, mapper.get(device.volume_id), device, before)
            record = world.ledger.replace(before, attrs.evolve(before, capacity=device.size))
            progress(device.size, device.size)
    mapper.resize(device.volume_id, record.capacity, partial(_reopened, world, device, record))
    return record


def require_growable(world: World, volume_id: str, *, integrity_growth: bool) -> Record:
    """Return the record of a volume if it may grow; errors as `Stage.require_growable`."""
    record = world.ledger.get(volume_id)
    if record is None:
        raise UnknownVolume(volume_id)
    if record.state not in (State.READY, State.GROWING):
        raise StateForbids(record.volume_id, record.state.value, "grow")
    if record.mode is Mode.INTEGRITY and not integrity_growth:
        raise UnsupportedOperation(
            "growing a volume with integrity unasked",
            "say --integrity-growth (integrity_growth=True) if this volume is never to be opened "
            "by Constellation, which does not expand such volumes",
        )
    return record


@contextmanager
def _reopened(
    world: World, device: BlockDevice, record: Record
) -> Generator[tuple[HostDisk, luks2.UnlockedVolume]]:
    """Open the device of a mapped volume for reading, and unlock the volume."""
    with (
        world.open_device(device, writable=False) as disk,
        unlocked(world, disk, record) as volume,
    ):
        yield disk, volume


def _prove(world: World, active: Mapping | None, device: BlockDevice, record: Record) -> None:
    """Refuse unless the device is that of the volume, and as large as it is said to be."""
    if active is not None:
        require_same(active, device)
        return
    with world.open_device(device, writable=False) as disk, verified(world, disk, record)[1]:
        pass  # the keys are wiped


def settle_growth(
    world: World, disk: ReadableDisk, record: Record, *, record_it: bool = True
) -> Record:
    """Return the record of a volume in state GROWING as its superblock decides: old or new.

    The superblock is written last, so a new one means that the growth is complete; that is recorded
    unless ``record_it`` is false.

    Raises:
        SuperblockRefused: it is neither.
    """
    if record.state is not State.GROWING:
        return record
    try:
        superblock.require(record.volume_id, disk, geometry_of(record))
    except SuperblockRefused:
        grown = _grown(record)
        superblock.require(record.volume_id, disk, geometry_of(grown))
        return world.ledger.replace(record, grown) if record_it else grown
    return record


def geometry_of(record: Record) -> Geometry:
    """Return the geometry that the ledger's record stands for."""
    return Geometry.of(record.capacity, record.journal_sections)


def _with_integrity(
    world: World, record: Record, device: BlockDevice, progress: Progress
) -> Record:
    with (
        world.open_device(device, writable=True) as disk,
        unlocked(world, disk, record) as volume,
    ):
        record = settle_growth(world, disk, record)
        first = geometry_of(record).sectors
        last = Geometry.of(device.size, _sections(record)).sectors

        def tell(sector: int) -> None:
            progress((sector - first) * SECTOR_SIZE, (last - first) * SECTOR_SIZE)

        while record.state is State.GROWING or record.capacity < device.size:
            if record.state is State.READY:
                record = _begin(world, disk, record, device.size, volume)
            record = _finish(world, disk, record, volume, tell)
        return record


def _finish(
    world: World,
    disk: Disk,
    record: Record,
    volume: luks2.UnlockedVolume,
    tell: Callable[[int], None],
) -> Record:
    """Write the tags of the tail, and then the superblock that speaks of it."""
    old, new = geometry_of(record), geometry_of(_grown(record))
    write_tags(disk, volume.volume_key, new, first=old.sectors, durable=tell)
    write_superblock(disk, new)
    return world.ledger.replace(record, _grown(record))


def _begin(
    world: World, disk: Disk, record: Record, goal: int, volume: luks2.UnlockedVolume
) -> Record:
    """Record the growth, now that the volume is known to be whole and its tail to be blank."""
    old = geometry_of(record)
    IntegrityEngine(record.volume_id, disk, volume, old, writable=True).close()
    require_blank(disk, start=old.data_offset(old.sectors - 1) + SECTOR_SIZE)
    growing = attrs.evolve(
        record, state=State.GROWING, goal=goal, journal_sections=_sections(record)
    )
    return world.ledger.replace(record, growing)


def _sections(record: Record) -> int:
    """Return the sections of the journal, which are those that it was formatted with."""
    return record.journal_sections or sections_of(record.capacity)


def _grown(record: Record) -> Record:
    """Return the record after a growth that is complete."""
    capacity = record.capacity if record.goal is None else record.goal
    return attrs.evolve(record, state=State.READY, capacity=capacity, goal=None)
