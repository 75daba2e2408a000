"""Changing the keys of a bound volume: rotation to the next generation, rebinding of a copy.

Both write a new keyslot at the area offset that is not in use and then switch the header over, so
that at every crash point the volume opens with exactly one of the two identities.
"""

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk
from cloudcrypt.errors import (
    DataKeyAbsent,
    IdentityRefused,
    InvalidRequest,
    StateForbids,
    SuperblockRefused,
    UnknownVolume,
)
from cloudcrypt.integrity import Geometry, superblock
from cloudcrypt.integrity.geometry import sections_of
from cloudcrypt.ledger import Filesystem, Payload, Raw, Record, State, Unrecorded
from cloudcrypt.luks2 import Step
from cloudcrypt.luks2.recover import Candidate, finish, recover
from cloudcrypt.model import (
    Blank,
    BlockDevice,
    ClonedFrom,
    Expectation,
    KeyPolicy,
    Mode,
    Origin,
    RestoredFrom,
)
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.stage.limits import check_capacity
from cloudcrypt.stage.reading import settle, unlocked
from cloudcrypt.stage.world import (
    World,
    candidate,
    expectation_of,
    held,
    require_bound,
    require_proven,
)


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
            rule = f"{record.generation + 1}: one generation at a time"
            raise InvalidRequest("generation", generation, rule)
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
    require_proven(device, "rebinding")  # the origin itself has the same header
    if origin.volume_id == device.volume_id:
        raise InvalidRequest("origin", origin.volume_id, "another volume than the copy itself")
    record = world.ledger.get(device.volume_id)
    if record is not None and record.state is State.READY and _same(record.origin, origin):
        return record
    if record is not None and not (
        record.state is State.REBINDING and _same(record.origin, origin)
    ):
        raise StateForbids(record.volume_id, record.state.value, "rebinding it to another origin")
    expected = _source(world, origin, expectation)
    # What the ledger says of the origin's size binds no copy: it may be from before a growth.
    stated = expected if expectation is not None else attrs.evolve(expected, capacity=None)
    source = Candidate(stated, _seal_of(world, origin, expected))
    try:
        with world.open_device(device, writable=True) as disk:
            if record is None:
                capacity = _capacity(device.volume_id, disk, expected)
                record = _begin(world, disk, device.volume_id, origin, source, capacity)
            with held(world, record) as mine:
                return _rebind(world, disk, mine, source)
    finally:
        source.seal_key.key.wipe()


def _same(recorded: Origin, stated: RestoredFrom | ClonedFrom) -> bool:
    """Say whether both are the same origin; a generation left open agrees with any."""
    if isinstance(recorded, Blank) or type(recorded) is not type(stated):
        return False
    generations = {recorded.generation, stated.generation} - {None}
    return recorded.volume_id == stated.volume_id and len(generations) <= 1


def _begin(
    world: World,
    disk: Disk,
    volume_id: str,
    origin: RestoredFrom | ClonedFrom,
    source: Candidate,
    capacity: int,
) -> Record:
    """Record that a copy is to be rebound, now that it is known to be one of ``origin``."""
    expected = source.expectation
    recover(luks2.read_header(disk), world.profiles[KeyPolicy.BOUND], [source])
    begun = Record(
        volume_id,
        State.REBINDING,
        expected.mode,
        KeyPolicy.BOUND,
        capacity,
        uuid=world.new_uuid(),
        origin=origin,
        journal_sections=expected.journal_sections,
        payload=_payload_of(world, origin),
    )
    check_capacity(begun.capacity, begun.mode)
    return world.ledger.add(begun)


def _payload_of(world: World, origin: RestoredFrom | ClonedFrom) -> Payload:
    """Return what a copy holds, as far as the ledger knows it of the origin.

    A copy is from before: that the origin is untouched, or that a filesystem was under way, says
    nothing for certain. A filesystem is looked for before it is used.
    """
    record = world.ledger.get(origin.volume_id)
    if record is not None and isinstance(record.payload, Filesystem | Raw):
        return record.payload
    return Unrecorded()


def _capacity(volume_id: str, disk: Disk, expected: Expectation) -> int:
    """Return how many bytes of a copy count.

    A copy may be older than the last growth of its origin: without integrity it is as large as its
    device. With integrity the superblock tells whether the copy fills its device or is what was
    expected; it was computed from one of the two.
    """
    if expected.mode is Mode.CRYPT or expected.capacity is None:
        return disk.size if expected.capacity is None else min(disk.size, expected.capacity)
    try:
        geometry = Geometry.of(disk.size, expected.journal_sections)
        superblock.require(volume_id, disk, geometry)
    except SuperblockRefused:
        geometry = Geometry.of(expected.capacity, expected.journal_sections)
        superblock.require(volume_id, disk, geometry)
        return expected.capacity
    return disk.size


def _rebind(world: World, disk: Disk, record: Record, origin: Candidate) -> Record:
    profile = world.profiles[record.policy]
    own = _own(world, record)
    header = recover(luks2.read_header(disk), profile, [*own, origin])
    for item in own:
        item.seal_key.key.wipe()
    if header.uuid != record.uuid:
        finish(disk, header)
        origin_keys = world.bound_keys(origin.seal_key.volume_id, origin.seal_key.generation)
        with (
            luks2.HeaderKeys(origin_keys.passphrase, origin_keys.seal) as old_keys,
            luks2.unlock(header, old_keys.passphrase) as volume,
            world.header_keys(record, "", existing=False) as keys,
        ):
            spare = LAYOUTS[record.mode].other_offset(header.keyslot.area.offset)
            image = luks2.rewrap(
                volume, keys, area_offset=spare, uuid=record.uuid, randomness=world.randomness
            )
            image.write_to(disk)
    return settle(world, disk, record)


def _own(world: World, record: Record) -> list[Candidate]:
    """Return what the header of a copy is once it is rebound; nothing if it has no key yet."""
    try:
        return [candidate(world, record, record.generation)]
    except DataKeyAbsent:
        return []


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
    sections = record.journal_sections
    if record.mode is Mode.INTEGRITY and sections is None:
        sections = sections_of(record.capacity)
    return attrs.evolve(expectation_of(record), generation=generation, journal_sections=sections)


def _seal_of(world: World, origin: RestoredFrom | ClonedFrom, source: Expectation) -> luks2.SealKey:
    keys = world.bound_keys(origin.volume_id, source.generation)
    keys.passphrase.wipe()
    return keys.seal
