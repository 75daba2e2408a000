"""Many volumes opened at once by the kernel mapper: what is measured in the guest."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from cloudcrypt.mapper import KernelMapper
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.sizes import MIB
from tests.kernel.guest.mapper_bench import Bench, mapped, settle

VOLUMES = [f"local:0123456789ab/vol-{number:017x}" for number in range(8)]
SIZE = 24 * MIB


def opened(folder: str, mode: str, device: BlockDevice) -> None:
    """Open a volume as a process does that has only begun."""
    Bench(Mode(mode), folder).stage(KernelMapper()).open(device)


def closed(folder: str, mode: str, device: BlockDevice) -> None:
    """Close a volume as a process does that has only begun."""
    Bench(Mode(mode), folder).stage(KernelMapper()).close(device.volume_id)


def seconds(mode: str, rounds: int = 3) -> dict[str, list[list[float]]]:
    """Return how long opening and closing 8 volumes takes: one by one, in threads, in processes."""
    with Bench(Mode(mode)) as bench:
        devices = [bench.formatted(volume_id, SIZE) for volume_id in VOLUMES]
        found = dict[str, list[list[float]]]()
        for _ in range(rounds):
            for name, pool in _pools().items():
                settle()
                with pool() as workers:
                    list(workers.map(abs, range(8)))  # begun
                    took = [_timed(workers, each, bench, devices) for each in (opened, closed)]
                assert set() == mapped()
                found.setdefault(name, []).append(took)
        return found


def _pools() -> dict[str, Callable[[], Executor]]:
    fork = multiprocessing.get_context("fork")
    return {
        "one by one": lambda: ThreadPoolExecutor(1),
        "threads": lambda: ThreadPoolExecutor(8),
        "processes": lambda: ProcessPoolExecutor(8, mp_context=fork),
    }


def _timed(
    workers: Executor,
    work: Callable[[str, str, BlockDevice], None],
    bench: Bench,
    devices: list[BlockDevice],
) -> float:
    begin = time.monotonic()
    arguments = [str(bench.folder)] * 8, [bench.mode.value] * 8, devices
    list(workers.map(work, *arguments))
    took = time.monotonic() - begin
    assert len(mapped()) in (0, 8, 16)
    return round(took, 2)
