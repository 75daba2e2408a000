"""The state of the fake EC2: its records, their past, what is due, and the settings of a test."""

import itertools
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt_testing.fake_aws.devices import EBSNode
from cloudcrypt_testing.fake_aws.moto_ec2 import MotoEC2
from cloudcrypt_testing.fake_aws.records import Attachment, Modification, Snapshot, Volume
from cloudcrypt_testing.fake_aws.tokens import Tokens
from cloudcrypt_testing.fake_aws.xml import VolumeCache
from cloudcrypt_testing.world.agenda import Agenda
from cloudcrypt_testing.world.backing import Backing
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.forking import ForkLock

GIB: Final = 1024**3
_MEMORY: Final = 32  # changing requests that a stale read can go back


@attrs.frozen
class Timings:
    """Seconds that EC2 takes; 0 means that it is done when the next request arrives."""

    create: float = 1.5
    """From creating to available, or to the failure."""
    delete: float = 5.0
    """From deleting to gone."""
    attach: float = 2.0
    """From attaching to attached."""
    appear: float = 0.0
    """From attached to the device on the host."""
    detach: float = 2.0
    """From detaching to detached."""
    modify: float = 3.0
    """From modifying to optimizing, when a new size can be used, or to the failure."""
    optimize: float = 60.0
    """From optimizing to completed."""
    snapshot: float = 30.0
    """From pending to completed, or to the failure."""


@attrs.frozen
class View:
    """The world at one moment."""

    volumes: Mapping[str, Volume]
    snapshots: Mapping[str, Snapshot]
    modifications: Mapping[str, tuple[Modification, ...]]
    """All modifications of each volume, the latest last."""


@attrs.define
class Quirks:
    """What a test asks to be different."""

    creations: deque[str] = attrs.field(factory=deque[str])
    """How the next creations fail: error or vanish."""
    modifications: int = 0
    """How many of the next modifications fail."""
    snapshots: int = 0
    """How many of the next snapshots fail."""
    held: set[str] = attrs.field(factory=set[str])
    """Volumes that the operating system does not let go."""
    stuck: set[str] = attrs.field(factory=set[str])
    """Volumes whose attaching never ends."""
    most_volumes: int | None = None
    is_limit_before_token: bool = False
    """Whether a repeated creation is refused at the limit although its volume exists."""
    most_attachments: dict[str, int] = attrs.field(factory=dict[str, int])
    """By instance."""
    occupied: dict[str, set[str]] = attrs.field(factory=dict[str, set[str]])
    """Device names that the image of an instance maps."""
    xen: dict[str, bool] = attrs.field(factory=dict[str, bool])
    """Instances that are, or are not, what their type says."""


class Cloud:
    """The fake EC2 of one account; `lock` is held by whoever looks or changes."""

    def __init__(self, folder: Path, clock: FakeClock, timings: Timings, moto: MotoEC2) -> None:
        """Begin empty, with all files below ``folder``."""
        self.lock = ForkLock()
        self.clock = clock
        self.timings = timings
        self.moto = moto
        self.agenda = Agenda(clock)
        self.backing = Backing(folder / "backing")
        self.quirks = Quirks()
        self.tokens = Tokens()
        self.render = VolumeCache()
        self.volumes: dict[str, Volume] = {}
        self.dead: dict[str, Volume] = {}
        """The last records of volumes that are gone."""
        self.roots: set[str] = set()
        """Volumes that came with instances."""
        self.snapshots: dict[str, Snapshot] = {}
        self.modifications: dict[str, tuple[Modification, ...]] = {}
        self.is_worn = False
        """Whether moto did more than can be swept out of it."""
        self.numbers = itertools.count(1)
        self._folder = folder
        self._nodes: dict[str, EBSNode] = {}
        self._past: deque[View] = deque(maxlen=_MEMORY)

    def present(self) -> View:
        """Return the world as it is now, which stays as it is."""
        return View(dict(self.volumes), dict(self.snapshots), dict(self.modifications))

    def remember(self, before: View) -> None:
        """Keep the world ``before`` a changing request for stale reads, if it has changed."""
        if before != View(self.volumes, self.snapshots, self.modifications):
            self._past.append(before)

    def view(self, changes: int = 0) -> View:
        """Return the world as it was before the last ``changes`` changing requests."""
        if changes == 0 or not self._past:
            return View(self.volumes, self.snapshots, self.modifications)
        return self._past[-min(changes, len(self._past))]

    def put(self, volume: Volume) -> Volume:
        """Take ``volume`` in, new or in the place of its former state, and return it."""
        self.volumes[volume.id] = volume
        return volume

    def bury(self, volume_id: str) -> None:
        """Let a volume, its bytes and its devices be gone."""
        volume = self.volumes.pop(volume_id)
        for attachment in volume.attachments:
            self.node(attachment.instance_id).detach(volume.id)
        self.dead[volume_id] = attrs.evolve(volume, condition="deleted", attachments=())
        self.modifications.pop(volume_id, None)
        self.roots.discard(volume_id)
        self.quirks.held.discard(volume_id)
        self.quirks.stuck.discard(volume_id)
        self.render.forget(volume_id)
        self.moto.delete_volume(volume_id)
        self.backing.remove(volume_id)

    def node_folder(self, instance_id: str) -> Path:
        """Return the folder that looks like the host of an instance."""
        return self._folder / "nodes" / instance_id

    def node(self, instance_id: str) -> EBSNode:
        """Return the host of an instance."""
        node = self._nodes.get(instance_id)
        if node is None:
            is_nvme = self._is_nvme(instance_id)
            node = EBSNode(self.node_folder(instance_id), is_nvme=is_nvme)
            self._nodes[instance_id] = node
        return node

    def plug(self, volume: Volume, attachment: Attachment) -> None:
        """Show a volume on the host of an instance."""
        node = self.node(attachment.instance_id)
        node.attach(volume.id, attachment.device, self.backing.path(volume.id))

    def _is_nvme(self, instance_id: str) -> bool:
        is_xen = self.quirks.xen.get(instance_id)
        if is_xen is not None:
            return not is_xen
        instance = self.moto.instance(instance_id)
        return instance is None or self.moto.kind(instance.kind).is_nvme
