"""The tags of a blank volume: the same by one process or by several, and resumable."""

import io
import os
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudcrypt.disk import read
from cloudcrypt.errors import DeviceIOError, HostUnready
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.blank_tags import _Worker, blank_tags, serve
from cloudcrypt.integrity.initialise import SYNC_RUNS, write_tags
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, Operation, RecordingDisk
from tests.unit import integrity_facts as facts
from tests.unit.protected import capacity_for, volume_key

BLANK = bytes(4096)
RANGES = [(0, 0), (0, 1), (0, 4095), (0, 4096), (0, 4097), (7, 8200), (4096, 4097), (5000, 9000)]


def tag(sector: int) -> bytes:
    return facts.tag(bytes(volume_key().reveal()), sector, BLANK)


@pytest.mark.parametrize(("first", "end"), RANGES)
def test_tags_come_a_run_at_a_time_and_in_order(first: int, end: int) -> None:
    found = list(blank_tags(volume_key(), first, end, workers=0))
    starts = [first, *range(first - first % 4096 + 4096, end, 4096)] if first < end else []
    assert starts == [sector for sector, _ in found]
    counts = [len(content) // 32 for _, content in found]
    ends = [*starts[1:], end] if starts else []
    assert [stop - start for start, stop in zip(starts, ends, strict=True)] == counts
    for start, content in found:
        for index in {0, len(content) // 32 - 1}:
            assert tag(start + index) == content[index * 32 : index * 32 + 32]


@pytest.mark.parametrize("workers", [1, 2])
def test_several_processes_yield_what_one_does(workers: int) -> None:
    first, end = 100, 6 * 4096 + 77
    alone = list(blank_tags(volume_key(), first, end, workers=0))
    assert alone == list(blank_tags(volume_key(), first, end, workers=workers))


def test_so_much_that_it_pays_is_shared_unasked() -> None:
    found = blank_tags(volume_key(), 0, 8 * 4096 + 1)
    (_, content), children = next(found), workers_of_this_process()
    assert len(os.sched_getaffinity(0)) == len(children)
    assert tag(0) == content[:32]
    found.close()
    assert workers_of_this_process() == []


def test_little_is_not_shared() -> None:
    found = blank_tags(volume_key(), 0, 8 * 4096)
    next(found)
    assert workers_of_this_process() == []


def workers_of_this_process() -> list[int]:
    """Return the process ids of the workers that this process has started."""
    return sorted(_children())


def _children() -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            command = entry.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"cloudcrypt.integrity.blank_tags" in command:
            yield int(entry.name)


def test_a_worker_that_dies_is_an_error_of_the_host() -> None:
    found = blank_tags(volume_key(), 0, 40 * 4096, workers=2)
    next(found)
    for process in workers_of_this_process():
        os.kill(process, signal.SIGKILL)
    with pytest.raises(HostUnready, match="workers=0"):
        list(found)
    assert workers_of_this_process() == []


def test_a_worker_that_is_gone_takes_no_more_requests() -> None:
    with _Worker(volume_key()) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(HostUnready):
            worker.ask(0, 1)


def test_a_worker_that_is_gone_gives_no_answer_that_is_too_short() -> None:
    with _Worker(volume_key()) as worker:
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(HostUnready):
            worker.answer(1)


def test_a_worker_gets_its_key_by_no_argument_and_no_environment() -> None:
    found = blank_tags(volume_key(), 0, 4096, workers=1)
    next(found)
    (process,) = workers_of_this_process()
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    assert [b"-m", b"cloudcrypt.integrity.blank_tags", b""] == words[1:]
    assert bytes(volume_key().reveal()[64:]) not in Path(f"/proc/{process}/environ").read_bytes()
    found.close()


def test_a_worker_answers_until_there_are_no_more_requests() -> None:
    numbers = [(0, 2), (4096, 1), (7, 3)]
    requests = b"".join(s.to_bytes(8, "little") + n.to_bytes(8, "little") for s, n in numbers)
    answers = io.BytesIO()
    serve(io.BytesIO(bytes(volume_key().reveal()) + requests), answers)
    expected = [tag(s + index) for s, n in numbers for index in range(n)]
    assert b"".join(expected) == answers.getvalue()


# --- onto the disk ---

LARGE = 1 * GIB + 256 * MIB
"""78 runs or so: more than are written between two flushes."""


class Counting(MemoryDisk):
    """A disk that counts the bytes it is given, and keeps none of the tags."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.written = 0

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        del offset
        self.written += len(data)


def test_tags_are_written_where_they_belong_and_nothing_else_is() -> None:
    capacity = capacity_for(sections=1, sectors=4096) + 128 * 1024 + 3 * 4096
    geometry = Geometry.of(capacity, 1)
    assert geometry.sectors == 4099
    disk = RecordingDisk(MemoryDisk(capacity))
    write_tags(disk, volume_key(), geometry, workers=0)
    assert [
        Operation("write", facts.tag_byte(0, 1), 4096 * 32),
        Operation("write", facts.tag_byte(4096, 1), 3 * 32),
        Operation("sync"),
    ] == disk.operations
    for sector in (0, 1, 4095, 4096, 4098):
        assert tag(sector) == read(disk, facts.tag_byte(sector, 1), 32)


def told(geometry: Geometry, capacity: int) -> list[int]:
    """Write tags, and return what was said to be durable."""
    found: list[int] = []
    write_tags(Counting(capacity), volume_key(), geometry, durable=found.append, workers=0)
    return found


def test_what_is_durable_is_told_after_every_gib_and_at_the_end() -> None:
    capacity = 2 * GIB + 128 * MIB
    geometry = Geometry.of(capacity)
    expected = [SYNC_RUNS * 4096, 2 * SYNC_RUNS * 4096, geometry.sectors]
    assert expected == told(geometry, capacity)


def test_what_is_durable_is_never_more_than_there_is() -> None:
    sectors = 63 * 4096 + 5  # the last of 64 runs is not whole
    capacity = facts.data_byte(sectors, 1)
    geometry = Geometry.of(capacity, 1)
    assert sectors == geometry.sectors
    assert [sectors, sectors] == told(geometry, capacity)


def test_nothing_is_told_to_be_durable_before_it_was_flushed() -> None:
    capacity = LARGE
    disk = RecordingDisk(Counting(capacity))
    seen: list[tuple[int, str]] = []

    def durable(sector: int) -> None:
        seen.append((sector, disk.operations[-1].kind))

    write_tags(disk, volume_key(), Geometry.of(capacity), durable=durable, workers=0)
    assert ["sync"] * len(seen) == [kind for _, kind in seen]


def test_writing_goes_on_from_what_was_durable_when_it_failed() -> None:
    capacity = 1 * GIB + 64 * MIB
    geometry = Geometry.of(capacity)
    goal = MemoryDisk(capacity)
    write_tags(goal, volume_key(), geometry, workers=0)
    disk = MemoryDisk(capacity)
    bad = geometry.tag_offset(65 * 4096)
    failing = FailingDisk(
        disk, lambda operation: operation.kind == "write" and operation.offset == bad
    )
    durable: list[int] = []
    with pytest.raises(DeviceIOError):
        write_tags(failing, volume_key(), geometry, durable=durable.append, workers=0)
    assert [SYNC_RUNS * 4096] == durable
    rest = RecordingDisk(disk)
    write_tags(rest, volume_key(), geometry, first=durable[-1], workers=0)
    first = min(operation.offset for operation in rest.operations if operation.kind == "write")
    assert geometry.tag_offset(SYNC_RUNS * 4096) == first
    assert list(goal.extents(0, capacity)) == list(disk.extents(0, capacity))
    for begin, end in goal.extents(0, capacity):
        assert read(goal, begin, end - begin) == read(disk, begin, end - begin)


def test_memory_stays_flat_whatever_the_size() -> None:
    peaks: list[int] = []
    for capacity in (128 * MIB, LARGE):
        tracemalloc.start()
        told(Geometry.of(capacity), capacity)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 64 * 1024
    assert peaks[1] < 4 * MIB


def test_less_than_a_hundredth_of_the_disk_is_written() -> None:
    disk = Counting(512 * MIB)
    write_tags(disk, volume_key(), Geometry.of(512 * MIB))
    assert 0.0074 < disk.written / (512 * MIB) < 0.0079
