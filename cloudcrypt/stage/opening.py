"""Opening, checking, growing and closing volumes. Opening never formats."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import HostDisk
from cloudcrypt.errors import DeviceIOError, PayloadForbids, StateForbids
from cloudcrypt.ledger import Making, Raw, Record, State, Untouched
from cloudcrypt.ledger.payload import name_of
from cloudcrypt.mapper import Engine, Mapper, Mapping, engine_for
from cloudcrypt.model import BlockDevice, KeyPolicy
from cloudcrypt.stage.growing import settle_growth
from cloudcrypt.stage.reading import HEADER_CHANGES, known, require_same, settle, unlocked
from cloudcrypt.stage.world import Adopt, Trust, World, hold, release

MappingT = TypeVar("MappingT", bound=Mapping)


@attrs.frozen
class Examined:
    """A volume that is looked at: unlocked, its disk open for reading, nothing recorded."""

    volume_id: str
    disk: HostDisk
    volume: luks2.UnlockedVolume

    def engine(self) -> Engine:
        """Return what reads its sectors.

        Raises:
            DeviceBusy: the kernel has the volume mapped.
            IntegrityError: superblock or journal of an integrity volume are not what they must be.
        """
        self.disk.require_unmapped()
        return engine_for(self.volume_id, self.disk, self.volume, writable=False)


def open_volume(
    world: World,
    mapper: Mapper[MappingT],
    device: BlockDevice,
    *,
    policy: KeyPolicy,
    trust: Trust | None,
    writable: bool,
    raw: bool,
) -> MappingT:
    """Verify, unlock and map a volume; a mapping that is active already is returned."""
    record, in_ledger = known(world, device, policy, trust)
    _require_formatted(record)
    raw = raw and writable
    if raw:
        _require_not_making(record)
    active = mapper.get(device.volume_id)
    if active is not None:
        same = _same(active, device, writable=writable)
        _touch(world, record, raw=raw)
        return same
    with ExitStack() as undo:
        if in_ledger:
            was_held = record.holder == world.holder
            record = hold(world, record)
            if not was_held:
                undo.callback(release, world, record.volume_id)
        # The device of a mapping that outlived its process is the kernel's: it is only read.
        exclusive = writable and not mapper.is_active(device.volume_id)
        disk = undo.enter_context(world.open_device(device, writable=exclusive))
        if record.state in HEADER_CHANGES and exclusive:
            record = settle(world, disk, record)
        record = settle_growth(world, disk, record)
        adopt = isinstance(trust, Adopt) and not in_ledger
        volume = undo.enter_context(unlocked(world, disk, record, adopt=adopt))
        if not in_ledger:
            _remember(world, record, volume.header)
            undo.callback(world.ledger.forget, record.volume_id)  # nothing vouches for it then
            undo.callback(release, world, record.volume_id)
        _touch(world, record, raw=raw)
        mapping = mapper.activate(device.volume_id, disk, volume, writable=writable)
        undo.pop_all()
    return mapping


@contextmanager
def examined_volume(
    world: World, device: BlockDevice, *, policy: KeyPolicy, trust: Trust | None
) -> Generator[Examined]:
    """Verify, unlock and read a volume without changing anything, on the disk or in the ledger."""
    record, in_ledger = known(world, device, policy, trust)
    _require_formatted(record)
    adopt = isinstance(trust, Adopt) and not in_ledger
    with world.open_device(device, writable=False) as disk:
        record = settle_growth(world, disk, record, record_it=False)
        with unlocked(world, disk, record, adopt=adopt) as volume:
            yield Examined(device.volume_id, disk, volume)


def close_volume(
    world: World, mapper: Mapper[MappingT], volume_id: str, *, deferred: bool = False
) -> None:
    """Flush and remove the mapping, and give up the hold unless others here still use it."""
    try:
        is_free = mapper.deactivate(volume_id, deferred=deferred)
    except DeviceIOError:  # unmapped all the same
        release(world, volume_id)
        raise
    if is_free:
        release(world, volume_id)


def _require_formatted(record: Record) -> None:
    unsealed = record.policy is KeyPolicy.CONSTELLATION and record.state is State.RESTORING
    unfinished = (State.NEW, State.FORMATTING, State.INITIALISING, State.REBINDING)
    if unsealed or record.state in unfinished:
        raise StateForbids(record.volume_id, record.state.value, "open")


def _require_not_making(record: Record) -> None:
    """Refuse to hand out a payload on which a filesystem may be under way.

    Raises:
        PayloadForbids: it is.
    """
    if isinstance(record.payload, Making):
        operation = "opening it for writing as a block device"
        raise PayloadForbids(record.volume_id, name_of(record.payload), operation)


def _touch(world: World, record: Record, *, raw: bool) -> None:
    """Record, before anybody can write to it, that a payload is not untouched any more."""
    if raw and isinstance(record.payload, Untouched):
        world.ledger.replace(record, attrs.evolve(record, payload=Raw()))


def _same(active: MappingT, device: BlockDevice, *, writable: bool) -> MappingT:
    """Return the active mapping if it is what is asked for."""
    require_same(active, device)
    if writable and not active.writable:
        raise StateForbids(active.volume_id, "open for reading", "open for writing")
    return active


def _remember(world: World, record: Record, header: luks2.VerifiedHeader) -> None:
    """Record a volume that the caller vouched for, now that it has opened."""
    world.ledger.add(
        attrs.evolve(record, uuid=header.uuid, generation=header.generation, holder=world.holder)
    )
