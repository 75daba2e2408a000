"""From a device, and what is known of it, to a verified header and an unlocked volume."""

from contextlib import ExitStack
from typing import assert_never

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk, ReadableDisk, probe
from cloudcrypt.errors import DeviceMismatch, UnknownVolume
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2.recover import finish, recover
from cloudcrypt.mapper import Mapping
from cloudcrypt.model import BlockDevice, Expectation, KeyPolicy
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.stage.limits import check_capacity
from cloudcrypt.stage.world import (
    Adopt,
    Trust,
    World,
    candidate,
    expectation_of,
    require_agreement,
    require_proven,
)

HEADER_CHANGES = (State.ROTATING, State.REBINDING, State.RESTORING)
"""The states in which the copies of a header may differ."""


def known(
    world: World, device: BlockDevice, policy: KeyPolicy, trust: Trust | None
) -> tuple[Record, bool]:
    """Return the record of a volume, and whether it comes from the ledger.

    A volume that the ledger does not know gets a provisional record of what the caller trusts.

    Raises:
        UnknownVolume: the ledger does not know it, and the caller offers nothing.
        ExpectationConflict: what the caller expects contradicts the ledger.
        InvalidRequest: no volume has such a capacity.
        UnsupportedOperation: the device is known by its name alone, and has no seal to prove it.
    """
    if policy is not KeyPolicy.BOUND:
        require_proven(device, f"the policy {policy.value}, whose headers have no seal,")
    record = world.ledger.get(device.volume_id)
    if record is not None:
        require_agreement(record, policy, trust)
        return record, True
    match trust:
        case None:
            raise UnknownVolume(device.volume_id)
        case Expectation():
            capacity = device.size if trust.capacity is None else trust.capacity
            generation, uuid = trust.generation, trust.uuid
        case Adopt():
            generation, uuid, capacity = 1, None, device.size
        case _:
            assert_never(trust)
    check_capacity(capacity, trust.mode)
    record = Record(
        device.volume_id,
        State.READY,
        trust.mode,
        policy,
        capacity,
        generation,
        uuid,
        journal_sections=trust.journal_sections if isinstance(trust, Expectation) else None,
    )
    return record, False


def verified(
    world: World, disk: ReadableDisk, record: Record, *, adopt: bool = False
) -> tuple[luks2.VerifiedHeader, luks2.HeaderKeys]:
    """Return the verified header of ``disk`` and its keys, which the caller wipes.

    Args:
        world: where the keys come from.
        disk: read once.
        record: what the header must be.
        adopt: take the generation that the header states; the seal must verify under it.

    Raises:
        HeaderRefused: the header is not what the record says.
    """
    header = luks2.parse(luks2.read_header(disk))
    if adopt and record.policy is KeyPolicy.BOUND and "0" in header.metadata.tokens:
        record = attrs.evolve(record, generation=header.metadata.tokens["0"].generation)
    profile, expectation = world.profiles[record.policy], expectation_of(record)
    match record.policy:
        case KeyPolicy.CONSTELLATION:
            # The UUID becomes a key id: nothing unverified is sent to a key service.
            checked = luks2.verify(header, profile, expectation)
            return checked, world.header_keys(record, checked.uuid)
        case KeyPolicy.BOUND:
            keys = world.header_keys(record, header.uuid)
            with ExitStack() as refused:
                refused.push(keys)  # wiped unless the header is verified
                checked = luks2.verify(header, profile, expectation, keys.seal)
                refused.pop_all()
            return checked, keys


def unlocked(
    world: World, disk: ReadableDisk, record: Record, *, adopt: bool = False
) -> luks2.UnlockedVolume:
    """Return the unlocked volume of ``disk``; arguments as for `verified`.

    A volume whose change was cut short is unlocked as what it is now; nothing is written.

    Raises:
        HeaderRefused: the header is not what the record says, or does not open.
    """
    if record.state not in HEADER_CHANGES:
        header, keys = verified(world, disk, record, adopt=adopt)
    else:
        header = _recovered(world, luks2.read_header(disk), record)
        now = attrs.evolve(record, generation=header.generation)
        keys = world.header_keys(now, header.uuid)
    with keys:
        return luks2.unlock(header, keys.passphrase)


def settle(world: World, disk: Disk, record: Record) -> Record:
    """Finish, on the disk and in the ledger, a change that was cut short; return the new record.

    Args:
        world: where the keys come from, and the ledger.
        disk: the device, writable.
        record: a bound volume that is ROTATING, REBINDING or RESTORING.

    Raises:
        HeaderRefused: neither copy of the header is what the record allows.
    """
    header = made_whole(world, disk, record)
    erase_spare_area(disk, header)
    settled = attrs.evolve(record, state=State.READY, generation=header.generation)
    return world.ledger.replace(record, settled)


def made_whole(world: World, disk: Disk, record: Record) -> luks2.VerifiedHeader:
    """Make both copies of the header say what one of them says; arguments as for `settle`.

    Raises:
        HeaderRefused: neither copy of the header is what the record allows.
    """
    header = _recovered(world, luks2.read_header(disk), record)
    finish(disk, header)
    return header


def _recovered(world: World, raw: luks2.RawHeader, record: Record) -> luks2.VerifiedHeader:
    """Return what the header is of a bound volume whose change may have been cut short."""
    candidates = [candidate(world, record, record.generation)]
    if record.state is State.ROTATING:
        candidates.insert(0, candidate(world, record, record.generation + 1))
    try:
        return recover(raw, world.profiles[record.policy], candidates)
    finally:
        for item in candidates:
            item.seal_key.key.wipe()


def erase_spare_area(disk: Disk, header: luks2.VerifiedHeader) -> None:
    """Overwrite the keyslot area that ``header`` does not use: an old one must not open any more.

    On storage that remaps or snapshots, old content may survive; see the threat model.
    """
    sizes = LAYOUTS[header.mode]
    disk.write(sizes.other_offset(header.keyslot.area.offset), bytes(sizes.area_size))
    disk.sync()


def require_same(active: Mapping, device: BlockDevice) -> None:
    """Refuse unless ``device`` is the one that is mapped, and as large as it is said to be.

    Raises:
        DeviceMismatch: it is another one, or smaller.
        DeviceUnavailable: it cannot be opened.
    """
    identity, size = probe(device.path)
    if identity != active.device_identity:
        raise DeviceMismatch(str(device.path), identity, active.device_identity)
    if size < device.size:
        raise DeviceMismatch(str(device.path), f"{size} bytes", f"{device.size} bytes")
