"""What integrity costs, beside the hash alone and beside a full wipe, in one run."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from cloudcrypt.integrity import Geometry
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2.sectors import SectorFile
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage

pytestmark = pytest.mark.benchmark

SIZE = 512 * MIB
PART = 64 * MIB


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def write_and_flush(file: SectorFile, content: bytes) -> None:
    file.pwrite(0, content)
    file.flush()


def test_the_cost_of_integrity(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    keys = MasterSecretKeyService(MasterSecret.from_bytes(b"k" * 32, b"s" * 32))
    stage = Stage(SqliteLedger.in_memory(), keys, UserspaceMapper())
    device = BlockDevice("vol-1", path, SIZE)
    stage.register_new(device.volume_id, capacity=SIZE, mode=Mode.INTEGRITY)
    taken = seconds(lambda: stage.format(device))
    written = path.stat().st_blocks * 512
    payload = Geometry.of(SIZE).payload_size
    wipe = 2 * payload + written  # data goes to the journal and to its place
    content, buffer = os.urandom(PART), bytearray(PART)
    view = memoryview(content)

    def raw() -> None:
        for start in range(0, PART, 4096):
            mac = HMAC(b"k" * 32, hashes.SHA256())
            mac.update(view[start : start + 4096])
            mac.finalize()

    mapping = stage.open(device)
    with contextlib.closing(mapping.open()) as opened:
        jobs: list[Callable[[], object]] = [
            raw,
            lambda: write_and_flush(opened, content),
            lambda: (opened.seek(0), opened.readinto(buffer)),
        ]
        rounds = [[seconds(job) for job in jobs] for _ in range(8)][1:]
    stage.close(device.volume_id)
    hash_speed, write, read = (
        PART / statistics.median(times) for times in zip(*rounds, strict=True)
    )
    print()
    print(f"  format of 512 MiB: {taken:.2f} s (wanted: <= 2)")
    print(f"  written by it / size of the disk: {written / SIZE:.4f} (wanted: < 0.015)")
    print(f"    of that the journal, as the kernel lays it out: {31 * 264 * 512 / SIZE:.4f}")
    print(f"  a full wipe would write / this wrote: {wipe / written:.0f} x")
    print(f"  read with integrity / raw HMAC-SHA256: {read / hash_speed:.2f} (wanted: >= 0.5)")
    print(f"  write with integrity, flushed / raw HMAC: {write / hash_speed:.2f} (wanted: 0.5)")
    print(f"  read, write / 200 MB/s: {read / 2e8:.2f}, {write / 2e8:.2f} (wanted: >= 1)")
    assert content == bytes(buffer)
    assert taken <= 2
    assert read / 2e8 >= 1
    assert write / 2e8 >= 1
