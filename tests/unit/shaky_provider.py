"""A provider in memory that fails as it is told, and remembers what it was asked."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    NotFound,
    ProviderUnavailable,
    RequestConflict,
    UnsupportedOperation,
    Vanished,
    VolumeInUse,
    WrongVolumeState,
)
from cloudcrypt.model import (
    Attachment,
    Blank,
    ClonedFrom,
    NvmeSerial,
    Origin,
    RestoredFrom,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)
from cloudcrypt.sizes import MIB, round_up
from cloudcrypt.spi import (
    AttachVolume,
    Capabilities,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    FromVolume,
    Handle,
    Intent,
    ModifyVolume,
    ResizeVolume,
)
from cloudcrypt.waiting import Deadline
from tests.unit.clocks import FakeClock

T = TypeVar("T")
Call = Callable[[], Any]
Fault = Callable[[Call], Any]

LOST = ProviderUnavailable("shaky://", "the answer was lost")


def lost_before(call: Call) -> Any:  # it did not arrive
    """Lose the request."""
    raise LOST


def lost_after(call: Call) -> Any:
    """Do what is asked, and lose the answer."""
    call()
    raise LOST


def working(call: Call) -> Any:
    """Do what is asked, and answer."""
    return call()


def failing(error: BaseException) -> Fault:
    """Do nothing, and raise."""

    def fault(call: Call) -> Any:  # refused
        raise error

    return fault


def answering(answer: object) -> Fault:
    """Answer this, whatever is true."""
    return lambda _: answer


class ShakyProvider:
    """A cloud that outlives its callers; see `cloudcrypt.spi.VolumeProvider`.

    What is begun takes effect at once, except that a volume or snapshot is completed by `resume`.
    """

    url = "shaky://here"
    namespace = "shaky:here"
    capabilities = Capabilities(
        size_unit=MIB,
        size_min=MIB,
        size_max=2**50,
        online_resize=True,
        snapshots=True,
        clones=True,
        force_detach=True,
        modify=True,
    )

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.volumes: dict[str, Volume] = {}
        self.taken: dict[str, Snapshot] = {}
        self.tokens: dict[str, tuple[Intent[Any], str]] = {}
        self.asked: list[str] = []
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        """What happens to the next calls of a verb."""
        self.doomed: list[CloudcryptError] = []
        """How the next volumes or snapshots that are created fail, after they were accepted."""
        self.knows_names = True
        """Whether a name is given to one volume only; else tokens alone tell requests apart."""
        self._dying: dict[str, CloudcryptError] = {}
        self._numbers = 0
        self._lock = threading.RLock()

    # --- the interface ---

    def instance_name(self, instance: str) -> str:
        return instance.lower()

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        return self._asked("begin", intent, deadline, lambda: self._begin(intent))

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        return self._asked("find", intent, deadline, lambda: self._find(intent))

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        outcome: T = self._asked("resume", handle.intent, deadline, lambda: self._outcome(handle))
        return outcome

    def get(self, volume_id: str) -> Volume:
        return self._asked("get", None, None, lambda: self._volume(volume_id))

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        found = self._asked("list", None, None, lambda: tuple(self.volumes.values()))
        return (volume for volume in found if name in (None, volume.name))

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        found = self._asked("snapshots", None, None, lambda: tuple(self.taken.values()))
        return (snapshot for snapshot in found if name in (None, snapshot.name))

    def close(self) -> None:
        pass

    # --- for tests ---

    @property
    def changes(self) -> Sequence[str]:
        """What was asked to be changed."""
        return [call.removeprefix("begin ") for call in self.asked if call.startswith("begin")]

    def forget_calls(self) -> None:
        self.asked.clear()

    def change(self, volume_id: str, **facts: Any) -> None:
        """Let somebody else change a volume."""
        self.volumes[volume_id] = attrs.evolve(self._volume(volume_id), **facts)

    def add(self, name: str, size: int = MIB, **facts: Any) -> Volume:
        """Let somebody else make a volume."""
        made: dict[str, Any] = {
            "state": VolumeState.AVAILABLE,
            "origin": Blank(),
            "created": self.clock.now(),
            **facts,
        }
        volume = Volume(self._new_id("vol"), name, size, **made)
        self.volumes[volume.id] = volume
        return volume

    # --- how it works ---

    def _asked(
        self,
        verb: str,
        intent: Intent[Any] | None,
        deadline: Deadline | None,
        call: Callable[[], T],
    ) -> T:
        if deadline is not None:
            deadline.check()
        with self._lock:
            self.asked.append(verb if intent is None else f"{verb} {type(intent).__name__}")
            faults = self.faults[verb]
            fault = faults.pop(0) if faults else None

        def locked() -> T:
            with self._lock:
                return call()

        return locked() if fault is None else cast("T", fault(locked))

    def _begin(self, intent: Intent[Any]) -> Handle[Any]:
        known = self.tokens.get(intent.token)
        if known is not None and not _is_same(known[0], intent):
            raise RequestConflict(intent.token, ("intent",))
        if known is None:
            known = self.tokens[intent.token] = (intent, self._accept(intent))
        return Handle(intent, known[1])

    def _find(self, intent: Intent[Any]) -> Handle[Any] | None:
        known = self.tokens.get(intent.token)
        is_known = known is not None and _is_same(known[0], intent)
        return Handle(intent, known[1]) if known is not None and is_known else None

    def _accept(self, intent: Intent[Any]) -> str:  # noqa: C901, PLR0911 - one for each
        match intent:
            case CreateVolume():
                return self._create(intent)
            case CreateSnapshot():
                return self._take(intent)
            case AttachVolume(_, volume_id, instance):
                self._held_by_nobody_but(volume_id, instance)
                if self.volumes[volume_id].state is VolumeState.CREATING:
                    raise WrongVolumeState(volume_id, "creating", "attachment")
                self.change(volume_id, state=VolumeState.ATTACHED, holders=(instance,))
                return volume_id
            case DetachVolume(_, volume_id, instance):
                self._held_by_nobody_but(volume_id, instance)
                if self.volumes[volume_id].holders:
                    self.change(volume_id, state=VolumeState.AVAILABLE, holders=())
                return volume_id
            case ResizeVolume(_, volume_id, size):
                self.change(volume_id, size=round_up(size, MIB))
                return volume_id
            case ModifyVolume():
                return self._modify(intent)
            case DeleteVolume(_, volume_id):
                if volume_id in self.volumes and self.volumes[volume_id].holders:
                    raise VolumeInUse(volume_id, self.volumes[volume_id].holders[0])
                self.volumes.pop(volume_id, None)
                return volume_id
            case DeleteSnapshot(_, snapshot_id):
                self.taken.pop(snapshot_id, None)
                return snapshot_id
            case _:
                raise UnsupportedOperation(type(intent).__name__, "ask another provider")

    def _create(self, intent: CreateVolume) -> str:
        for volume in self.volumes.values():
            is_named = self.knows_names and volume.name == intent.name
            if is_named and volume.state is not VolumeState.ERROR:
                return volume.id  # it compares nothing
        made = self.add(
            intent.name,
            round_up(intent.size, MIB),
            state=VolumeState.CREATING,
            origin=self._origin(intent.source),
            place=intent.place and f"canonical {intent.place}",
            kind=intent.kind,
            iops=intent.iops,
            throughput=intent.throughput,
            cloud_key=intent.cloud_key and f"canonical {intent.cloud_key}",
            multi_attach=intent.multi_attach,
            labels={**intent.labels, "cloud": "shaky"},
            maker=intent.maker,
        )
        return self._doomed(made.id)

    def _origin(self, source: FromSnapshot | FromVolume | None) -> Origin:
        match source:
            case None:
                return Blank()
            case FromVolume(volume_id, generation):
                return ClonedFrom(volume_id, generation)
            case FromSnapshot(snapshot_id):
                if snapshot_id not in self.taken:
                    raise NotFound("snapshot", snapshot_id)
                snapshot = self.taken[snapshot_id]
                return RestoredFrom(snapshot.volume_id, snapshot.generation)

    def _take(self, intent: CreateSnapshot) -> str:
        for snapshot in self.taken.values():
            if snapshot.name == intent.name and snapshot.state is not SnapshotState.ERROR:
                return snapshot.id
        volume = self._volume(intent.volume_id)
        made = Snapshot(
            self._new_id("snap"),
            intent.name,
            volume.id,
            volume.size,
            self.clock.now(),
            intent.generation,
            SnapshotState.PENDING,
        )
        self.taken[made.id] = made
        return self._doomed(made.id)

    def _modify(self, intent: ModifyVolume) -> str:
        wanted = {"kind": intent.kind, "iops": intent.iops, "throughput": intent.throughput}
        size = None if intent.size is None else round_up(intent.size, MIB)
        given = {name: value for name, value in {**wanted, "size": size}.items() if value}
        self.change(intent.volume_id, **given)
        return intent.volume_id

    def _outcome(self, handle: Handle[Any]) -> Any:
        subject = handle.reference
        if subject in self._dying:
            self.volumes.pop(subject, None)
            self.taken.pop(subject, None)
            raise self._dying[subject]
        match handle.intent:
            case CreateVolume(name=name):
                if subject not in self.volumes:
                    raise Vanished("volume", name)
                if self.volumes[subject].state is VolumeState.CREATING:
                    self.change(subject, state=VolumeState.AVAILABLE)
            case CreateSnapshot():
                ready = attrs.evolve(self.taken[subject], state=SnapshotState.READY)
                self.taken[subject] = ready
                return ready
            case AttachVolume(instance=instance):
                return self._attachment(subject, instance)
            case DeleteVolume() | DeleteSnapshot():
                return None
            case _:
                pass
        return self._volume(subject)

    def _attachment(self, volume_id: str, instance: str) -> Attachment:
        volume = self._volume(volume_id)
        if not volume.holders:
            raise NotFound("attachment", volume_id)
        self._held_by_nobody_but(volume_id, instance)
        identity = NvmeSerial(volume_id.rpartition("/")[2], "Shaky Block Store")
        return Attachment(volume_id, instance, volume.size, volume.origin, identity)

    def _held_by_nobody_but(self, volume_id: str, instance: str) -> None:
        for holder in self._volume(volume_id).holders:
            if holder != instance:
                raise AttachedElsewhere(volume_id, holder)

    def _volume(self, volume_id: str) -> Volume:
        if volume_id not in self.volumes:
            raise NotFound("volume", volume_id)
        return self.volumes[volume_id]

    def _doomed(self, made_id: str) -> str:
        if self.doomed:
            self._dying[made_id] = self.doomed.pop(0)
        return made_id

    def _new_id(self, kind: str) -> str:
        self._numbers += 1
        return f"shaky:here/{kind}-{self._numbers}"


def _is_same(first: Intent[Any], second: Intent[Any]) -> bool:
    """Say whether two intents ask for the same, whoever asks."""
    if isinstance(first, CreateVolume) and isinstance(second, CreateVolume):
        return attrs.evolve(first, maker=None) == attrs.evolve(second, maker=None)
    return first == second
