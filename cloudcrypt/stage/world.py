"""What the verbs of the stage share: the world they act in, holds, and keys of an identity."""

import os
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import FileDisk, HostDisk, OpenDisk
from cloudcrypt.errors import (
    DeviceMismatch,
    ExpectationConflict,
    UnsupportedOperation,
    VolumeBusy,
)
from cloudcrypt.keys import KeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import Holder, Ledger, Record
from cloudcrypt.luks2.recover import Candidate
from cloudcrypt.model import BlockDevice, Expectation, KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES, Profile


@attrs.frozen
class Adopt:
    """Trust for an unknown volume: believe what the sealed header says of generation and UUID.

    The seal still proves that the header is of this volume id; what it cannot prove is that it is
    the newest one. The mode stays the caller's.
    """

    mode: Mode


Trust = Expectation | Adopt
"""What a caller offers in the place of a ledger record."""


def random_uuid() -> str:
    """Return a random lower-case UUID."""
    return str(uuid.uuid4())


@attrs.frozen
class World:
    """Everything the stage depends on; each comes in as an argument."""

    ledger: Ledger
    keys: KeyService
    holder: Holder
    profiles: Mapping[KeyPolicy, Profile] = PROFILES
    randomness: Callable[[int], bytes] = os.urandom
    new_uuid: Callable[[], str] = random_uuid
    open_disk: OpenDisk = FileDisk

    def open_device(self, device: BlockDevice, *, writable: bool) -> HostDisk:
        """Open a device, and prove that it is the one that was located.

        Raises:
            DeviceMismatch: the path names another one by now.
            DeviceUnavailable, DeviceBusy: it cannot be opened.
        """
        disk = self.open_disk(device.path, writable=writable)
        if device.identity not in (None, disk.identity):
            disk.close()
            raise DeviceMismatch(str(device.path), disk.identity, device.identity)
        if disk.size < device.size:
            disk.close()
            raise DeviceMismatch(str(device.path), f"{disk.size} bytes", f"{device.size} bytes")
        return disk

    def bound_keys(
        self, volume_id: str, generation: int, *, existing: bool = True
    ) -> luks2.BoundKeys:
        """Return the keys of a bound volume at one generation; the caller wipes them.

        Args:
            volume_id: of the volume.
            generation: of its keys.
            existing: the data key is in use: a key service must not make one.
        """
        with get_data_key(self.keys, bound_key_id(volume_id), existing=existing) as data_key:
            return luks2.derive(data_key, volume_id, generation)

    def header_keys(
        self, record: Record, header_uuid: str, *, existing: bool = True
    ) -> luks2.HeaderKeys:
        """Return the keys for a header of ``record``; the caller wipes them.

        Args:
            record: whose policy, volume id and generation count.
            header_uuid: the key id under the policy ``constellation``: verified, or our own.
            existing: the data key is in use: a key service must not make one. False only for a
                header that is about to be written under a new identity.
        """
        match record.policy:
            case KeyPolicy.BOUND:
                keys = self.bound_keys(record.volume_id, record.generation, existing=existing)
                return luks2.HeaderKeys(keys.passphrase, keys.seal)
            case KeyPolicy.CONSTELLATION:
                data_key = get_data_key(self.keys, header_uuid, existing=existing)
                return luks2.HeaderKeys(data_key, None)


def require_proven(device: BlockDevice, operation: str) -> None:
    """Refuse ``operation`` on a device that was found by its name alone.

    Raises:
        UnsupportedOperation: it was; only a sealed header proves such a device.
    """
    if not device.proven:
        raise UnsupportedOperation(
            f"{operation} on {device.path}, a device that is known by its name alone,",
            "check by hand which volume this device is, and vouch for it: "
            "attrs.evolve(device, proven=True); or use an instance type with NVMe devices",
        )


def hold(world: World, record: Record) -> Record:
    """Record that this host holds the volume.

    A hold of this node's earlier boot is void: whatever held it then is gone.

    Raises:
        VolumeBusy: another node holds it.
    """
    if record.holder == world.holder:
        return record
    if record.holder is not None and record.holder.node != world.holder.node:
        raise VolumeBusy(record.volume_id, record.holder.node)
    return world.ledger.replace(record, attrs.evolve(record, holder=world.holder))


def release(world: World, volume_id: str) -> None:
    """Record that this host holds the volume no more. Idempotent; a foreign hold stays."""
    record = world.ledger.get(volume_id)
    if record is not None and record.holder == world.holder:
        world.ledger.replace(record, attrs.evolve(record, holder=None))


@contextmanager
def held(world: World, record: Record) -> Generator[Record]:
    """Hold the volume for as long as a verb runs, or keep the hold that is there."""
    was_held = record.holder == world.holder
    record = hold(world, record)
    try:
        yield record
    finally:
        if not was_held:
            release(world, record.volume_id)


def expectation_of(record: Record) -> Expectation:
    """Return what the ledger's record expects of the disk."""
    return Expectation(
        record.mode, record.generation, record.uuid, record.capacity, record.journal_sections
    )


def candidate(world: World, record: Record, generation: int) -> Candidate:
    """Return what the header of ``record`` is if it is of ``generation``."""
    keys = world.bound_keys(record.volume_id, generation)
    keys.passphrase.wipe()
    expectation = attrs.evolve(expectation_of(record), generation=generation)
    return Candidate(expectation, keys.seal)


def require_agreement(record: Record, policy: KeyPolicy, trust: Trust | None) -> None:
    """Refuse what the caller says if it contradicts the ledger.

    Raises:
        ExpectationConflict: they differ in a fact that both state.
    """
    stated: list[tuple[str, object, object]] = [("policy", policy, record.policy)]
    if trust is not None:
        stated.append(("mode", trust.mode, record.mode))
    if isinstance(trust, Expectation):
        stated += [
            ("generation", trust.generation, record.generation),
            ("UUID", trust.uuid, record.uuid),
            ("capacity", trust.capacity, record.capacity),
            ("journal sections", trust.journal_sections, record.journal_sections),
        ]
    for field, expected, recorded in stated:
        if expected is not None and expected != recorded:
            raise ExpectationConflict(record.volume_id, field, expected, recorded)


def require_bound(record: Record, operation: str) -> None:
    """Refuse ``operation`` unless the policy is ``bound``.

    Raises:
        UnsupportedOperation: the policy is ``constellation``, whose headers have no seal.
    """
    if record.policy is not KeyPolicy.BOUND:
        raise UnsupportedOperation(
            f"{operation} of a volume with policy constellation",
            "use the policy bound for volumes that Constellation need not read",
        )
