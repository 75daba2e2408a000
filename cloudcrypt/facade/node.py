"""The node plane for one volume at a time: what is left to do until it is open, mounted, grown."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from cloudcrypt.errors import (
    AlreadyRegistered,
    CloudcryptError,
    MountConflict,
    PayloadForbids,
    StateForbids,
    UnknownVolume,
)
from cloudcrypt.filesystem import FilesystemKind, Mount, MountOptions
from cloudcrypt.ledger import Filesystem, Ledger, Raw, Record, State, Unrecorded
from cloudcrypt.ledger.payload import name_of
from cloudcrypt.mapper import Mapper, Mapping, payload_size
from cloudcrypt.model import Blank, BlockDevice, KeyPolicy, Mode, Origin
from cloudcrypt.stage import Progress, Stage, Trust, VolumeFilesystem
from cloudcrypt.waiting import Deadline

_UNFORMATTED: Final = (State.NEW, State.FORMATTING, State.INITIALISING)


def silent(done: int, total: int) -> None:
    """Take no notice of progress."""


@attrs.frozen
class Grown:
    """What has become of a volume that was to grow; all sizes in bytes.

    ``capacity`` is that of the device, header included, and ``payload`` what is left of it.
    ``filesystem`` is the size of the mounted filesystem. It is None where none is mounted for
    writing: one that is there grows when `mounted_volume` mounts it.
    """

    volume_id: str
    capacity: int
    payload: int
    filesystem: int | None


@attrs.frozen
class Node:
    """The stage of this host, and what the caller chose for all volumes.

    ``mode`` is None where the one that is recorded will do.
    """

    stage: Stage[Any]
    mapper: Mapper[Any]
    ledger: Ledger
    mode: Mode | None = None
    policy: KeyPolicy = KeyPolicy.BOUND
    trust: Trust | None = None

    @property
    def new_mode(self) -> Mode:
        """The mode of volumes that are registered."""
        return Mode.CRYPT if self.mode is None else self.mode

    def record(self, volume_id: str) -> Record | None:
        """Return the record of a volume, if there is one.

        Raises:
            AlreadyRegistered: it has another mode than the caller chose.
        """
        return self._agreed(self.ledger.get(volume_id))

    def register(self, device: BlockDevice) -> Record:
        """Record that a volume was just created blank; see `Stage.register_new`."""
        return self.stage.register_new(
            device.volume_id, capacity=device.size, mode=self.new_mode, policy=self.policy
        )

    def prepare(
        self,
        device: BlockDevice,
        origin: Origin,
        *,
        writing: Callable[[], None],
        progress: Progress = silent,
    ) -> None:
        """Format a volume that is registered as new; give a copy its own identity. Idempotent.

        Args:
            device: a proven device.
            origin: what the provider says that it was made from.
            writing: is told before a header is written.
            progress: is told how much of an integrity volume is initialised.

        Raises:
            UnknownVolume: the ledger does not know the volume, and nothing vouches for it.
        """
        record = self.record(device.volume_id)
        is_blank = isinstance(origin, Blank)
        if record is None and is_blank and self.trust is None:
            raise UnknownVolume(device.volume_id)
        if record is not None and record.state in _UNFORMATTED:
            writing()
            self.stage.format(device, progress=progress)
        is_foreign = self.trust is None if record is None else record.state is State.REBINDING
        if not isinstance(origin, Blank) and is_foreign:
            writing()
            self._agreed(self.stage.rebind(device, origin))

    def open(self, device: BlockDevice, *, raw: bool, writable: bool = True) -> Mapping:
        """Open a volume; see `Stage.open`."""
        mapping: Mapping = self.stage.open(
            device, policy=self.policy, trust=self.trust, raw=raw, writable=writable
        )
        return mapping

    @contextmanager
    def opened(
        self, device: BlockDevice, *, raw: bool, writable: bool = True
    ) -> Generator[Mapping]:
        """Open a volume, and close it if the block fails, unless it was open before."""
        was_active = self.mapper.is_active(device.volume_id)
        mapping = self.open(device, raw=raw, writable=writable)
        try:
            yield mapping
        except Exception as error:
            if not was_active:
                self._close_after(error, device.volume_id)
            raise

    def filesystem(self, volume_id: str) -> VolumeFilesystem[Any]:
        """Return the verbs of the filesystem of a volume."""
        return self.stage.filesystem(volume_id)

    def provide(
        self,
        device: BlockDevice,
        kind: FilesystemKind | None,
        *,
        adopt: bool = False,
        writable: bool = True,
        deadline: Deadline | None = None,
    ) -> None:
        """Make the filesystem of an open volume, once, by the ledger. Idempotent.

        Args:
            device: the device of the volume.
            kind: which filesystem; None makes none.
            adopt: record what is there, where nothing of a filesystem is recorded yet; see
                `VolumeFilesystem.adopt`.
            writable: whether it may be made; nothing is made in order to be read.
            deadline: when to stop.

        Raises:
            PayloadForbids: the ledger says that it has another kind, or is used otherwise.
            CloudcryptError: as `VolumeFilesystem.make` and `VolumeFilesystem.adopt`.
        """
        filesystem = self.filesystem(device.volume_id)
        payload = self.require_record(device.volume_id).payload
        if adopt and isinstance(payload, Raw | Unrecorded):
            payload = filesystem.adopt(deadline=deadline)
        if kind is None:
            return
        if not isinstance(payload, Filesystem) and writable:
            payload = filesystem.make(device, kind, deadline=deadline)
        if not isinstance(payload, Filesystem) or payload.kind is not kind:
            raise PayloadForbids(device.volume_id, name_of(payload), f"use as {kind.value}")

    def grow(
        self,
        device: BlockDevice,
        *,
        integrity_growth: bool = False,
        progress: Progress = silent,
        deadline: Deadline | None = None,
    ) -> Grown:
        """Let a volume, its mapping and its mounted filesystem use all of a device. Idempotent.

        A volume with integrity is unmounted and closed meanwhile, if it has to grow at all, and
        comes back as it was; if it cannot grow, too. A crash meanwhile leaves it closed.

        Args:
            device: a proven device.
            integrity_growth: grow a volume with integrity, too.
            progress: is told how many bytes of its tail are initialised.
            deadline: when to stop.

        Raises:
            MountConflict: a volume with integrity is mounted twice; nothing was changed.
            MountBusy: its filesystem is in use; nothing was changed.
            CloudcryptError: as `Stage.grow`, `Stage.open`, and the verbs of `VolumeFilesystem`.
        """
        volume_id = device.volume_id
        mapping = self._taken_over(device)
        before = self.require_record(volume_id)
        filesystem = self.filesystem(volume_id)
        mounts = () if _is_private(mapping) else filesystem.status().mounts
        if mounts and not isinstance(before.payload, Filesystem):
            raise PayloadForbids(volume_id, name_of(before.payload), "growing what is mounted")
        has_to = device.size > before.capacity or before.state is State.GROWING
        with ExitStack() as away:
            if before.mode is Mode.INTEGRITY and has_to and integrity_growth:
                away.enter_context(self._at_rest(device, mapping, mounts, deadline))
            record = self.stage.grow(device, integrity_growth=integrity_growth, progress=progress)
        is_writable = any(mount.root == "/" and not mount.is_read_only for mount in mounts)
        return Grown(
            volume_id,
            record.capacity,
            payload_size(record.mode, record.capacity, record.journal_sections),
            filesystem.grow(deadline=deadline) if is_writable else None,
        )

    def require_record(self, volume_id: str) -> Record:
        """Return the record of a volume.

        Raises:
            UnknownVolume: there is none.
            AlreadyRegistered: it has another mode than the caller chose.
        """
        record = self.record(volume_id)
        if record is None:
            raise UnknownVolume(volume_id)
        return record

    def _close_after(self, error: Exception, volume_id: str) -> None:
        """Close what was opened for nothing; the error that is raised is the first one."""
        try:
            self.stage.close(volume_id)
        except CloudcryptError as other:
            error.add_note(f"and the volume stays open: {other}")

    @contextmanager
    def _at_rest(
        self,
        device: BlockDevice,
        mapping: Mapping | None,
        mounts: tuple[Mount, ...],
        deadline: Deadline | None,
    ) -> Generator[None]:
        """Unmount and close a volume for as long as a block runs, whatever becomes of it."""
        filesystem = self.filesystem(device.volume_id)
        mounted = _only(mounts)

        def restore() -> None:
            if mapping is not None:
                self.open(device, raw=False, writable=mapping.writable)
            for target, options in mounted:
                filesystem.mount(target, options, deadline=deadline)

        try:
            for target, _ in mounted:
                filesystem.unmount(target, deadline=deadline)
            if mapping is not None:
                self.stage.close(device.volume_id)
            yield
        except BaseException as error:
            try:
                restore()
            except CloudcryptError as other:
                error.add_note(f"and it is not as it was before: {other}")
            raise
        restore()

    def _taken_over(self, device: BlockDevice) -> Mapping | None:
        """Return the mapping of the volume, proven, if this host has one, whoever made it."""
        if not self.mapper.is_active(device.volume_id):
            return None
        try:
            return self.open(device, raw=False)
        except StateForbids:  # it may be open for reading
            return self.open(device, raw=False, writable=False)

    def _agreed(self, record: Record | None) -> Record | None:
        if record is not None and self.mode not in (None, record.mode):
            raise AlreadyRegistered(record.volume_id, ("mode",))
        return record


def _is_private(mapping: Mapping | None) -> bool:
    """Say whether a mapping is of this process alone, so that nothing can be mounted."""
    return mapping is not None and getattr(mapping, "path", None) is None


def _only(mounts: tuple[Mount, ...]) -> tuple[tuple[Path, MountOptions], ...]:
    """Return where and how a filesystem is mounted, if it is: once.

    Raises:
        MountConflict: it is mounted twice.
    """
    for other in mounts[1:]:
        raise MountConflict(str(other.target), f"it, and at {mounts[0].target} too", "one mount")
    return tuple((mount.target, MountOptions.of(mount)) for mount in mounts)
