"""Formatting: from a device that is known to be new to an encrypted volume."""

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk
from cloudcrypt.errors import (
    AlreadyRegistered,
    DeviceTooSmall,
    StateForbids,
    UnknownVolume,
)
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.initialise import write_journal_and_superblock, write_tags
from cloudcrypt.ledger import Record, State, Untouched
from cloudcrypt.luks2 import layout
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode, check_volume_id
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.stage.blank import require_blank
from cloudcrypt.stage.limits import Progress, check_capacity
from cloudcrypt.stage.reading import unlocked, verified
from cloudcrypt.stage.world import World, held, require_proven


def register_new(
    world: World, volume_id: str, mode: Mode, capacity: int, policy: KeyPolicy
) -> Record:
    """Record a volume that was just created blank, unless it is recorded already."""
    check_volume_id(volume_id)
    check_capacity(capacity, mode)
    found = world.ledger.get(volume_id)
    if found is None:
        return world.ledger.add(Record(volume_id, State.NEW, mode, policy, capacity))
    has_grown = found.state is not State.NEW and capacity < found.capacity
    facts = {
        "mode": mode is found.mode,
        "policy": policy is found.policy,
        "capacity": capacity == found.capacity or has_grown,
    }
    differing = tuple(name for name, agrees in facts.items() if not agrees)
    if differing:
        raise AlreadyRegistered(volume_id, differing)
    return found


def format_volume(world: World, device: BlockDevice, progress: Progress) -> Record:
    """Format a new volume, or go on with a format that was cut short."""
    require_proven(device, "formatting")
    record = world.ledger.get(device.volume_id)
    if record is None:
        raise UnknownVolume(device.volume_id)
    if record.state not in (State.NEW, State.FORMATTING, State.INITIALISING, State.READY):
        raise StateForbids(record.volume_id, record.state.value, "format")
    with held(world, record) as mine, world.open_device(device, writable=True) as disk:
        return _carry_on(world, disk, mine, progress)


def _carry_on(world: World, disk: Disk, record: Record, progress: Progress) -> Record:
    """Do what is left to do of a format."""
    if record.state is State.READY:
        _, keys = verified(world, disk, record)
        with keys:
            return record
    if record.state is not State.INITIALISING:
        record = _format(world, disk, record)
    if record.state is State.INITIALISING:
        record = _initialise(world, disk, record, progress)
    return record


def _format(world: World, disk: Disk, record: Record) -> Record:
    _check_device(disk, record)
    if record.state is State.NEW:
        require_blank(disk)
        begun = attrs.evolve(record, state=State.FORMATTING, uuid=world.new_uuid())
        record = world.ledger.replace(record, begun)
    else:  # the header may be half written; the payload cannot be
        require_blank(disk, start=layout.DATA_OFFSET)
    uuid = record.uuid or ""
    profile = world.profiles[record.policy]
    with (
        world.header_keys(record, uuid, existing=False) as keys,
        luks2.new_volume_key(record.mode, world.randomness) as volume_key,
    ):
        image = luks2.build(
            profile, record.mode, uuid, volume_key, keys, randomness=world.randomness
        )
        image.write_to(disk)
    _, keys = verified(world, disk, record)
    with keys:
        if record.mode is Mode.CRYPT:
            return _finished(world, record)
        return world.ledger.replace(record, attrs.evolve(record, state=State.INITIALISING))


def _initialise(world: World, disk: Disk, record: Record, progress: Progress) -> Record:
    """Write the tags, the journal and the superblock of an integrity volume."""
    geometry = Geometry.of(record.capacity)

    def remember(sector: int) -> None:
        nonlocal record
        record = world.ledger.replace(record, attrs.evolve(record, initialised=sector))
        progress(sector * SECTOR_SIZE, geometry.payload_size)

    with unlocked(world, disk, record) as volume:
        write_tags(disk, volume.volume_key, geometry, first=record.initialised, durable=remember)
        write_journal_and_superblock(disk, geometry)
    return _finished(world, record)


def _finished(world: World, record: Record) -> Record:
    """Record that the volume is formatted, and its payload untouched."""
    ready = attrs.evolve(record, state=State.READY, payload=Untouched())
    return world.ledger.replace(record, ready)


def _check_device(disk: Disk, record: Record) -> None:
    if disk.size < layout.DEVICE_MIN:
        raise DeviceTooSmall(disk.name, disk.size, layout.DEVICE_MIN)
    if disk.size < record.capacity:
        raise DeviceTooSmall(disk.name, disk.size, record.capacity)
