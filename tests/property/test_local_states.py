"""The local provider against a model of it: dictionaries, with the content of every volume.

Every step is taken at random in one of two ways: at once, or begun, lost in a crash, then found and
finished by a provider that was opened anew. Both must end in what the model says.
"""

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    InvalidRequest,
    NotFound,
    RequestConflict,
    VolumeInUse,
)
from cloudcrypt.model import Blank, ClonedFrom, Origin, RestoredFrom
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    FromVolume,
    Intent,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider

T = TypeVar("T")
UNIT = 4096
NAMES = st.sampled_from(["a", "b", "c"])
UNITS = st.integers(1, 3)
NODES = st.sampled_from(["one", "two"])
CRASHES = st.booleans()


@attrs.define
class Modelled:
    """A volume, or a snapshot of one (``of``), as the model knows it."""

    name: str
    content: bytes
    origin: Origin = attrs.field(factory=Blank)
    source: FromSnapshot | FromVolume | None = None
    holder: str | None = None
    of: str = ""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content)


class LocalStates(RuleBasedStateMachine):
    volume_ids = Bundle("volume_ids")
    snapshot_ids = Bundle("snapshot_ids")
    intents = Bundle("intents")

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="local-states-"))
        self.provider = LocalProvider(self.directory / "store")
        self.volumes: dict[str, Modelled] = {}
        self.snapshots: dict[str, Modelled] = {}
        self.tokens = (f"token-{number}" for number in itertools.count())

    def teardown(self) -> None:
        shutil.rmtree(self.directory)

    def perform(self, intent: Intent[T], *, crash: bool) -> T:
        if not crash:
            return perform(self.provider, intent)
        self.provider.begin(intent)
        self.provider = LocalProvider.from_url(self.provider.url)
        handle = self.provider.find(intent)
        assert handle is not None
        return self.provider.resume(handle, deadline=Deadline.after(0))

    def refused(self, intent: Intent[T], error: type[CloudcryptError]) -> None:
        with pytest.raises(error):
            perform(self.provider, intent)
        assert self.provider.find(intent) is None

    def path(self, image_id: str) -> Path:
        return self.directory / "store" / f"{image_id.rpartition('/')[2]}.img"

    def create(self, intent: CreateVolume, wanted: Modelled, *, crash: bool) -> str:
        named = [key for key, volume in self.volumes.items() if volume.name == intent.name]
        volume = self.perform(intent, crash=crash)
        assert [volume.id] == (named or [volume.id])
        if not named:
            self.volumes[volume.id] = wanted
        return volume.id

    def conflicts(self, intent: CreateVolume) -> bool:
        return any(
            (volume.size, volume.source) != (intent.size, intent.source)
            for volume in self.volumes.values()
            if volume.name == intent.name
        )

    @rule(target=volume_ids, name=NAMES, units=UNITS, crash=CRASHES)
    def create_blank(self, name: str, units: int, *, crash: bool) -> str:
        intent = CreateVolume(next(self.tokens), name, units * UNIT)
        if self.conflicts(intent):
            self.refused(intent, RequestConflict)
            return "local:gone/vol-0"
        return self.create(intent, Modelled(name, bytes(units * UNIT)), crash=crash)

    @rule(target=volume_ids, name=NAMES, units=UNITS, snapshot_id=snapshot_ids, crash=CRASHES)
    def restore(self, name: str, units: int, snapshot_id: str, *, crash: bool) -> str:
        snapshot, size = self.snapshots.get(snapshot_id), units * UNIT
        source = FromSnapshot(snapshot_id)
        origin = RestoredFrom(snapshot.of, 5) if snapshot else Blank()
        return self.copy(name, size, source, snapshot, origin, crash=crash)

    @rule(target=volume_ids, name=NAMES, units=UNITS, volume_id=volume_ids, crash=CRASHES)
    def clone(self, name: str, units: int, volume_id: str, *, crash: bool) -> str:
        source, size = self.volumes.get(volume_id), units * UNIT
        origin = ClonedFrom(volume_id, 6)
        return self.copy(name, size, FromVolume(volume_id, 6), source, origin, crash=crash)

    def copy(
        self,
        name: str,
        size: int,
        source: FromSnapshot | FromVolume,
        modelled: Modelled | None,
        origin: Origin,
        *,
        crash: bool,
    ) -> str:
        intent = CreateVolume(next(self.tokens), name, size, source)
        exists = any(volume.name == name for volume in self.volumes.values())
        if self.conflicts(intent):
            self.refused(intent, RequestConflict)
        elif not exists and modelled is None:
            self.refused(intent, NotFound)
        elif not exists and modelled is not None and size < modelled.size:
            self.refused(intent, InvalidRequest)
        else:
            content = b"" if modelled is None else modelled.content
            wanted = Modelled(name, content.ljust(size, b"\0"), origin, source)
            return self.create(intent, wanted, crash=crash)
        return "local:gone/vol-0"

    @rule(volume_id=volume_ids, unit=st.integers(0, 2), byte=st.integers(1, 255))
    def write(self, volume_id: str, unit: int, byte: int) -> None:
        volume, written = self.volumes.get(volume_id), bytes([byte]) * UNIT
        if volume is not None and unit * UNIT < volume.size:
            with self.path(volume_id).open("r+b") as file:
                file.seek(unit * UNIT)
                file.write(written)
            before, after = volume.content[: unit * UNIT], volume.content[(unit + 1) * UNIT :]
            volume.content = before + written + after

    @rule(target=intents, volume_id=volume_ids, node=NODES, crash=CRASHES)
    def attach(self, volume_id: str, node: str, *, crash: bool) -> Intent[object]:
        intent, volume = (
            AttachVolume(next(self.tokens), volume_id, node),
            self.volumes.get(volume_id),
        )
        if volume is None:
            self.refused(intent, NotFound)
        elif volume.holder not in {None, node}:
            self.refused(intent, AttachedElsewhere)
        else:
            attachment = self.perform(intent, crash=crash)
            assert (attachment.size, attachment.origin) == (volume.size, volume.origin)
            volume.holder = node
        return intent

    @rule(volume_id=volume_ids, node=NODES, crash=CRASHES)
    def detach(self, volume_id: str, node: str, *, crash: bool) -> None:
        intent, volume = (
            DetachVolume(next(self.tokens), volume_id, node),
            self.volumes.get(volume_id),
        )
        if volume is None:
            self.refused(intent, NotFound)
        elif volume.holder not in {None, node}:
            self.refused(intent, AttachedElsewhere)
        else:
            assert self.perform(intent, crash=crash).holders == ()
            volume.holder = None

    @rule(volume_id=volume_ids, units=UNITS, crash=CRASHES)
    def resize(self, volume_id: str, units: int, *, crash: bool) -> None:
        intent = ResizeVolume(next(self.tokens), volume_id, units * UNIT)
        volume = self.volumes.get(volume_id)
        if volume is None:
            self.refused(intent, NotFound)
        elif intent.size < volume.size:
            self.refused(intent, InvalidRequest)
        else:
            assert self.perform(intent, crash=crash).size == intent.size
            volume.content = volume.content.ljust(intent.size, b"\0")

    @rule(volume_id=volume_ids, crash=CRASHES)
    def delete(self, volume_id: str, *, crash: bool) -> None:
        intent, volume = DeleteVolume(next(self.tokens), volume_id), self.volumes.get(volume_id)
        if volume_id.startswith("local:gone/"):
            self.refused(intent, NotFound)
        elif volume is not None and volume.holder is not None:
            self.refused(intent, VolumeInUse)
        else:
            self.perform(intent, crash=crash)
            self.volumes.pop(volume_id, None)

    @rule(target=snapshot_ids, volume_id=volume_ids, name=NAMES, crash=CRASHES)
    def snapshot(self, volume_id: str, name: str, *, crash: bool) -> str:
        intent = CreateSnapshot(next(self.tokens), volume_id, name, 5)
        volume = self.volumes.get(volume_id)
        named = {key: each for key, each in self.snapshots.items() if each.name == name}
        if any(each.of != volume_id for each in named.values()):
            self.refused(intent, RequestConflict)
        elif not named and volume is None:
            self.refused(intent, NotFound)
        else:
            snapshot = self.perform(intent, crash=crash)
            if not named and volume is not None:
                taken = Modelled(name, volume.content, of=volume_id)
                self.snapshots[snapshot.id] = taken
            return snapshot.id
        return "local:gone/snap-0"

    @rule(snapshot_id=consumes(snapshot_ids), crash=CRASHES)
    def delete_snapshot(self, snapshot_id: str, *, crash: bool) -> None:
        intent = DeleteSnapshot(next(self.tokens), snapshot_id)
        if snapshot_id.startswith("local:gone/"):
            self.refused(intent, NotFound)
        else:
            self.perform(intent, crash=crash)
            self.snapshots.pop(snapshot_id, None)

    @rule(intent=intents)
    def an_old_attachment_is_claimed_only_while_it_lasts(self, intent: AttachVolume) -> None:
        handle = self.provider.find(intent)
        if handle is None:
            return
        volume = self.volumes.get(intent.volume_id)
        if volume is not None and volume.holder == intent.instance:
            assert self.provider.resume(handle, deadline=Deadline.after(0)).size == volume.size
        else:
            with pytest.raises((NotFound, AttachedElsewhere)):
                self.provider.resume(handle, deadline=Deadline.after(0))

    @invariant()
    def all_volumes_are_as_modelled(self) -> None:
        found = {
            volume.id: (volume.name, volume.size, volume.origin, volume.holders)
            for volume in self.provider.list()
        }
        assert found == {
            key: (
                volume.name,
                volume.size,
                volume.origin,
                (volume.holder,) if volume.holder else (),
            )
            for key, volume in self.volumes.items()
        }
        assert list(found) == list(self.volumes)

    @invariant()
    def all_snapshots_are_as_modelled(self) -> None:
        assert [
            (each.id, each.name, each.size, each.volume_id, each.generation)
            for each in self.provider.snapshots()
        ] == [(key, each.name, each.size, each.of, 5) for key, each in self.snapshots.items()]

    @invariant()
    def there_is_one_file_for_each_with_its_content(self) -> None:
        images = {self.path(key): image for key, image in (self.volumes | self.snapshots).items()}
        assert set((self.directory / "store").glob("*.img")) == set(images)
        assert {path: path.read_bytes() for path in images} == {
            path: image.content for path, image in images.items()
        }


LocalStates.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestLocalStates = LocalStates.TestCase
