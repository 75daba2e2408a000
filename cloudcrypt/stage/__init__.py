"""The story of the node: from a device to a volume that can be read and written.

`Stage` has one verb for each thing that happens to a volume. Every verb is idempotent: called again
after a crash, it finishes what it began. Opening never formats, and formatting needs a ledger
record that says the volume is new.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from cloudcrypt import luks2, mapper
from cloudcrypt.disk import FileDisk, OpenDisk
from cloudcrypt.errors import UnknownVolume
from cloudcrypt.filesystem import Filesystems
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Holder, Ledger, Record
from cloudcrypt.model import BlockDevice, ClonedFrom, Expectation, KeyPolicy, Mode, RestoredFrom
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.stage import backup as _backup
from cloudcrypt.stage import formatting as _formatting
from cloudcrypt.stage import growing as _growing
from cloudcrypt.stage import identity as _identity
from cloudcrypt.stage import opening as _opening
from cloudcrypt.stage.filesystem import FilesystemStatus, VolumeFilesystem
from cloudcrypt.stage.limits import LargeVolumeWarning, Progress
from cloudcrypt.stage.opening import Examined
from cloudcrypt.stage.world import Adopt, Trust, World, random_uuid

__all__ = [
    "Adopt",
    "Examined",
    "FilesystemStatus",
    "LargeVolumeWarning",
    "Progress",
    "Stage",
    "Trust",
    "VolumeFilesystem",
]


def _silent(done: int, total: int) -> None:
    """Take no notice of progress."""


MappingT = TypeVar("MappingT", bound=mapper.Mapping)


class Stage(Generic[MappingT]):
    """The verbs of the node. Safe to use from several threads, for different volumes."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyService,
        mapper: mapper.Mapper[MappingT],
        *,
        holder: Holder | None = None,
        profiles: Mapping[KeyPolicy, Profile] = PROFILES,
        randomness: Callable[[int], bytes] = os.urandom,
        new_uuid: Callable[[], str] = random_uuid,
        open_disk: OpenDisk = FileDisk,
        filesystems: Filesystems | None = None,
    ) -> None:
        """Act with these parts.

        Args:
            ledger: the trust anchor; must lie where the storage provider cannot change it.
            keys: where data keys come from.
            mapper: how an unlocked volume becomes readable.
            holder: who holds the volumes that are opened; by default this host and boot.
            profiles: what is written and accepted under each policy.
            randomness: returns that many random bytes.
            new_uuid: returns a fresh lower-case UUID.
            open_disk: opens the device at a path.
            filesystems: how filesystems are made and mounted; by default as this host does it.
        """
        self._mapper = mapper
        self._filesystems = Filesystems() if filesystems is None else filesystems
        self._world = World(
            ledger,
            keys,
            holder or Holder.this_host(),
            profiles,
            randomness,
            new_uuid,
            open_disk,
        )

    def register_new(
        self,
        volume_id: str,
        *,
        capacity: int,
        mode: Mode = Mode.CRYPT,
        policy: KeyPolicy = KeyPolicy.BOUND,
    ) -> Record:
        """Record that a volume was just created blank; the only way to a volume that is new.

        Idempotent: a volume that is registered already, with the same mode and policy, keeps its
        record, whatever became of it.

        Args:
            volume_id: the provider's canonical id.
            capacity: bytes of the device, header included.
            mode: with integrity or without.
            policy: how the keyslot gets its passphrase.

        Raises:
            AlreadyRegistered: the volume has a record with other facts.
            InvalidRequest: the capacity is too small, or above 256 TiB.
            LedgerUnavailable: nothing is known to be recorded.
        """
        return _formatting.register_new(self._world, volume_id, mode, capacity, policy)

    def format(self, device: BlockDevice, *, progress: Progress = _silent) -> Record:
        """Format a volume that the ledger says is new. Nothing else ever formats.

        Idempotent: a format that was cut short is gone on with; a volume that is formatted already
        is verified and left alone. A failure leaves a volume that is new, or to be formatted again.
        With integrity the tags of the whole payload are written, 0.8 % of it.

        Args:
            device: a proven device.
            progress: is told how many bytes of an integrity volume are initialised, of how many.

        Raises:
            UnknownVolume: the volume was never registered.
            DeviceNotBlank: the device holds something; nothing was written.
            DeviceTooSmall, DeviceBusy, DeviceIOError: the device is unfit.
            HeaderRefused: the volume is recorded as formatted, and its header is not right.
        """
        _formatting.format_volume(self._world, device, progress)
        return self._record(device.volume_id)

    def open(
        self,
        device: BlockDevice,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
        writable: bool = True,
        raw: bool = True,
    ) -> MappingT:
        """Verify, unlock and map a volume. Never formats.

        Idempotent: a volume that this mapper has open is returned as it is. A rotation or restore
        that was cut short is finished first. A failure leaves nothing mapped and nothing held.

        Args:
            device: a proven device.
            policy: must be the one the volume was formatted with.
            trust: for a volume that the ledger does not know: what the caller knows of it, or
                `Adopt`. It is recorded once the volume has opened. For a volume that the ledger
                knows it must agree with the record.
            writable: map for writing, and hold the device exclusively.
            raw: the payload is for the caller to write to. If nothing was written to it so far,
                that is recorded, and no filesystem is ever made on it. Say False in order to make
                a filesystem, or to mount one.

        Raises:
            UnknownVolume: the ledger does not know the volume, and ``trust`` is None.
            ExpectationConflict: what the caller says contradicts the ledger.
            HeaderRefused: the header is not what it must be; its ``step`` says where.
            StateForbids: the volume is not formatted, or must be rebound first.
            PayloadForbids: a filesystem is being made on it, and ``raw`` is not False.
            VolumeBusy, DeviceBusy: another node, or process, has it.
            IntegrityError: superblock or journal of an integrity volume are not what they must be.
            UnsupportedOperation: the mapper cannot map this mode.
        """
        return _opening.open_volume(
            self._world,
            self._mapper,
            device,
            policy=policy,
            trust=trust,
            writable=writable,
            raw=raw,
        )

    def filesystem(self, volume_id: str) -> VolumeFilesystem[MappingT]:
        """Return the verbs of the filesystem of a volume; nothing is done yet."""
        return VolumeFilesystem(self._world, self._mapper, self._filesystems, volume_id)

    def check(
        self,
        device: BlockDevice,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
    ) -> luks2.UnlockedVolume:
        """Verify and unlock a volume, and change nothing anywhere; arguments and errors as `open`.

        The caller wipes the key of what is returned: use it as a context manager. To read the
        payload of the device that was verified, use `examine`.
        """
        with self.examine(device, policy=policy, trust=trust) as examined:
            volume = examined.volume
            return luks2.UnlockedVolume(volume.header, volume.volume_key.copy())

    def examine(
        self,
        device: BlockDevice,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
    ) -> AbstractContextManager[Examined]:
        """Verify and unlock a volume for reading, and change nothing anywhere.

        Arguments and errors are those of `open`. Within the block the device is open and locked
        against writers; after it the key is wiped.
        """
        return _opening.examined_volume(self._world, device, policy=policy, trust=trust)

    def close(self, volume_id: str, *, deferred: bool = False) -> None:
        """Flush and unmap a volume, wipe its key, and give up the hold. Idempotent.

        Args:
            volume_id: which volume; another process may have opened it.
            deferred: if it is in use, mounted for instance, let the kernel unmap it as soon as it
                no longer is. It stays held by this host then.

        Raises:
            DeviceBusy: it is in use, and ``deferred`` is not said.
            DeviceIOError: the flush failed; the volume is unmapped and released all the same.
        """
        _opening.close_volume(self._world, self._mapper, volume_id, deferred=deferred)

    def grow(
        self,
        device: BlockDevice,
        *,
        integrity_growth: bool = False,
        progress: Progress = _silent,
    ) -> Record:
        """Let a volume use all of a device that has become larger. Idempotent.

        A volume with integrity must be closed, and its new tail blank; a crash at any point leaves
        the old size or the new one, and calling again finishes. Another volume may be open.

        Args:
            device: a proven device.
            integrity_growth: grow a volume with integrity, too.
            progress: is told how many bytes of its tail are initialised, of how many.

        Raises:
            CapacityRefused: the device is smaller than recorded.
            InvalidRequest: the payload would exceed 256 TiB.
            UnsupportedOperation: the volume has integrity, and ``integrity_growth`` is not said.
            DeviceNotBlank: the tail that an integrity volume would get holds something.
            IntegrityError: superblock or journal are not what they must be.
            UnknownVolume, StateForbids, VolumeBusy, DeviceBusy: the record or another use forbids
                it.
        """
        _growing.grow_volume(
            self._world,
            self._mapper,
            device,
            integrity_growth=integrity_growth,
            progress=progress,
        )
        return self._record(device.volume_id)

    def require_growable(self, volume_id: str, *, integrity_growth: bool = False) -> Record:
        """Return the record of a volume if `grow` may be called for it; to ask before it grows.

        Raises:
            UnsupportedOperation: the volume has integrity, and ``integrity_growth`` is not said.
            UnknownVolume, StateForbids: the record forbids it.
        """
        return _growing.require_growable(self._world, volume_id, integrity_growth=integrity_growth)

    def rotate(self, device: BlockDevice, *, generation: int | None = None) -> Record:
        """Move a closed, bound volume to the next key generation.

        The volume key stays; passphrase and seal change, so that older headers stop verifying. At
        every crash point the volume opens with exactly one of the two generations, and calling
        again finishes.

        Args:
            device: a proven device.
            generation: the generation to reach; reached already, nothing happens. By default the
                next one, or the one that an interrupted rotation was on the way to.

        Raises:
            UnsupportedOperation: the policy is not ``bound``.
            HeaderRefused: the header is not what it must be.
            UnknownVolume, StateForbids, VolumeBusy, DeviceBusy: as `open`.
        """
        _identity.rotate_volume(self._world, device, generation)
        return self._record(device.volume_id)

    def rebind(
        self,
        device: BlockDevice,
        origin: RestoredFrom | ClonedFrom,
        *,
        expectation: Expectation | None = None,
    ) -> Record:
        """Give a restored or cloned bound volume its own UUID, passphrase and seal.

        It is verified as a volume of ``origin`` first. The volume key stays the same as the
        origin's (see the threat model). At every crash point it is one of the two, and calling
        again finishes.

        Args:
            device: the copy, under its own volume id.
            origin: what it is a copy of.
            expectation: what the origin's header was when the copy was taken; by default what the
                ledger says of the origin, and the generation that ``origin`` names.

        Raises:
            UnknownVolume: the ledger does not know the origin, and no expectation is given.
            UnsupportedOperation: the origin's policy is not ``bound``.
            HeaderRefused: the copy is not one of the origin.
            StateForbids: the volume id is in use for something else.
        """
        _identity.rebind_volume(self._world, device, origin, expectation)
        return self._record(device.volume_id)

    def backup_header(
        self,
        device: BlockDevice,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
    ) -> bytes:
        """Return the verified header as 16 MiB; everything unverified in it is zero.

        It holds no plaintext key, but whoever has it and the data key opens the volume.

        Raises:
            As `open`, except that nothing is unlocked.
        """
        return _backup.backup_header(self._world, device, policy=policy, trust=trust)

    def restore_header(
        self,
        device: BlockDevice,
        backup: bytes,
        *,
        policy: KeyPolicy = KeyPolicy.BOUND,
        trust: Trust | None = None,
        overwrite: bool = False,
    ) -> Record:
        """Put a header backup back, after it has passed every check and opened. Idempotent.

        A backup of an older generation is refused. A bound header that is whole stays usable until
        the restored one is complete; calling again after a crash finishes.

        Args:
            device: a proven device.
            backup: the 16 MiB of `backup_header`.
            policy: as for `open`.
            trust: as for `open`.
            overwrite: also where the disk has neither zeros nor a header of this volume, damaged or
                not, in the place of the header.

        Raises:
            IdentityRefused: the disk has a header of another volume, or of a later generation.
            DeviceNotBlank: the disk has something else in the place of the header.
            As `open` otherwise, for the backup in the place of the disk.
        """
        _backup.restore_header(
            self._world, device, backup, policy=policy, trust=trust, overwrite=overwrite
        )
        return self._record(device.volume_id)

    def _record(self, volume_id: str) -> Record:
        record = self._world.ledger.get(volume_id)
        if record is None:  # forgotten by somebody while the verb ran
            raise UnknownVolume(volume_id)
        return record
