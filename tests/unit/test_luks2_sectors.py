"""The payload as a file: positions, ends, alignment, failures and threads."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cloudcrypt.disk import Disk, read
from cloudcrypt.errors import DeviceIOError, InvalidRequest
from cloudcrypt.luks2 import SectorFile, UnlockedVolume, layout
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.model import Mode
from cloudcrypt_testing.disks import FailingDisk, MemoryDisk, Operation, RecordingDisk, at
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import SampleVolume, repeatable, sample_volume

SECTOR = 4096
PAYLOAD = 2 * RUN_SIZE + 3 * SECTOR
DEVICE = layout.DATA_OFFSET + PAYLOAD + 100  # the last bytes make no sector
CONTENT = repeatable("content")(PAYLOAD)


@pytest.fixture(scope="module")
def volume() -> SampleVolume:
    return sample_volume(CHEAP)


@pytest.fixture(scope="module")
def unlocked(volume: SampleVolume) -> UnlockedVolume:
    return volume.unlock(volume.disk(DEVICE))


@pytest.fixture
def disk(volume: SampleVolume) -> MemoryDisk:
    return volume.disk(DEVICE)


@pytest.fixture
def file(disk: Disk, unlocked: UnlockedVolume) -> SectorFile:
    return SectorFile(XTSEngine(disk, unlocked), writable=True)


@pytest.fixture
def full(file: SectorFile) -> SectorFile:
    file.pwrite(0, CONTENT)
    return file


def test_a_sector_is_ciphertext_at_its_place_on_the_disk(
    full: SectorFile, disk: MemoryDisk, volume: SampleVolume
) -> None:
    assert len(CONTENT) == full.size
    for sector in (0, 1, 255, 256, 514):
        tweak = (8 * sector).to_bytes(16, "little")
        key = bytes(volume.volume_key.reveal())
        decryptor = Cipher(algorithms.AES(key), modes.XTS(tweak)).decryptor()
        stored = read(disk, layout.DATA_OFFSET + sector * SECTOR, SECTOR)
        plain = CONTENT[sector * SECTOR : (sector + 1) * SECTOR]
        assert plain == decryptor.update(stored)


def test_size_and_name_are_those_of_payload_and_device(file: SectorFile) -> None:
    assert (PAYLOAD, "memory") == (file.size, file.name)


def test_the_size_may_be_less_than_the_device_has(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    capacity = layout.DATA_OFFSET + 2 * SECTOR
    file = SectorFile(XTSEngine(disk, unlocked, capacity=capacity), writable=True)
    assert 2 * SECTOR == file.size
    with pytest.raises(InvalidRequest):
        file.pwrite(SECTOR, bytes(SECTOR + 1))


RANGES = [
    (0, 0),
    (0, 1),
    (0, SECTOR),
    (1, SECTOR),
    (SECTOR - 1, 2),
    (SECTOR, SECTOR),
    (100, 3 * SECTOR),
    (0, RUN_SIZE),
    (0, RUN_SIZE + 1),
    (RUN_SIZE - 1, 2),
    (RUN_SIZE - SECTOR, 2 * SECTOR),
    (5, 2 * RUN_SIZE),
    (SECTOR + 7, RUN_SIZE),
    (PAYLOAD - 1, 1),
    (PAYLOAD - SECTOR - 1, SECTOR + 1),
    (0, PAYLOAD),
]


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_any_range_is_read(full: SectorFile, offset: int, length: int) -> None:
    assert CONTENT[offset : offset + length] == full.pread(offset, length)


@pytest.mark.parametrize(("offset", "length"), RANGES)
def test_any_range_is_written_and_nothing_beside_it(
    full: SectorFile, offset: int, length: int
) -> None:
    new = repeatable("new")(length)
    assert length == full.pwrite(offset, new)
    assert CONTENT[:offset] + new + CONTENT[offset + length :] == full.pread(0, PAYLOAD)


@pytest.mark.parametrize(("offset", "length"), [(PAYLOAD - 10, 20), (PAYLOAD, 1), (2**50, 2**40)])
def test_reads_stop_at_the_end(full: SectorFile, offset: int, length: int) -> None:
    assert CONTENT[offset : offset + length] == full.pread(offset, length)


@pytest.mark.parametrize(("offset", "length"), [(PAYLOAD - 1, 2), (PAYLOAD, 1), (0, PAYLOAD + 1)])
def test_a_write_beyond_the_end_is_refused_whole(
    full: SectorFile, offset: int, length: int
) -> None:
    with pytest.raises(InvalidRequest):
        full.pwrite(offset, bytes(length))
    assert CONTENT == full.pread(0, PAYLOAD)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (-(2**60), 2**61)])
def test_negative_numbers_are_refused(file: SectorFile, offset: int, length: int) -> None:
    with pytest.raises(InvalidRequest):
        file.pread(offset, length)


def test_a_write_at_a_negative_offset_is_refused(file: SectorFile) -> None:
    with pytest.raises(InvalidRequest):
        file.pwrite(-1, b"x")


BUFFERS: dict[str, Callable[[bytes], bytes | bytearray | memoryview]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "bytes in view": memoryview,
    "words in view": lambda data: memoryview(data).cast("I"),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_any_contiguous_buffer_is_written(file: SectorFile, kind: str) -> None:
    assert file.pwrite(3, BUFFERS[kind](CONTENT[:400])) == 400
    assert CONTENT[:400] == file.pread(3, 400)


def test_whole_sectors_are_written_without_being_read(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    recording = RecordingDisk(disk)
    file = SectorFile(XTSEngine(recording, unlocked), writable=True)
    file.pwrite(SECTOR, bytes(RUN_SIZE + SECTOR))
    first = Operation("write", layout.DATA_OFFSET + SECTOR, RUN_SIZE)
    second = Operation("write", layout.DATA_OFFSET + SECTOR + RUN_SIZE, SECTOR)
    assert [first, second] == recording.operations


def test_only_the_partly_written_sectors_are_read_first(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    recording = RecordingDisk(disk)
    SectorFile(XTSEngine(recording, unlocked), writable=True).pwrite(1, bytes(9 * SECTOR))
    reads = {each.offset for each in recording.operations if each.kind == "read"}
    assert {layout.DATA_OFFSET, layout.DATA_OFFSET + 9 * SECTOR} == reads


# --- with a position ---


def test_reading_and_writing_move_the_position(file: SectorFile) -> None:
    assert file.write(b"hello world") == 11
    assert file.tell() == 11
    assert file.seek(6) == 6
    assert file.read(5) == b"world"
    assert file.tell() == 11


def test_a_position_is_sought_from_start_here_and_end(file: SectorFile) -> None:
    assert file.seek(10) == 10
    assert file.seek(5, os.SEEK_CUR) == 15
    assert file.seek(-5, os.SEEK_CUR) == 10
    assert PAYLOAD - 1 == file.seek(-1, os.SEEK_END)
    assert PAYLOAD + 7 == file.seek(7, os.SEEK_END)
    assert file.read(10) == b""


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-1, 1), (-PAYLOAD - 1, 2), (0, 99)])
def test_no_other_position_can_be_sought(file: SectorFile, offset: int, whence: int) -> None:
    with pytest.raises(InvalidRequest):
        file.seek(offset, whence)
    assert file.tell() == 0


def test_readall_reads_to_the_end(full: SectorFile) -> None:
    full.seek(PAYLOAD - 5000)
    assert CONTENT[-5000:] == full.readall()
    assert PAYLOAD == full.tell()
    assert full.readall() == b""


def test_read_without_a_length_reads_to_the_end(full: SectorFile) -> None:
    full.seek(SECTOR)
    assert CONTENT[SECTOR:] == full.read()


def test_readinto_fills_a_buffer_and_no_more_than_there_is(full: SectorFile) -> None:
    buffer = bytearray(b"\xee" * 20)
    full.seek(PAYLOAD - 12)
    assert full.readinto(buffer) == 12
    assert CONTENT[-12:] + b"\xee" * 8 == buffer
    assert full.readinto(buffer) == 0


def test_it_is_a_file_for_everything_that_buffers_raw_files(full: SectorFile) -> None:
    with io.BufferedRandom(full) as buffered:
        buffered.seek(SECTOR - 3)
        assert CONTENT[SECTOR - 3 : SECTOR + 3] == buffered.read(6)
        buffered.write(b"text")
        buffered.seek(SECTOR + 3)
        assert buffered.read(4) == b"text"


def test_it_can_be_read_sought_and_written(file: SectorFile) -> None:
    assert (True, True, True) == (file.readable(), file.seekable(), file.writable())


# --- opened for reading, closed ---


def test_a_file_opened_for_reading_is_not_written(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    recording = RecordingDisk(disk)
    with SectorFile(XTSEngine(recording, unlocked), writable=False) as file:
        assert not file.writable()
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with pytest.raises(io.UnsupportedOperation):
            file.pwrite(0, b"x")
        file.flush()
    assert recording.operations == []


USES: dict[str, Callable[[SectorFile], object]] = {
    "pread": lambda file: file.pread(0, 1),
    "pwrite": lambda file: file.pwrite(0, b"x"),
    "read": lambda file: file.read(1),
    "readall": lambda file: file.readall(),
    "readinto": lambda file: file.readinto(bytearray(1)),
    "write": lambda file: file.write(b"x"),
    "seek": lambda file: file.seek(0),
    "flush": lambda file: file.flush(),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_file_is_of_no_use(file: SectorFile, use: str) -> None:
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        USES[use](file)


def test_flushing_and_closing_make_writes_durable(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    recording = RecordingDisk(disk)
    with SectorFile(XTSEngine(recording, unlocked), writable=True) as file:
        file.flush()
    assert [Operation("sync")] * 2 == recording.operations


def test_the_data_of_an_integrity_volume_is_not_read_without_its_tags() -> None:
    volume = sample_volume(CHEAP, Mode.INTEGRITY)
    disk = volume.disk()
    with pytest.raises(ValueError, match="the volume has integrity"):
        XTSEngine(disk, volume.unlock(disk))


# --- failures, threads ---


def test_a_failing_read_is_an_error_and_not_zeros(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    bad = layout.DATA_OFFSET + 5 * SECTOR
    file = SectorFile(XTSEngine(FailingDisk(disk, at("read", bad)), unlocked), writable=True)
    assert file.pread(0, 5 * SECTOR)
    for use in (
        lambda: file.pread(0, 6 * SECTOR),
        lambda: file.pwrite(5 * SECTOR + 1, b"x"),
        file.readall,
    ):
        with pytest.raises(DeviceIOError):
            use()


def test_a_failing_write_is_an_error(disk: MemoryDisk, unlocked: UnlockedVolume) -> None:
    bad = layout.DATA_OFFSET + 5 * SECTOR
    file = SectorFile(XTSEngine(FailingDisk(disk, at("write", bad)), unlocked), writable=True)
    with pytest.raises(DeviceIOError):
        file.write(bytes(10 * SECTOR))
    assert file.tell() == 0
    assert file.pwrite(6 * SECTOR, bytes(SECTOR)) == SECTOR


def test_a_failing_sync_is_an_error_of_flush_and_of_close(
    disk: MemoryDisk, unlocked: UnlockedVolume
) -> None:
    file = SectorFile(XTSEngine(FailingDisk(disk, at("sync")), unlocked), writable=True)
    with pytest.raises(DeviceIOError):
        file.flush()
    with pytest.raises(DeviceIOError):
        file.close()
    assert file.closed


def test_threads_read_at_once_what_each_asked_for(full: SectorFile) -> None:
    ranges = [(offset * 4001, 9000) for offset in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(full.pread, *zip(*ranges, strict=True)))
    assert [CONTENT[offset : offset + length] for offset, length in ranges] == found


def test_threads_that_write_into_one_sector_lose_nothing(file: SectorFile) -> None:
    pieces = [(number * 64, bytes([number]) * 64) for number in range(128)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(file.pwrite, *zip(*pieces, strict=True)))
    assert b"".join(piece for _, piece in pieces) == file.pread(0, 128 * 64)
