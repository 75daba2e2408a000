"""The devices of one mapping, from the payload down to the disk: checked, prepared, cleared away.

From the top: dm-crypt; with integrity dm-integrity; and where the disk is larger than an integrity
volume, a linear device that ends where the volume does. Without it the kernel would write the size
of the disk into the superblock, and map a tail without tags at the next activation.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.disk import HostDisk
from cloudcrypt.errors import (
    DeviceIOError,
    DeviceMismatch,
    DeviceUnavailable,
    MappingConflict,
    UnsupportedOperation,
)
from cloudcrypt.integrity import IntegrityEngine, journal, superblock
from cloudcrypt.integrity.geometry import UNIT
from cloudcrypt.luks2 import UnlockedVolume, VerifiedHeader
from cloudcrypt.mapper._block import Block, direct, opened_mapping
from cloudcrypt.mapper._devicemapper import Active, Devices
from cloudcrypt.mapper._names import integrity_name, limit_name, node
from cloudcrypt.mapper._proof import has_our_key
from cloudcrypt.mapper._table import (
    crypt_layer,
    crypt_uuid,
    integrity_layer,
    limit_layer,
    require,
    require_uuid,
)
from cloudcrypt.mapper.engines import geometry_of, payload_size
from cloudcrypt.model import Mode

_LUKS2: Final = "CRYPT-LUKS2-"
_OURS: Final = ("CRYPT-INTEGRITY-", "CRYPT-SUBDEV-", "CLOUDCRYPT-LIMIT-")


def payload_sectors(header: VerifiedHeader) -> int:
    """Return the sectors of payload of a volume, 512 bytes each."""
    return payload_size(header.mode, header.capacity, header.journal_sections) // UNIT


def require_stack(
    devices: Devices,
    name: str,
    header: VerifiedHeader,
    block: Block,
    *,
    discards: bool,
    any_length: bool = False,
) -> Active:
    """Return the top of the mapping ``name`` if all its devices are the expected ones.

    Args:
        devices: the device-mapper.
        name: of the mapping.
        header: of the volume.
        block: the device that must be at the bottom.
        discards: whether they must be passed on.
        any_length: let the mapping of a volume without integrity have any length.

    Raises:
        MappingConflict: one of them is not.
    """
    top = require_uuid(devices.find(name), name, [crypt_uuid(header, name)])
    below = block.number
    if header.mode is Mode.INTEGRITY:
        limit = devices.find(limit_name(name))
        if limit is not None:
            require(limit, limit_layer(header, name, below))
            below = limit.number
        found = devices.find(integrity_name(name))
        below = require(found, integrity_layer(header, name, below, geometry_of(header))).number
    sectors = payload_sectors(header)
    expected = crypt_layer(header, name, below, sectors=sectors, discards=discards)
    has_any = any_length and header.mode is Mode.CRYPT
    return require(top, expected, ignoring=("length",) if has_any else ())


def require_key(top: Active, volume: UnlockedVolume, block: Block) -> None:
    """Return if a live mapping encrypts with the key of the volume.

    Raises:
        MappingConflict: nothing shows that it does.
        DeviceIOError: the device below failed.
    """
    path = node(top.name)
    descriptor = opened_mapping(path, top.number, writable=False)
    try:
        with direct(str(path), descriptor) as mapped, direct(block.name, block.descriptor) as below:
            if not has_our_key(volume, mapped, below, top.sectors * UNIT):
                raise MappingConflict(top.name, "key", "another one", "that of the volume")
    finally:
        os.close(descriptor)


def require_luks2(top: Active) -> None:
    """Return if a device is a LUKS2 mapping, made under the name that it has.

    Raises:
        MappingConflict: it is something else.
    """
    if not (top.uuid.startswith(_LUKS2) and top.uuid.endswith(f"-{top.name}")):
        raise MappingConflict(top.name, "uuid", top.uuid, f"{_LUKS2}...-{top.name}")


def has_leftovers(devices: Devices, name: str) -> bool:
    """Say whether devices of a mapping are there, below the top or without it."""
    return any(devices.find(lower) is not None for lower in _below(name))


def remove_leftovers(devices: Devices, name: str) -> bool:
    """Remove what a process left that died while it mapped or unmapped the volume.

    Returns:
        Whether all of it is gone; what is looked at just now goes when that is over.

    Raises:
        MappingConflict: a name is that of something else.
    """
    for lower in _below(name):
        found = devices.find(lower)
        if found is not None and not found.uuid.startswith(_OURS):
            raise MappingConflict(lower, "uuid", found.uuid, "absent")
        if found is not None:
            devices.remove(lower, deferred=True)
    return not has_leftovers(devices, name)


def _below(name: str) -> tuple[str, str]:
    return integrity_name(name), limit_name(name)


def prepare_integrity(
    volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
) -> None:
    """Check superblock and journal before the kernel does, and replay the journal.

    The kernel would believe every entry; here its tag is verified first.

    Raises:
        IntegrityError: they are not what they must be; nothing was written.
        UnsupportedOperation: the journal has to be replayed, and nothing may be written.
        DeviceIOError: the device failed.
    """
    geometry = geometry_of(volume.header)
    if writable:
        IntegrityEngine(volume_id, disk, volume, geometry, writable=True)
        return
    superblock.require(volume_id, disk, geometry)
    if not journal.read(volume_id, disk, geometry).is_clean:
        raise UnsupportedOperation(
            "mapping for reading a volume with integrity that was not closed cleanly",
            "open it for writing once, or read it in user space",
        )


@contextmanager
def bottom(devices: Devices, name: str, header: VerifiedHeader, block: Block) -> Generator[Block]:
    """Yield what the volume is mapped from: the disk, or a device that hides its tail.

    That device goes when it is no longer in use: at once if nothing was mapped in the block.

    Raises:
        DeviceBusy: the disk is in use.
        MappingFailed: the kernel refused.
    """
    if header.mode is Mode.CRYPT or block.size // UNIT <= header.capacity // UNIT:
        yield block
        return
    layer = limit_layer(header, name, block.number)
    made = devices.limit(layer.name, layer.uuids[0], block.number, header.capacity // UNIT)
    try:
        require(made, layer)
        path = Path("/dev") / f"dm-{made.number.partition(':')[2]}"  # devtmpfs; no udev needed
        descriptor = opened_mapping(path, made.number, writable=False)
        try:
            yield attrs.evolve(block, descriptor=descriptor, number=made.number)
        finally:
            os.close(descriptor)
    finally:
        devices.remove(layer.name, deferred=True)


def flush(top: Active) -> DeviceIOError | None:
    """Make durable what was written to a mapping; return the error if that failed."""
    path = node(top.name)
    try:
        descriptor = opened_mapping(path, top.number, writable=False)
    except (DeviceUnavailable, DeviceMismatch) as error:
        failure = DeviceIOError(str(path), "flush", 0, error.message)
        failure.__cause__ = error
        return failure
    try:
        os.fsync(descriptor)
    except OSError as error:
        return DeviceIOError(str(path), "flush", 0, error.strerror or "unknown error")
    finally:
        os.close(descriptor)
    return None
