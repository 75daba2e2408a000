"""Everything that a crash can leave on a disk: computed from the writes of one run."""

import itertools
from collections.abc import Iterator, Sequence
from random import Random

import attrs

from cloudcrypt.integrity.geometry import SECTION_SIZE
from cloudcrypt_testing.disks import MemoryDisk, RecordingDisk

TEARS = (0, 8, 512, 4096)
"""Bytes at which a write is torn, beside half of it and all of it."""

ATOMIC = 512
"""Bytes that arrive whole or not at all. The journal of dm-integrity relies on it, in the kernel as
here: a commit id vouches for the 504 bytes before it. Data and tags are torn anywhere."""


@attrs.frozen
class Write:
    """One write: what it wrote where, and which contents of each sector a reader may find now."""

    offset: int
    content: bytes = attrs.field(repr=False)
    allowed: tuple[frozenset[bytes], ...] = attrs.field(repr=False)


class Model:
    """Which contents each sector may have after a crash: the durable one, and those since."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self.current = list(contents)
        self._possible = [{content} for content in contents]

    def write(self, sector: int, contents: Sequence[bytes]) -> None:
        for index, content in enumerate(contents, sector):
            self.current[index] = content
            self._possible[index].add(content)

    def flushed(self) -> None:
        self._possible = [{content} for content in self.current]

    @property
    def allowed(self) -> tuple[frozenset[bytes], ...]:
        return tuple(map(frozenset, self._possible))


class LoggingDisk(RecordingDisk):
    """A disk that keeps what was written to it, in groups: a sync begins a new one."""

    def __init__(self, disk: MemoryDisk, model: Model) -> None:
        super().__init__(disk)
        self.groups: list[list[Write]] = [[]]
        self._model = model

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.groups[-1].append(Write(offset, bytes(data), self._model.allowed))
        super().write(offset, data)

    def sync(self) -> None:
        self.groups.append([])
        super().sync()


@attrs.frozen
class Wreck:
    """What a crash left, and which contents each sector may have."""

    what: str
    disk: MemoryDisk
    allowed: tuple[frozenset[bytes], ...] = attrs.field(repr=False)
    tear: int = 0
    is_kept: bool = True


def tears(length: int) -> list[int]:
    """Return at how many bytes a write of ``length`` bytes is torn; journal sections by units."""
    found = sorted({t for t in TEARS if t < length} | {length // 2, length})
    return [t for t in found if t % ATOMIC == 0] if length == SECTION_SIZE else found


def torn(start: MemoryDisk, groups: list[list[Write]]) -> Iterator[Wreck]:
    """Yield what is left if the power goes at each write.

    The write is torn at every place; those of its group that came before are kept, or lost.
    """
    durable = start.copy()
    for number, group in enumerate(groups):
        kept = durable.copy()
        for index, write in enumerate(group):
            length = len(write.content)
            for tear in tears(length):
                for is_kept in (True, False):
                    disk = (kept if is_kept else durable).copy()
                    disk.write(write.offset, write.content[:tear])
                    what = f"group {number}, write {index}, {tear} bytes"
                    yield Wreck(what, disk, write.allowed, tear, is_kept)
            kept.write(write.offset, write.content)
        durable = kept


def reordered(start: MemoryDisk, groups: list[list[Write]]) -> Iterator[Wreck]:
    """Yield what is left if of each group any writes have arrived, and the others have not."""
    durable = start.copy()
    for number, group in enumerate(groups):
        for arrived in itertools.product((False, True), repeat=len(group)):
            if not any(arrived):
                continue
            disk = durable.copy()
            for write in itertools.compress(group, arrived):
                disk.write(write.offset, write.content)
            yield Wreck(f"group {number}, {arrived}", disk, group[-1].allowed)
        for write in group:
            durable.write(write.offset, write.content)


def scattered(start: MemoryDisk, groups: list[list[Write]], number: int, seed: int) -> Wreck:
    """Return what is left if of one group any units of 512 bytes have arrived."""
    random = Random(seed)  # noqa: S311  # repeatable, not secret
    disk = start.copy()
    for group in groups[:number]:
        for write in group:
            disk.write(write.offset, write.content)
    share = random.choice((0.02, 0.5, 0.98))
    for write in groups[number]:
        for at in range(0, len(write.content), ATOMIC):
            if random.random() < share:
                disk.write(write.offset + at, write.content[at : at + ATOMIC])
    return Wreck(f"group {number}, seed {seed}", disk, groups[number][-1].allowed)
