"""Growing a volume from the cloud's disk up to the mounted filesystem: `grow_volume`."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudcrypt.device import ROOT, grown
from cloudcrypt.errors import InvalidVolumeId, UnknownVolume
from cloudcrypt.facade.host import Host, host_with
from cloudcrypt.facade.node import Grown, Node, silent
from cloudcrypt.filesystem import Filesystems
from cloudcrypt.journal import Journal, State
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Ledger
from cloudcrypt.mapper import KernelMapper, Mapper
from cloudcrypt.model import KeyPolicy
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.provisioning.wishes import subject_of_name
from cloudcrypt.spi import CreateVolume, VolumeProvider
from cloudcrypt.stage import Progress, Stage
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline


def grow_volume(
    provider: VolumeProvider,
    volume: str,
    size: int,
    *,
    instance: str,
    keys: KeyService,
    ledger: Ledger,
    journal: Journal | None = None,
    mapper: Mapper[Any] | None = None,
    policy: KeyPolicy = KeyPolicy.BOUND,
    integrity_growth: bool = False,
    filesystems: Filesystems | None = None,
    profiles: Mapping[KeyPolicy, Profile] = PROFILES,
    root: Path = ROOT,
    clock: Clock = SYSTEM_CLOCK,
    deadline: Deadline | None = None,
    progress: Progress = silent,
) -> Grown:
    """Grow a volume: the cloud's disk, the encrypted volume, its mapping, its filesystem.

    Each is confirmed before the next: the cloud says that it is done, the device on this VM has the
    size, the ledger has recorded it, the kernel's table reaches as far, and the filesystem says how
    large it is. Idempotent: what has grown is left alone, and a call after a crash finishes.

    The volume stays in use if it is: mounted, open, or attached. One with integrity is unmounted
    and closed for as long as the tags of its new tail are written, which needs
    ``integrity_growth``. A crash meanwhile leaves it closed; the next call grows it, and
    `mounted_volume` mounts it. A volume that is not attached is attached meanwhile. A filesystem
    that is not mounted grows when `mounted_volume` mounts it.

    Args:
        provider: whom to ask.
        volume: its name or its id.
        size: in bytes, rounded up to the provider's unit.
        instance: this VM, as the provider calls it.
        keys: where data keys come from.
        ledger: the trust anchor of this node, which must know the volume.
        journal: where operations are kept; without one they end with this process.
        mapper: by which the volume is open, if it is; the kernel's by default, for which this
            process need not be the one that has opened it.
        policy: how the keyslot gets its passphrase.
        integrity_growth: grow a volume with integrity, too; Constellation cannot open it any more.
        filesystems: how filesystems are grown; by default as this host does it.
        profiles: what is accepted under each policy.
        root: the folder that has ``dev`` and ``sys``; see `cloudcrypt.device.locate`.
        clock: the time, where there is no ``deadline``.
        deadline: until when to wait, each step 300 s by default.
        progress: is told how many bytes of the tail of an integrity volume are initialised.

    Raises:
        NotFound: there is no such volume.
        UnknownVolume: the ledger does not know it.
        UnsupportedOperation: it has integrity, and ``integrity_growth`` is not said; nothing was
            asked.
        AttachedElsewhere: another instance has it; nothing was asked.
        InvalidRequest: it is larger already; a volume never shrinks.
        ModificationLimited: the cloud allows no change now.
        DeviceNotGrown: the device does not become as large before the deadline.
        MountBusy: the filesystem of a volume with integrity is in use; the disk has grown.
        CloudcryptError: as `Provisioner.ensure_size`, `Provisioner.ensure_attached`,
            `cloudcrypt.device.grown`, `Stage.grow` and `VolumeFilesystem.grow`.
    """
    mapper = KernelMapper() if mapper is None else mapper
    stage = Stage(ledger, keys, mapper, profiles=profiles, filesystems=filesystems)
    node = Node(stage, mapper, ledger, policy=policy)
    with host_with(
        provider, journal, node, instance=instance, root=root, clock=clock, deadline=deadline
    ) as host:
        volume_id = _id_of(host, volume)
        stage.require_growable(volume_id, integrity_growth=integrity_growth)
        before = host.view().volume(volume_id).holders
        plane = host.provisioner
        attachment = plane.ensure_attached(volume_id, instance, deadline=deadline)
        size = plane.ensure_size(volume_id, size, deadline=deadline).size
        device = grown(attachment, size, root=root, deadline=host.until())
        outcome = node.grow(
            device,
            integrity_growth=integrity_growth,
            progress=progress,
            deadline=deadline,
        )
        if provider.instance_name(instance) not in before:
            host.detach(volume_id)
    return outcome


def _id_of(host: Host, volume: str) -> str:
    """Return the id of a volume that the caller gives by name or id.

    Raises:
        NotFound: there is none.
        UnknownVolume: the ledger does not know it.
    """
    ledger = host.node.ledger
    with suppress(InvalidVolumeId):  # a name
        if ledger.get(volume) is not None:
            return volume
    view = host.view()
    made = view.newest(subject_of_name(volume), CreateVolume, State.DONE)
    found = view.volume_named(volume, made) or view.volume(volume)
    if ledger.get(found.id) is None:
        raise UnknownVolume(found.id)
    return found.id
