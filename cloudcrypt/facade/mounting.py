"""Encrypted volumes as mounted filesystems: `mounted_volume`, and many at once."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Required, TypedDict, Unpack

import attrs

from cloudcrypt.device import ROOT
from cloudcrypt.errors import DeviceIOError, InvalidRequest
from cloudcrypt.facade.host import Host, Told, Use, all_in_use, host_with, only
from cloudcrypt.facade.node import Node
from cloudcrypt.filesystem import FilesystemKind, Filesystems, MountOptions, PayloadChoice
from cloudcrypt.journal import Journal
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Ledger
from cloudcrypt.mapper import KernelMapper, Mapper
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.provisioning import Report, Results, Step, VolumeRequest
from cloudcrypt.provisioning.many import CONCURRENCY
from cloudcrypt.spi import VolumeProvider
from cloudcrypt.stage import Stage, Trust
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

DEFAULT: Final = "ext4"
"""The filesystem of `mounted_volume`, unless the caller says otherwise; Constellation's, too."""


class MountChoices(TypedDict, total=False):
    """What a caller of `mounted_volume` can choose; `mounted_volumes` says what it means."""

    instance: Required[str]
    keys: Required[KeyService]
    ledger: Required[Ledger]
    filesystem: str | FilesystemKind | PayloadChoice
    options: MountOptions | None
    adopt: bool
    journal: Journal | None
    mapper: Mapper[Any] | None
    policy: KeyPolicy
    trust: Trust | None
    detach: bool
    filesystems: Filesystems | None
    profiles: Mapping[KeyPolicy, Profile]
    root: Path
    clock: Clock
    deadline: Deadline | None


@contextmanager
def mounted_volume(
    provider: VolumeProvider,
    request: VolumeRequest,
    *,
    target: Path,
    **choices: Unpack[MountChoices],
) -> Generator[Path]:
    """Create, attach, format if new, open and mount a volume; undo the latter after the block.

    That is: unmount, close, and detach. Idempotent: what exists is used as it is, open or mounted
    by a process that has died, too. The filesystem is made once, by the ledger, and grown to the
    size of its volume. A failure leaves the volume attached, and as open as it was before; a crash
    within the block leaves one that the same call mounts again, with the same content.

    One process uses a volume in this way at a time: after its block the volume is not mounted.

    Args:
        provider: whom to ask for the volume.
        request: the volume.
        target: a folder that exists.
        choices: as for `mounted_volumes`.

    Yields:
        The target.

    Raises:
        InvalidRequest: the target is no folder; nothing was asked.
        PayloadForbids: the ledger says that the volume is not for this filesystem.
        FilesystemMismatch, FilesystemDamaged: the filesystem is not the recorded one, or broken.
        MountConflict: something else is mounted there, or this elsewhere, or with other options.
        MountBusy: it is in use after the block; it stays mounted, open and attached.
        HostUnready: this process is not root's, or a program or kernel module is missing.
        CloudcryptError: as `encrypted_volume`, and the verbs of `VolumeFilesystem`.
    """
    targets = {request.name: target}
    with mounted_volumes(provider, [request], targets=targets, concurrency=1, **choices) as mounted:
        yield only(mounted)


@contextmanager
def mounted_volumes(
    provider: VolumeProvider,
    requests: Iterable[VolumeRequest],
    *,
    targets: Mapping[str, Path],
    instance: str,
    keys: KeyService,
    ledger: Ledger,
    filesystem: str | FilesystemKind | PayloadChoice = DEFAULT,
    options: MountOptions | None = None,
    adopt: bool = False,
    journal: Journal | None = None,
    mapper: Mapper[Any] | None = None,
    policy: KeyPolicy = KeyPolicy.BOUND,
    trust: Trust | None = None,
    detach: bool = True,
    filesystems: Filesystems | None = None,
    profiles: Mapping[KeyPolicy, Profile] = PROFILES,
    root: Path = ROOT,
    clock: Clock = SYSTEM_CLOCK,
    deadline: Deadline | None = None,
    concurrency: int = CONCURRENCY,
    progress: Callable[[Report], None] | None = None,
) -> Generator[Results[Path]]:
    """Do `mounted_volume` for many volumes at once.

    Args:
        provider: whom to ask for the volumes.
        requests: the volumes, of different names.
        targets: where each is mounted, by its name: folders that exist, each for one volume.
        instance: this VM, as the provider calls it.
        keys: where data keys come from.
        ledger: the trust anchor of this node.
        filesystem: ``ext4`` or ``xfs``, for volumes with integrity with the suffix ``-integrity``.
        options: how to mount; `MountOptions()` by default. Read-only volumes are mapped so, too.
        adopt: where nothing of a filesystem is recorded, record the one that is there; for volumes
            of another ledger, or of Constellation.
        journal: as for `encrypted_volumes`, here and below.
        mapper: the kernel's by default, with discards if ``options`` have them.
        policy: how the keyslot gets its passphrase.
        trust: for formatted volumes that the ledger does not know.
        detach: whether to detach after the block.
        filesystems: how filesystems are made and mounted; by default as this host does it.
        profiles: what is written and accepted under each policy.
        root: the folder that has ``dev`` and ``sys``.
        clock: the time, where there is no ``deadline``.
        deadline: until when to wait, each step 300 s by default.
        concurrency: how many are worked on at a time, at most.
        progress: is told each step of each volume.

    Yields:
        The targets by name, and the errors of the volumes that could not be mounted. All that are
        mounted are unmounted, closed and detached after the block.

    Raises:
        InvalidRequest: two requests have the same name or target, one has none, or the filesystem
            is none of those; nothing was asked.
        CloudcryptError: a volume could not be unmounted, closed or detached after the block; the
            others were.
    """
    kind, mode = _chosen(filesystem)
    chosen = MountOptions() if options is None else options
    mapper = KernelMapper(discards=chosen.discard) if mapper is None else mapper
    stage = Stage(ledger, keys, mapper, profiles=profiles, filesystems=filesystems)
    node = Node(stage, mapper, ledger, mode, policy, trust)
    requests = tuple(requests)
    _check_targets(requests, targets)
    with host_with(
        provider, journal, node, instance=instance, root=root, clock=clock, deadline=deadline
    ) as host:
        mounting = _Mounting(host, kind, chosen, adopt, detach)

        def begin(request: VolumeRequest, reached: Told) -> Use[Path]:
            return mounting.begin(request, targets[request.name], reached)

        with all_in_use(requests, begin, concurrency=concurrency, progress=progress) as mounted:
            yield mounted


@attrs.frozen
class _Mounting:
    """How volumes are mounted on this VM, and what is undone afterwards."""

    host: Host
    kind: FilesystemKind
    options: MountOptions
    adopt: bool
    detach: bool

    def begin(self, request: VolumeRequest, target: Path, reached: Told) -> Use[Path]:
        """Do what is left to do until the volume is mounted."""
        volume, device = self.host.prepared(request, reached)
        reached(Step.OPENING)
        writable = not self.options.read_only
        with self.host.node.opened(device, raw=False, writable=writable):
            reached(Step.MOUNTING)
            self._mount(device, target, writable=writable)
        return Use(target, lambda: self._end(volume.id, target))

    def _mount(self, device: BlockDevice, target: Path, *, writable: bool) -> None:
        node, until = self.host.node, self.host.until
        node.provide(device, self.kind, adopt=self.adopt, writable=writable, deadline=until())
        filesystem = node.filesystem(device.volume_id)
        filesystem.mount(target, self.options, deadline=until())
        if writable:
            filesystem.grow(deadline=until())

    def _end(self, volume_id: str, target: Path) -> None:
        node = self.host.node
        try:
            node.filesystem(volume_id).unmount(target)
        except DeviceIOError:  # unmounted all the same
            node.stage.close(volume_id)
            raise
        node.stage.close(volume_id)
        if self.detach:
            self.host.detach(volume_id)


def _chosen(filesystem: str | FilesystemKind | PayloadChoice) -> tuple[FilesystemKind, Mode]:
    """Return which filesystem a caller wants, and with or without integrity.

    Raises:
        InvalidRequest: it is none.
    """
    if isinstance(filesystem, FilesystemKind):
        return filesystem, Mode.CRYPT
    choice = PayloadChoice.parse(filesystem) if isinstance(filesystem, str) else filesystem
    if choice.kind is None:
        rule = "a filesystem; encrypted_volume gives a block device"
        raise InvalidRequest("filesystem", str(choice), rule)
    return choice.kind, choice.mode


def _check_targets(requests: tuple[VolumeRequest, ...], targets: Mapping[str, Path]) -> None:
    """Return if each request has a folder of its own.

    Raises:
        InvalidRequest: one has none.
    """
    seen: set[Path] = set()
    for request in requests:
        target = targets.get(request.name)
        if target is None or not target.is_dir():
            raise InvalidRequest("target", str(target), f"a folder that exists, for {request.name}")
        if target.resolve() in seen:
            raise InvalidRequest("target", str(target), "a folder for one volume")
        seen.add(target.resolve())
