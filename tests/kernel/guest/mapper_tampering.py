"""Every row of docs/reference/integrity-attacks.md on a volume that the kernel wrote, in the guest.

Each row twice: opened by the kernel mapper, and by libcryptsetup and the kernel alone, without any
of the mapper's care. A row is what the cases of other modules call a mode.
"""

import errno
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import DeviceIOError, SectorRefused, UnsupportedOperation
from cloudcrypt.integrity import Geometry
from cloudcrypt.ledger import Record
from cloudcrypt.luks2 import SectorFile, UnlockedVolume
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.mapper._block import direct
from cloudcrypt.mapper._libcryptsetup import CallError, load
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from tests.kernel.guest.mapper_bench import (
    CASES,
    NAME,
    VOLUME,
    Bench,
    mapped,
    refused,
    settle,
)
from tests.kernel.guest.mapper_loops import Loop
from tests.kernel.guest.mapper_refusing import activate
from tests.unit import tampering as outcomes
from tests.unit.protected import filled, sectors_of
from tests.unit.tampering import SECTOR, TAMPERINGS, Disks, Tampering

SIZE = 64 * MIB
"""Bytes of the disk: three sections of journal."""
WRITTEN = 20 * MIB
"""Bytes with header, superblock, journal, tags and the first sectors."""

LOOKED_AT = 12
OLD, NEW = sectors_of(filled(1, LOOKED_AT)), sectors_of(filled(2, LOOKED_AT))
ROWS = {each.name: each for each in TAMPERINGS}

UNSURE = ("superblock: flag INLINE",)
"""What kernels from 6.11 on know of, and may refuse."""

Sectors = list[bytes | None]
"""What is read of the first sectors; None is an error of integrity."""

EXPECTED_ERROR: Sectors = [*NEW[:SECTOR], None, *NEW[SECTOR + 1 :]]


@attrs.frozen
class Versions:
    """Files with what a disk was: with a live journal, after that, and now; and its record."""

    unclean: Path
    older: Path
    now: Path
    record: Record


@functools.cache
def versions() -> Versions:
    """Return the versions of a disk that the kernel wrote to twice; made once in a process."""
    folder = Path(tempfile.mkdtemp())
    with Bench(Mode.INTEGRITY) as bench:
        device = bench.formatted(size=SIZE)
        file = bench.loops[VOLUME].file
        with bench.open(device).open() as payload:
            payload.pwrite(0, filled(1, LOOKED_AT))
            payload.flush()
            unclean = _copied(file, folder / "unclean")
        bench.close()
        older = _copied(file, folder / "older")
        with bench.open(device).open() as payload:
            payload.pwrite(0, filled(2, LOOKED_AT))
        bench.close()
        return Versions(unclean, older, _copied(file, folder / "now"), bench.record())


def _copied(file: Path, to: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", file, to], check=True)
    return to


class Tampered:
    """A disk that was tampered with, attached to a node whose ledger knows the volume."""

    def __init__(self, bench: Bench, tampering: Tampering | None) -> None:
        found = versions()
        self.bench = bench
        self.file = _copied(found.now, bench.folder / "tampered.img")
        with ExitStack() as files:
            disks = [
                files.enter_context(FileDisk(path, writable=path is self.file))
                for path in (found.older, found.unclean, self.file)
            ]
            if tampering is not None:
                tampering.apply(Disks(Geometry.of(SIZE), *disks))
        bench.ledger.add(found.record)
        bench.loops[VOLUME] = bench._closing.enter_context(Loop(self.file))
        self.device: BlockDevice = bench.device()

    def content(self) -> bytes:
        """Return what is on the disk as far as anything was written, and beyond."""
        with self.file.open("rb") as file:
            return file.read(WRITTEN)

    def unlocked(self) -> UnlockedVolume:
        return self.bench.unlocked(self.device)

    def read_by_mapper(self) -> Sectors:
        """Open the volume with the kernel mapper, read, and close it."""
        with self.bench.open(self.device).open() as payload:
            found = [_sector_of(payload, number) for number in range(LOOKED_AT)]
        self.bench.close()
        return found

    def read_by_kernel(self, *, writing: bool = False) -> Sectors:
        """Map the volume with libcryptsetup alone, read, and unmap it.

        Raises:
            CallError: it was refused.
        """
        with self.unlocked() as volume:
            activate(self.device, volume)
        path = f"/dev/mapper/{NAME}"
        descriptor = os.open(path, os.O_RDWR)
        try:
            if writing:
                refused(OSError, lambda: _write(descriptor))
            with direct(path, descriptor) as payload:
                return [_sector(payload.read, number) for number in range(LOOKED_AT)]
        finally:
            os.close(descriptor)
            settle()
            load().deactivate(NAME)


def _write(descriptor: int) -> None:
    os.pwrite(descriptor, bytes(SECTOR_SIZE), 0)
    os.fsync(descriptor)


def _sector_of(payload: SectorFile, number: int) -> bytes | None:
    """Return a sector, None if it is refused, and something else if the refusal is of another."""
    try:
        return payload.pread(number * SECTOR_SIZE, SECTOR_SIZE)
    except SectorRefused as refusal:
        return None if (VOLUME, number) == (refusal.volume, refusal.sector) else b"misnamed"


def _sector(read: Callable[[int], bytes], number: int) -> bytes | None:
    """Return a sector, None if the kernel refuses it as it does what does not verify."""
    try:
        return read(number * SECTOR_SIZE)
    except DeviceIOError as error:
        cause = error.__cause__
        is_refused = isinstance(cause, OSError) and cause.errno in (errno.EILSEQ, errno.EIO)
        return None if is_refused else b"another error"


def by_row(check: Callable[[Bench, Tampering], None]) -> Callable[[str], None]:
    """Make a case of a check; it runs for every row, with a node of its own."""

    @functools.wraps(check)
    def checked(row: str) -> None:
        with Bench(Mode.INTEGRITY) as bench:
            check(bench, ROWS[row])

    CASES[f"{check.__module__}:{check.__name__}"] = [*ROWS]
    return checked


def _require_replay(found: Sectors) -> None:
    assert found[SECTOR] == OLD[SECTOR]
    assert all(one in (OLD[at], NEW[at]) for at, one in enumerate(found))


@by_row
def the_mapper_has_the_outcome_of_the_row(bench: Bench, tampering: Tampering) -> None:
    tampered = Tampered(bench, tampering)
    before = tampered.content()
    if tampering.refused is None:
        _require_replay(tampered.read_by_mapper())
        return
    if tampering.refused is not SectorRefused or "forged" in tampering.name:
        refused(tampering.refused, lambda: bench.open(tampered.device))
        assert set() == mapped()
        assert bench.record().holder is None
        assert before == tampered.content()  # a forged entry did not reach its place
    else:
        assert EXPECTED_ERROR == tampered.read_by_mapper()


@by_row
def whoever_only_reads_has_the_outcome_of_the_row(bench: Bench, tampering: Tampering) -> None:
    tampered = Tampered(bench, tampering)
    before = tampered.content()
    stage = bench.stage(KernelMapper())

    def opened() -> KernelMapping:
        mapping: KernelMapping = stage.open(tampered.device, writable=False)
        return mapping

    if tampering.refused not in (None, SectorRefused):
        refused(tampering.refused, opened)
    elif tampering.name.startswith("journal"):  # it would have to be replayed
        refused(UnsupportedOperation, opened)
    else:
        with opened().open() as payload:
            found = [_sector_of(payload, number) for number in range(LOOKED_AT)]
        stage.close(VOLUME)
        replaced = OLD[SECTOR] if tampering.refused is None else None
        assert [*NEW[:SECTOR], replaced, *NEW[SECTOR + 1 :]] == found
    assert set() == mapped()
    assert before == tampered.content()


def release() -> tuple[int, ...]:
    """Return the first numbers of the kernel's release."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


@by_row
def the_kernel_alone_does_what_the_row_says(bench: Bench, tampering: Tampering) -> None:
    tampered = Tampered(bench, tampering)
    match tampering.kernel:
        case outcomes.REFUSED:
            refused(CallError, tampered.read_by_kernel)
        case outcomes.ACCEPTED if tampering.name in UNSURE and release() >= (6, 11):
            with suppress(CallError):
                tampered.read_by_kernel()
        case outcomes.ACCEPTED:
            found = tampered.read_by_kernel()
            if tampering.refused is None:
                _require_replay(found)
        case outcomes.ERRORS:
            assert [None] * LOOKED_AT == tampered.read_by_kernel(writing=True)
        case outcomes.FOR_GOOD:
            tampered.read_by_kernel()
            assert EXPECTED_ERROR == tampered.read_by_kernel()
        case outcomes.ON_READ:
            assert EXPECTED_ERROR == tampered.read_by_kernel()
        case other:
            raise AssertionError(other)
    assert set() == mapped()


def what_was_not_tampered_with_reads_as_it_was_written(_: str) -> None:
    """Opened by either, after which user space reads it too."""
    with Bench(Mode.INTEGRITY) as bench:
        tampered = Tampered(bench, None)
        assert NEW == tampered.read_by_mapper()
        assert NEW == tampered.read_by_kernel()
        assert filled(2, LOOKED_AT) == bench.read(tampered.device, 0, LOOKED_AT * SECTOR_SIZE)


CASES[f"{__name__}:what_was_not_tampered_with_reads_as_it_was_written"] = [Mode.INTEGRITY.value]
