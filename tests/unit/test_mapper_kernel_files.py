"""The payload of a kernel mapping as a file, on files that stand for the mapping's node."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import (
    DeviceIOError,
    DeviceMismatch,
    DeviceUnavailable,
    UnsupportedOperation,
)
from cloudcrypt.luks2.gate import Gate
from cloudcrypt.mapper._block import opened_beside, opened_mapping
from cloudcrypt.mapper._payload import MappedEngine, MappedFile
from cloudcrypt.profiles import SECTOR_SIZE

SIZE = 16 * SECTOR_SIZE


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "node"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    return path


@pytest.fixture
def engine(node: Path) -> Iterator[MappedEngine]:
    engine = opened(node)
    yield engine
    engine.close()


def opened(node: Path, *, has_tags: bool = False, flags: int = os.O_RDWR) -> MappedEngine:
    descriptor = os.open(node, flags)
    return MappedEngine("vol-1", str(node), descriptor, threading.Lock(), has_tags=has_tags)


def test_what_is_written_is_read_at_any_offset(engine: MappedEngine, node: Path) -> None:
    with MappedFile(engine, writable=True, gate=Gate("node")) as file:
        assert (SIZE, str(node)) == (file.size, file.name)
        before = file.pread(0, SIZE)
        assert file.pwrite(4000, b"across two sectors" * 20) == 360
        expected = before[:4000] + b"across two sectors" * 20 + before[4360:]
        assert expected == file.pread(0, 2 * SIZE)
        file.flush()
    assert expected == node.read_bytes()


def test_closing_the_file_gives_the_mapping_back(engine: MappedEngine) -> None:
    descriptor = engine._descriptor
    file = MappedFile(engine, writable=True, gate=Gate("node"))
    file.close()
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_that_is_dropped_gives_the_mapping_back(engine: MappedEngine) -> None:
    descriptor = engine._descriptor
    file = MappedFile(engine, writable=True, gate=Gate("node"))
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_behind_a_closed_gate_a_file_is_of_no_use_and_closes_without_an_error(
    engine: MappedEngine,
) -> None:
    gate = Gate("node")
    file = MappedFile(engine, writable=True, gate=gate)
    gate.close()
    file.detach_mapping()
    for ask in (lambda: file.pread(0, 1), lambda: file.pwrite(0, b"x")):
        with pytest.raises(DeviceUnavailable, match="the volume was closed"):
            ask()
    file.close()


def test_a_mapping_that_became_shorter_ends_in_an_error(engine: MappedEngine, node: Path) -> None:
    os.truncate(node, SECTOR_SIZE)
    with (
        MappedFile(engine, writable=True, gate=Gate("node")) as file,
        pytest.raises(DeviceIOError, match="the device ends here") as failure,
    ):
        file.pread(0, SIZE)
    assert (str(node), SECTOR_SIZE) == (failure.value.device, failure.value.offset)


def test_errors_of_the_kernel_are_errors_of_ours(engine: MappedEngine, node: Path) -> None:
    os.close(engine._descriptor)
    engine._descriptor = os.open(node, os.O_WRONLY)
    with pytest.raises(DeviceIOError, match="read at byte 0"):
        engine.read(0, SECTOR_SIZE, memoryview(bytearray(SECTOR_SIZE)))
    os.close(engine._descriptor)
    engine._descriptor = os.open(node, os.O_RDONLY)
    with pytest.raises(DeviceIOError, match="write at byte 4096"):
        engine.write(SECTOR_SIZE, memoryview(bytes(SECTOR_SIZE)))
    os.close(engine._descriptor)
    engine._descriptor, there = os.pipe()
    try:
        with pytest.raises(DeviceIOError, match="flush"):
            engine.sync()
    finally:
        os.close(there)


def test_an_image_file_is_no_block_device(node: Path) -> None:
    with (
        FileDisk(node) as disk,
        pytest.raises(UnsupportedOperation, match="image file") as refusal,
        opened_beside(disk),
    ):
        pass
    assert "losetup" in refusal.value.remedy


def test_a_path_that_names_another_device_by_now_is_refused(node: Path) -> None:
    with FileDisk(node) as disk:
        node.unlink()
        with pytest.raises(DeviceUnavailable), opened_beside(disk):
            pass
        node.write_bytes(b"another one")
        with pytest.raises(DeviceMismatch), opened_beside(disk):
            pass


def test_a_node_that_is_not_the_mapping_is_refused(node: Path) -> None:
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(DeviceMismatch) as refusal:
        opened_mapping(node, "253:0", writable=False)
    assert refusal.value.expected == "253:0"
    with pytest.raises(DeviceUnavailable):
        opened_mapping(node.with_name("absent"), "253:0", writable=True)
    assert descriptors == len([*Path("/proc/self/fd").iterdir()])
