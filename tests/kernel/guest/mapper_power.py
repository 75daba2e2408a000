"""A volume that the kernel writes until the power goes, and finds after the boot: in the guest."""

from pathlib import Path

from cloudcrypt.disk import FileDisk
from cloudcrypt.mapper import KernelMapper
from cloudcrypt.model import BlockDevice, Expectation, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from tests.kernel.guest.mapper_bench import VOLUME, Bench, mapped

SYNCED, STEP = 400, 7
"""How many sectors are written durably, and how far they are from one to the next."""


def content(sector: int) -> bytes:
    """Return what is written to a sector."""
    return sector.to_bytes(4, "big") * (SECTOR_SIZE // 4)


def sectors() -> range:
    """Return the sectors that are written durably."""
    return range(0, SYNCED * STEP, STEP)


def _device(path: str) -> BlockDevice:
    with FileDisk(path) as disk:
        return BlockDevice(VOLUME, Path(path), disk.size, disk.identity)


def format_and_write(path: str) -> None:
    """Format a disk, open it with the kernel, write, and leave it open.

    Every sector is written twice; the first time with something else, so that a replay that stops
    early shows old content with a tag that verifies. What is written last is not made durable.
    """
    bench, device = Bench(Mode.INTEGRITY), _device(path)
    stage = bench.stage(KernelMapper())
    stage.register_new(VOLUME, capacity=device.size, mode=Mode.INTEGRITY)
    stage.format(device)
    payload = stage.open(device).open()
    for version in range(2):
        for sector in sectors():
            payload.pwrite(sector * SECTOR_SIZE, content(sector if version else sector + 1))
        payload.flush()
    payload.pwrite(SECTOR_SIZE, content(0) * 2)


def open_and_read(path: str) -> list[int]:
    """Open the disk with the kernel; return the sectors that are not as they were made durable."""
    with Bench(Mode.INTEGRITY) as bench:
        device, mapper = _device(path), KernelMapper()
        stage = bench.stage(mapper)
        trust = Expectation(Mode.INTEGRITY, generation=1, capacity=device.size)
        mapping = stage.open(device, trust=trust)
        with mapping.open() as payload:
            found = [
                sector
                for sector in sectors()
                if payload.pread(sector * SECTOR_SIZE, SECTOR_SIZE) != content(sector)
            ]
            assert mapping.size == len(payload.readall())
        stage.close(VOLUME)
        assert set() == mapped()
        return found
