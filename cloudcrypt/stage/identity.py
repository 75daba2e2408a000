"""Changing the keys of a bound volume: rotation to the next generation, rebinding of a copy.

Both write a new keyslot at the area offset that is not in use and then switch the header over, so
that at every crash point the volume opens with exactly one of the two identities.
"""

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk
from cloudcrypt.errors import IdentityRefused, StateForbids, UnknownVolume
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import Step
from cloudcrypt.luks2.recover import Candidate, finish, recover
from cloudcrypt.model import BlockDevice, ClonedFrom, Expectation, KeyPolicy, RestoredFrom
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.stage.reading import settle, unlocked
from cloudcrypt.stage.world import World, candidate, expectation_of, held, require_bound


def rotate_volume(world: World, device: BlockDevice, generation: int | None) -> Record:
    """Move a bound volume to the next generation, or finish a rotation that was cut short."""
    record = world.ledger.get(device.volume_id)
    if record is None:
        raise UnknownVolume(device.volume_id)
    require_bound(record, "rotation")
    if record.state not in (State.READY, State.ROTATING):
        raise StateForbids(record.volume_id, record.state.value, "rotation")
    goal = record.generation + 1
    with held(world, record) as found, world.open_device(device, writable=True) as disk:
        record = settle(world, disk, found) if found.state is State.ROTATING else found
        if record.generation == (goal if generation is None else generation):
            return record
        if generation not in (None, record.generation + 1):
            raise StateForbids(
                record.volume_id, f"of generation {record.generation}", f"going to {generation}"
            )
        return _rotate(world, disk, record)


def _rotate(world: World, disk: Disk, record: Record) -> Record:
    goal = attrs.evolve(record, generation=record.generation + 1)
    with (
        unlocked(world, disk, record) as volume,
        world.header_keys(goal, volume.header.uuid) as keys,
    ):
        spare = LAYOUTS[record.mode].other_offset(volume.header.keyslot.area.offset)
        image = luks2.rewrap(volume, keys, area_offset=spare, randomness=world.randomness)
        record = world.ledger.replace(record, attrs.evolve(record, state=State.ROTATING))
        image.write_to(disk)
    record = settle(world, disk, record)
    if record.generation != goal.generation:
        found = {"generation": record.generation}
        raise IdentityRefused(int(Step.SEAL), Step.SEAL.name, found, goal.generation)
    return record


def rebind_volume(
    world: World,
    device: BlockDevice,
    origin: RestoredFrom | ClonedFrom,
    expectation: Expectation | None,
) -> Record:
    """Give a copy of a bound volume the identity of its own volume id, or finish doing so."""
    record = world.ledger.get(device.volume_id)
    if record is not None and record.state is State.READY and record.origin == origin:
        return record
    if record is not None and (record.state is not State.REBINDING or record.origin != origin):
        raise StateForbids(record.volume_id, record.state.value, "rebinding it to another origin")
    expected = _source(world, origin, expectation)
    source = Candidate(expected, _seal_of(world, origin, expected))
    with world.open_device(device, writable=True) as disk:
        if record is None:
            record = _begin(world, disk, device, origin, source)
        with held(world, record) as record:
            return _rebind(world, disk, record, source)


def _begin(
    world: World,
    disk: Disk,
    device: BlockDevice,
    origin: RestoredFrom | ClonedFrom,
    source: Candidate,
) -> Record:
    """Record that a copy is to be rebound, now that it is known to be one of ``origin``."""
    profile, expected = world.profiles[KeyPolicy.BOUND], source.expectation
    recover(luks2.read_header(disk), profile, [source])
    begun = Record(
        device.volume_id,
        State.REBINDING,
        expected.mode,
        KeyPolicy.BOUND,
        expected.capacity or device.size,
        uuid=world.new_uuid(),
        origin=origin,
        journal_sections=expected.journal_sections,
    )
    return world.ledger.add(begun)


def _rebind(world: World, disk: Disk, record: Record, origin: Candidate) -> Record:
    profile = world.profiles[record.policy]
    raw = luks2.read_header(disk)
    header = recover(raw, profile, [candidate(world, record, record.generation), origin])
    if header.uuid != record.uuid:
        finish(disk, raw, header)
        origin_keys = world.bound_keys(origin.seal_key.volume_id, origin.seal_key.generation)
        with (
            luks2.HeaderKeys(origin_keys.passphrase, origin_keys.seal) as old_keys,
            luks2.unlock(header, old_keys.passphrase) as volume,
            world.header_keys(record, "") as keys,
        ):
            spare = LAYOUTS[record.mode].other_offset(header.keyslot.area.offset)
            image = luks2.rewrap(
                volume, keys, area_offset=spare, uuid=record.uuid, randomness=world.randomness
            )
            image.write_to(disk)
    return settle(world, disk, record)


def _source(
    world: World, origin: RestoredFrom | ClonedFrom, expectation: Expectation | None
) -> Expectation:
    """Return what the header of the copy is before it is rebound."""
    if expectation is not None:
        return expectation
    record = world.ledger.get(origin.volume_id)
    if record is None:
        raise UnknownVolume(origin.volume_id)
    require_bound(record, "rebinding")
    generation = record.generation if origin.generation is None else origin.generation
    return attrs.evolve(expectation_of(record), generation=generation)


def _seal_of(world: World, origin: RestoredFrom | ClonedFrom, source: Expectation) -> luks2.SealKey:
    keys = world.bound_keys(origin.volume_id, source.generation)
    keys.passphrase.wipe()
    return keys.seal
