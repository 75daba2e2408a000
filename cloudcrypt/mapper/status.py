"""What the kernel says of a mapping: for people and for tools that watch, not a proof."""

import enum
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.errors import DeviceUnavailable
from cloudcrypt.integrity.geometry import UNIT
from cloudcrypt.mapper import _stack
from cloudcrypt.mapper._devicemapper import Active, Devices
from cloudcrypt.mapper._names import integrity_name, limit_name, mapping_name, node
from cloudcrypt.model import Mode


class MappingState(enum.Enum):
    """What becomes of a mapping when it is used."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Reads and writes wait until somebody resumes it."""
    LEAVING = "leaving"
    """Closed; the kernel removes it as soon as its last user has left."""
    INCOMPLETE = "incomplete"
    """Devices below without the top: somebody is mapping or unmapping it, or died meanwhile."""


@attrs.frozen
class MappedDevice:
    """One device of a mapping.

    ``number`` is ``major:minor``; ``table`` has the lines that dmsetup(8) would show, without a
    key.
    """

    name: str
    number: str
    uuid: str
    table: tuple[str, ...]


@attrs.frozen
class MappingStatus:
    """A mapping as it is now, whoever made it."""

    volume_id: str
    name: str
    path: Path
    """The block device with the payload."""
    state: MappingState
    mode: Mode
    """With integrity if there is a dm-integrity device below."""
    size: int
    """Bytes of payload; 0 if it is incomplete."""
    read_only: bool
    users: int
    """How many have it open; a mount is one, and so is another device that it is part of."""
    holders: tuple[str, ...]
    """The kernel's devices that it is part of, such as ``dm-3``."""
    devices: tuple[MappedDevice, ...]
    """From the top to the one above the disk."""


_LOOKS: Final = 3
"""Looks at a mapping that goes away meanwhile: the second sees it gone, or another one in its
place, which could go away as well."""


def status_of(devices: Devices, volume_id: str) -> MappingStatus | None:
    """Return what the device-mapper says of the mapping of a volume; None if there is none.

    A mapping that goes away between two questions is asked about anew.

    Raises:
        MappingConflict: what has the name is no LUKS2 mapping.
        DeviceUnavailable: the kernel lists the mapping, and does not know its device.
    """
    for _ in range(_LOOKS - 1):
        with suppress(DeviceUnavailable):
            return _look(devices, volume_id)
    return _look(devices, volume_id)


def _look(devices: Devices, volume_id: str) -> MappingStatus | None:
    name = mapping_name(volume_id)
    top = devices.find(name)
    if top is not None:
        _stack.require_luks2(top)
    below = [devices.find(each) for each in (integrity_name(name), limit_name(name))]
    found = [each for each in (top, *below) if each is not None]
    if not found:
        return None
    return MappingStatus(
        volume_id,
        name,
        node(name),
        _state(top),
        Mode.CRYPT if below == [None, None] else Mode.INTEGRITY,
        0 if top is None else top.sectors * UNIT,
        top is not None and top.readonly,
        0 if top is None else top.users,
        () if top is None else devices.holders(top.number),
        tuple(_described(each) for each in found),
    )


def _state(top: Active | None) -> MappingState:
    if top is None:
        return MappingState.INCOMPLETE
    if top.leaving:
        return MappingState.LEAVING
    return MappingState.SUSPENDED if top.suspended else MappingState.ACTIVE


def _described(found: Active) -> MappedDevice:
    lines = [
        f"{target.start} {target.length} {target.kind} {target.parameters}".rstrip()
        for target in found.targets
    ]
    return MappedDevice(found.name, found.number, found.uuid, tuple(lines))
