"""Header backups: what was verified, as 16 MiB that stock cryptsetup restores too."""

import attrs

from cloudcrypt import luks2
from cloudcrypt.disk import Disk
from cloudcrypt.errors import (
    DeviceNotBlank,
    HeaderRefused,
    IdentityRefused,
    InvalidRequest,
    StateForbids,
)
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import Step, layout
from cloudcrypt.luks2.binary import uuid_of
from cloudcrypt.model import BlockDevice, KeyPolicy, is_uuid
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.stage.reading import known, made_whole, settle, unlocked, verified
from cloudcrypt.stage.world import Adopt, Trust, World, held, require_proven


class BackupDisk:
    """A header backup seen as the disk it was taken of; it is never written."""

    def __init__(self, content: bytes, size: int) -> None:
        """Take the 16 MiB of a backup and the size in bytes of the disk.

        Raises:
            InvalidRequest: the content has another length.
        """
        if len(content) != layout.DATA_OFFSET:
            rule = f"exactly {layout.DATA_OFFSET} bytes, the header of one volume"
            raise InvalidRequest("length of the header backup", len(content), rule)
        self._content = content
        self.size = size
        self.name = "the header backup"

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from byte ``offset``."""
        buffer[:] = self._content[offset : offset + len(buffer)]


def backup_header(
    world: World, device: BlockDevice, *, policy: KeyPolicy, trust: Trust | None
) -> bytes:
    """Return the verified header of a volume as 16 MiB."""
    record, in_ledger = known(world, device, policy, trust)
    if record.state is not State.READY:
        raise StateForbids(record.volume_id, record.state.value, "a header backup")
    with world.open_device(device, writable=False) as disk:
        adopt = isinstance(trust, Adopt) and not in_ledger
        header, keys = verified(world, disk, record, adopt=adopt)
    with keys:
        return luks2.serialise(header, world.randomness).to_bytes()


def restore_header(
    world: World,
    device: BlockDevice,
    backup: bytes,
    *,
    policy: KeyPolicy,
    trust: Trust | None,
    overwrite: bool,
) -> Record:
    """Put a header backup back, after it has passed every check and opened."""
    require_proven(device, "restoring a header")
    record, in_ledger = known(world, device, policy, trust)
    if record.state not in (State.READY, State.RESTORING):
        raise StateForbids(record.volume_id, record.state.value, "restoring a header")
    with world.open_device(device, writable=True) as disk:
        source = BackupDisk(backup, disk.size)
        adopt = isinstance(trust, Adopt) and not in_ledger
        header, keys = verified(world, source, record, adopt=adopt)
        with keys, luks2.unlock(header, keys.passphrase) as volume:
            if not in_ledger:
                found = attrs.evolve(record, uuid=header.uuid, generation=header.generation)
                record = world.ledger.add(found)
            with held(world, record) as mine:
                _require_not_newer(mine, _adopted(world, disk, mine))
                if not overwrite and mine.state is not State.RESTORING:
                    _require_own(disk, header.uuid)
                return _restore(world, disk, mine, volume, keys)


def _restore(
    world: World,
    disk: Disk,
    record: Record,
    volume: luks2.UnlockedVolume,
    keys: luks2.HeaderKeys,
) -> Record:
    current = _current(world, disk, record)
    if current is not None and _is(current, volume.header):
        return world.ledger.replace(record, attrs.evolve(record, state=State.READY))
    restoring = world.ledger.replace(record, attrs.evolve(record, state=State.RESTORING))
    if record.policy is KeyPolicy.CONSTELLATION:
        luks2.serialise(volume.header, world.randomness).write_to(disk)
        with unlocked(world, disk, attrs.evolve(restoring, state=State.READY)):
            pass  # what was written opens
        return world.ledger.replace(restoring, attrs.evolve(restoring, state=State.READY))
    offset, newer_than = volume.header.keyslot.area.offset, 0
    if current is not None:  # leave what opens now whole until the new header is complete
        offset = LAYOUTS[record.mode].other_offset(current.keyslot.area.offset)
        newer_than = current.seqid
    image = luks2.rewrap(
        volume, keys, area_offset=offset, newer_than=newer_than, randomness=world.randomness
    )
    image.write_to(disk)
    return settle(world, disk, restoring)


def _current(world: World, disk: Disk, record: Record) -> luks2.VerifiedHeader | None:
    """Return the header on the disk if it is whole; what is damaged is to be replaced.

    What an earlier restore left behind is made whole first: its only good copy is not overwritten.
    """
    try:
        if record.state is State.RESTORING and record.policy is KeyPolicy.BOUND:
            return made_whole(world, disk, record)
        header, keys = verified(world, disk, record)
    except HeaderRefused:
        return None
    with keys:
        return header


def _is(current: luks2.VerifiedHeader, restored: luks2.VerifiedHeader) -> bool:
    """Say whether the disk has the header already, its keyslot area included."""
    return (current.metadata, current.area) == (restored.metadata, restored.area)


def _adopted(world: World, disk: Disk, record: Record) -> luks2.VerifiedHeader | None:
    """Return the header on the disk if it is whole, of this volume, and of whatever generation."""
    anywhere = attrs.evolve(record, uuid=None, state=State.READY)
    try:
        header, keys = verified(world, disk, anywhere, adopt=True)
    except HeaderRefused:
        return None
    with keys:
        return header


def _require_not_newer(record: Record, adopted: luks2.VerifiedHeader | None) -> None:
    """Refuse to go back behind the header that the disk has.

    Raises:
        IdentityRefused: it is of a later generation.
    """
    if adopted is not None and adopted.generation > record.generation:
        found = {"generation": adopted.generation}
        raise IdentityRefused(int(Step.TOKEN), Step.TOKEN.name, found, record.generation)


def _require_own(disk: Disk, uuid: str) -> None:
    """Refuse to overwrite what is neither blank nor a header, damaged or not, with this UUID.

    Raises:
        IdentityRefused: the disk has a header with another UUID.
        DeviceNotBlank: the disk has something else where the header goes.
    """
    raw = luks2.read_header(disk)
    copies = [raw.copy_bytes(secondary=second) for second in (False, True)]
    if not any(any(copy) for copy in copies):
        return
    stated = [text for text in map(uuid_of, copies) if text is not None]
    if not stated:
        raise DeviceNotBlank(disk.name, 0)
    for text in stated:
        if is_uuid(text) and text != uuid:
            raise IdentityRefused(int(Step.IDENTITY), Step.IDENTITY.name, {"uuid": text}, uuid)
