"""The filesystem of one volume: the ledger says what may be done to it, never the disk.

A filesystem is made once, on a payload that is recorded as untouched and beneath which the device
is blank. From then on this very filesystem, by kind and UUID, has to be there.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar, assert_never

import attrs

from cloudcrypt.errors import (
    FilesystemFailed,
    FilesystemMismatch,
    PayloadForbids,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
    VolumeBusy,
)
from cloudcrypt.filesystem import (
    Commands,
    FilesystemKind,
    Filesystems,
    Health,
    Mount,
    MountOptions,
    Node,
    Number,
    Superblock,
)
from cloudcrypt.ledger import (
    Filesystem,
    Making,
    Payload,
    Raw,
    Record,
    State,
    Unrecorded,
    Untouched,
)
from cloudcrypt.ledger.payload import name_of
from cloudcrypt.mapper import Mapper, Mapping
from cloudcrypt.model import Blank, BlockDevice
from cloudcrypt.stage.blank import require_blank_payload
from cloudcrypt.stage.presence import require_healthy, require_none_but, require_there
from cloudcrypt.stage.reading import require_same
from cloudcrypt.stage.world import World
from cloudcrypt.waiting import Deadline

MappingT = TypeVar("MappingT", bound=Mapping)


@attrs.frozen
class FilesystemStatus:
    """What is known of the filesystem of a volume.

    ``mounts`` are all of its mounts that this process sees, bind mounts included. ``size`` is that
    of the open payload in bytes, ``found`` what is there; both None if this process has not opened
    the volume.
    """

    payload: Payload
    mounts: tuple[Mount, ...]
    size: int | None
    found: Superblock | None


class VolumeFilesystem(Generic[MappingT]):
    """The verbs of one volume's filesystem; made by `Stage.filesystem`. Safe for several threads.

    All but `unmount` and `status` need the volume to be open in this process, by a mapper that
    makes a block device. Every verb is idempotent. All raise `UnknownVolume`, `LedgerUnavailable`
    and `HostUnready` where the ledger or the host lack what is needed, and `DeviceBusy` where
    another process is at work on the volume until the deadline, of 300 s by default.
    """

    def __init__(
        self, world: World, mapper: Mapper[MappingT], filesystems: Filesystems, volume_id: str
    ) -> None:
        """Act on the volume ``volume_id``."""
        self._world = world
        self._mapper = mapper
        self._host = filesystems
        self._volume_id = volume_id

    def make(
        self, device: BlockDevice, kind: FilesystemKind, *, deadline: Deadline | None = None
    ) -> Filesystem:
        """Make a filesystem on a payload that was never written to; the only way to a new one.

        Idempotent: one that was cut short, and so never handed out, is made again, also as another
        kind; one that is recorded is looked for and left alone. The record is changed before the
        payload is.

        Args:
            device: the device of the open volume. It must be blank beneath an untouched payload.
            kind: which filesystem.
            deadline: when to stop, and to leave it to be made again.

        Raises:
            PayloadForbids: the payload is not recorded as untouched, or as a filesystem of another
                kind.
            DeviceNotBlank: it is recorded as untouched, and the device says otherwise.
            FilesystemMismatch: another filesystem is there; nothing was written.
            FilesystemFailed: it could not be made; it is recorded as begun.
            DeviceTooSmall: it would not fit; nothing was recorded.
            DeviceIOError: the device failed; that is never taken for emptiness.
            StateForbids, VolumeBusy, DeviceBusy: the volume is not open here for writing, or is
                in use otherwise.
        """
        with self._working(deadline, writable=True) as (record, commands):
            node, recorded = commands.node, record.payload
            match recorded:
                case Filesystem():
                    self._require_kind(record, recorded, kind)
                    require_there(node, recorded)
                    return recorded
                case Untouched():
                    commands.require_room(kind)
                    self._require_untouched(record, device)
                    require_none_but(node, None)
                case Making():
                    commands.require_room(kind)
                    require_none_but(node, recorded)
                case Raw() | Unrecorded():
                    raise self._forbids(record, f"making {kind.value}")
                case _:
                    assert_never(recorded)
            node.require_free()
            return self._make(record, commands, kind)

    def adopt(self, *, deadline: Deadline | None = None) -> Filesystem:
        """Record the filesystem that is there, made by somebody else. Never writes to it.

        For volumes of another ledger, or of Constellation, and for what was made by hand on a
        volume that was opened as a block device. Idempotent.

        Raises:
            FilesystemMismatch: there is no ext4 or XFS with right checksums, or not the one that
                is recorded already.
            PayloadForbids: the payload is recorded as untouched, or a filesystem as begun.
            StateForbids, VolumeBusy, DeviceIOError: as `make`.
        """
        with self._working(deadline, writable=False) as (record, commands):
            recorded, found = record.payload, commands.node.superblock()
            if isinstance(recorded, Filesystem):
                require_there(commands.node, recorded)
                return recorded
            if isinstance(recorded, Untouched | Making):
                raise self._forbids(record, "adopting what is there")
            if found is None:
                path = str(commands.node.path)
                raise FilesystemMismatch(path, None, "ext4 or XFS, with right checksums")
            adopted = Filesystem(found.kind, found.uuid)
            require_there(commands.node, adopted)
            self._world.ledger.replace(record, attrs.evolve(record, payload=adopted))
            return adopted

    def check(self, *, full: bool = True, deadline: Deadline | None = None) -> Health:
        """Check the filesystem, which must not be mounted, and repair what loses nothing.

        Args:
            full: look at all of it. Otherwise ext4 that says that it is clean is believed.
            deadline: when to stop; a full check of a large filesystem takes long.

        Raises:
            FilesystemMismatch: it is not there.
            FilesystemFailed: the check could not be made.
            PayloadForbids: no filesystem is recorded.
            DeviceBusy: it is mounted.
            StateForbids, VolumeBusy, DeviceIOError: as `make`.
        """
        with self._working(deadline, writable=True) as (record, commands):
            recorded = self._recorded(record, "checking its filesystem")
            require_there(commands.node, recorded)
            commands.node.require_free()
            return commands.check(recorded.kind, full=full)

    def mount(
        self,
        target: Path,
        options: MountOptions | None = None,
        *,
        check: bool = True,
        deadline: Deadline | None = None,
    ) -> Mount:
        """Mount the filesystem that is recorded, and no other. Idempotent.

        A copy of a volume has the UUID of its origin; XFS is mounted with ``nouuid`` then.

        Args:
            target: a folder that exists.
            options: by default ``nosuid`` and ``nodev``.
            check: check ext4 before it is mounted for writing, in full if it says that the kernel
                has met errors. XFS needs none: its log is replayed when it is mounted.
            deadline: when to stop checking; mounting itself cannot be stopped.

        Raises:
            FilesystemMismatch: another filesystem is there, or none.
            FilesystemDamaged: it has errors that need a person.
            MountConflict: something else is mounted there, or this is mounted elsewhere, or with
                other options.
            FilesystemFailed: the kernel refused.
            PayloadForbids: no filesystem is recorded: make it, or adopt what is there.
            InvalidRequest: the target is no folder.
            StateForbids, VolumeBusy, DeviceBusy, DeviceIOError, DeviceMismatch: as `make`.
        """
        chosen = MountOptions() if options is None else options
        with self._working(deadline, writable=not chosen.read_only) as (record, commands):
            node, recorded = commands.node, self._recorded(record, "mounting")
            require_there(node, recorded)
            is_mounted = bool(self._host.mounts.of(node.number))
            if check and not chosen.read_only and not is_mounted:
                require_healthy(commands, recorded.kind)
            if not isinstance(record.origin, Blank):
                chosen = attrs.evolve(chosen, nouuid=True)
            return self._host.mounts.mount(node, recorded.kind, target, chosen)

    def unmount(
        self, target: Path, *, lazy: bool = False, deadline: Deadline | None = None
    ) -> None:
        """Write out and unmount the filesystem at ``target``. Idempotent; needs no key.

        The volume may have been opened, and the filesystem mounted, by another process.

        Args:
            target: the folder.
            lazy: also if it is in use: it disappears now, and is unmounted with its last user,
                before which the volume cannot be closed.
            deadline: until when to wait for other processes.

        Raises:
            MountConflict: something else is mounted there; it was left alone.
            MountBusy: it is in use; it was left mounted.
            DeviceIOError: not everything could be written out; it is unmounted all the same.
            FilesystemFailed: the kernel refused.
        """
        until = self._host.until(deadline)
        with self._host.locked(self._volume_id, until):
            record = self._record()
            self._host.mounts.unmount(target, lambda found: self._is_ours(record, found), lazy=lazy)

    def grow(self, *, deadline: Deadline | None = None) -> int:
        """Let the mounted filesystem use all of its mapping; return its size in bytes. Idempotent.

        To be called after `Stage.grow`. The size is read back before it counts.

        Raises:
            FilesystemFailed: it did not grow, or not to the end.
            FilesystemMismatch: the recorded filesystem is not there.
            PayloadForbids: no filesystem is recorded.
            StateForbids: it is not mounted for writing.
            VolumeBusy, DeviceIOError: as `make`.
        """
        with self._working(deadline, writable=True) as (record, commands):
            node, recorded = commands.node, self._recorded(record, "growing its filesystem")
            found = require_there(node, recorded)
            mounts = self._host.mounts.of(node.number)
            mount = next((each for each in mounts if each.root == "/"), None)
            if mount is None or mount.is_read_only:
                state = "not mounted" if mount is None else "mounted for reading"
                raise StateForbids(self._volume_id, state, "growing its filesystem")
            if node.size - self._size(node, found, mount) >= found.block_size:
                commands.grow(recorded.kind, mount.target)
            grown = attrs.evolve(found, size=self._size(node, found, mount))
            if not grown.fills(node.size):
                reason = f"it has {grown.size} bytes, the device has {node.size}"
                operation = f"growing {recorded.kind.value}"
                raise FilesystemFailed(str(node.path), operation, reason)
            return grown.size

    def status(self) -> FilesystemStatus:
        """Return what is known; nothing is changed, and a closed volume has a status too.

        Raises:
            DeviceIOError: the payload could not be read.
            DeviceMismatch, DeviceUnavailable: the mapping is not what this process has opened.
        """
        record = self._record()
        mounts = tuple(
            mount for mount in self._host.mounts.all() if self._is_ours(record, mount.number)
        )
        if self._mapper.get(self._volume_id) is None:
            return FilesystemStatus(record.payload, mounts, None, None)
        with self._node(record, writable=False) as node:
            return FilesystemStatus(record.payload, mounts, node.size, node.superblock())

    # --- what the verbs share ---

    @contextmanager
    def _working(
        self, deadline: Deadline | None, *, writable: bool
    ) -> Generator[tuple[Record, Commands]]:
        """Hold the volume's lock, its record as it is then, and its device, within the block."""
        until = self._host.until(deadline)
        with self._host.locked(self._volume_id, until) as lock:
            record = self._record()
            if record.state is not State.READY:
                raise StateForbids(self._volume_id, record.state.value, "use of its filesystem")
            if record.holder is not None and record.holder != self._world.holder:
                raise VolumeBusy(self._volume_id, record.holder.node)
            with self._node(record, writable=writable) as node:
                yield record, Commands(self._host.tools, node, lock, until)

    @contextmanager
    def _node(self, record: Record, *, writable: bool) -> Generator[Node]:
        """Open the device of the mapping that this process has; it is proven to be the volume's."""
        mapping = self._mapper.get(self._volume_id)
        if mapping is None or record.holder is None or record.uuid is None:
            raise StateForbids(self._volume_id, "not open here", "use of its filesystem")
        path = getattr(mapping, "path", None)
        if not isinstance(path, Path):
            raise UnsupportedOperation(
                "a filesystem on a volume that is mapped in user space",
                "open the volume with KernelMapper",
            )
        if writable and not mapping.writable:
            raise StateForbids(self._volume_id, "open for reading", "writing to its filesystem")
        with self._host.nodes.opened(path, record.uuid, writable=writable) as node:
            yield node

    def _make(self, record: Record, commands: Commands, kind: FilesystemKind) -> Filesystem:
        """Record that a filesystem is being made, make it, look at it, and record that it is."""
        making = record.payload
        if not isinstance(making, Making) or making.kind is not kind:
            making = Making(kind, self._world.new_uuid())
            record = self._world.ledger.replace(record, attrs.evolve(record, payload=making))
        commands.make(kind, making.uuid)
        made = Filesystem(kind, making.uuid)
        require_there(commands.node, made)
        self._world.ledger.replace(record, attrs.evolve(record, payload=made))
        return made

    def _require_untouched(self, record: Record, device: BlockDevice) -> None:
        """Return if the device beneath an untouched payload is blank, as it was when formatted.

        The record alone decides that a filesystem may be made; the device can only object. It does
        if another node, with another ledger, has used the volume.
        """
        mapping = self._mapper.get(self._volume_id)
        if mapping is not None:
            require_same(mapping, device)
        with self._world.open_device(device, writable=False) as disk:
            require_blank_payload(disk, record)

    def _recorded(self, record: Record, operation: str) -> Filesystem:
        if not isinstance(record.payload, Filesystem):
            raise self._forbids(record, operation)
        return record.payload

    def _require_kind(self, record: Record, found: Filesystem, kind: FilesystemKind) -> None:
        if found.kind is not kind:
            raise self._forbids(record, f"making {kind.value}")

    def _forbids(self, record: Record, operation: str) -> PayloadForbids:
        return PayloadForbids(self._volume_id, name_of(record.payload), operation)

    def _is_ours(self, record: Record, number: Number) -> bool:
        return record.uuid is not None and self._host.nodes.is_of(number, record.uuid)

    def _size(self, node: Node, found: Superblock, mount: Mount) -> int:
        """Return the size of a mounted filesystem, of which ``found`` is the superblock.

        The kernel keeps the superblock of ext4 where every reader sees it; that of XFS it writes
        out when it likes, but it counts all blocks that are not its log.
        """
        match found.kind:
            case FilesystemKind.EXT4:
                current = node.superblock()
                return found.size if current is None else current.size
            case FilesystemKind.XFS:
                return self._host.mounts.size(mount) + found.log_size
            case _:
                assert_never(found.kind)

    def _record(self) -> Record:
        record = self._world.ledger.get(self._volume_id)
        if record is None:
            raise UnknownVolume(self._volume_id)
        return record
