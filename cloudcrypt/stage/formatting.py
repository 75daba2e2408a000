"""Formatting: from a device that is known to be new to an encrypted volume."""

import warnings

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk
from cloudcrypt.errors import (
    AlreadyRegistered,
    DeviceTooSmall,
    InvalidRequest,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
)
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import layout
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode, check_volume_id
from cloudcrypt.profiles import XTS_LIMIT, XTS_RECOMMENDED
from cloudcrypt.sizes import format_size
from cloudcrypt.stage.blank import require_blank
from cloudcrypt.stage.reading import verified
from cloudcrypt.stage.world import World, held


class LargeVolumeWarning(UserWarning):
    """More data under one XTS key than IEEE 1619 recommends."""


def check_capacity(capacity: int) -> None:
    """Refuse a capacity in bytes that no volume can have; warn of one that is unwise.

    Raises:
        InvalidRequest: too small for header and one sector, or above 256 TiB of payload.
    """
    if capacity < layout.DEVICE_MIN:
        rule = f"at least {layout.DEVICE_MIN} bytes: 16 MiB of header and one sector"
        raise InvalidRequest("capacity", capacity, rule)
    payload = layout.payload_size(capacity)
    if payload > XTS_LIMIT:
        rule = f"at most {format_size(XTS_LIMIT)} under one XTS key (IEEE 1619)"
        raise InvalidRequest("capacity", capacity, rule)
    if payload > XTS_RECOMMENDED:
        warnings.warn(
            f"{format_size(payload)} under one XTS key; IEEE 1619 recommends at most "
            f"{format_size(XTS_RECOMMENDED)}: consider several volumes",
            LargeVolumeWarning,
            stacklevel=2,
        )


def register_new(
    world: World, volume_id: str, mode: Mode, capacity: int, policy: KeyPolicy
) -> Record:
    """Record a volume that was just created blank, unless it is recorded already."""
    check_volume_id(volume_id)
    check_capacity(capacity)
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


def format_volume(world: World, device: BlockDevice) -> Record:
    """Format a new volume, or do a format again that was cut short."""
    record = world.ledger.get(device.volume_id)
    if record is None:
        raise UnknownVolume(device.volume_id)
    if record.state not in (State.NEW, State.FORMATTING, State.READY):
        raise StateForbids(record.volume_id, record.state.value, "format")
    if record.mode is Mode.INTEGRITY:
        raise UnsupportedOperation(
            "formatting a disk with integrity",
            "format without integrity: this version writes and verifies headers of integrity "
            "volumes, but not yet the tags of their data",
        )
    with held(world, record) as record, world.open_device(device, writable=True) as disk:
        if record.state is State.READY:
            _, keys = verified(world, disk, record)
            with keys:
                return record
        return _format(world, disk, record)


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
        world.header_keys(record, uuid) as keys,
        luks2.new_volume_key(record.mode, world.randomness) as volume_key,
    ):
        image = luks2.build(
            profile, record.mode, uuid, volume_key, keys, randomness=world.randomness
        )
        image.write_to(disk)
    _, keys = verified(world, disk, record)
    with keys:
        return world.ledger.replace(record, attrs.evolve(record, state=State.READY))


def _check_device(disk: Disk, record: Record) -> None:
    if disk.size < layout.DEVICE_MIN:
        raise DeviceTooSmall(disk.name, disk.size, layout.DEVICE_MIN)
    if disk.size < record.capacity:
        raise DeviceTooSmall(disk.name, disk.size, record.capacity)
