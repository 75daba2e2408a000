"""The tags of blank sectors, computed by several processes at once.

Hashing the zeros is all the work there is, and one Python process does it on one processor. The
workers get the key through a pipe and give tags back through one; the disk stays with the caller.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from typing import IO, Self

from cloudcrypt.errors import HostUnready
from cloudcrypt.integrity import tags
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN, TAG_SIZE
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.secret import Secret

_ALONE = 8 * SECTORS_PER_RUN
"""Sectors up to which starting workers takes longer than the work: 128 MiB."""

_AHEAD = 2
"""Runs that each worker is given in advance."""

_ZEROS = memoryview(bytes(SECTORS_PER_RUN * SECTOR_SIZE))


def blank_tags(
    volume_key: Secret, first: int, end: int, workers: int | None = None
) -> Generator[tuple[int, bytes]]:
    """Yield the tags of the blank sectors from ``first`` to ``end``, a run at a time, in order.

    Args:
        volume_key: the 96 bytes of the volume key.
        first: the first sector.
        end: the sector after the last one.
        workers: how many processes to start; by default one for each processor, none for so few
            sectors that it would take longer.

    Yields:
        The number of a run's first sector, and its tags.

    Raises:
        HostUnready: a worker died.
    """
    if workers is None:
        workers = 0 if end - first <= _ALONE else len(os.sched_getaffinity(0))
    if workers < 1:
        for sector, count in _runs(first, end):
            yield sector, tags.compute(volume_key, sector, _ZEROS[: count * SECTOR_SIZE])
        return
    with ExitStack() as stack:
        pool = [stack.enter_context(_Worker(volume_key)) for _ in range(workers)]
        asked: deque[tuple[_Worker, int, int]] = deque()
        for number, (sector, count) in enumerate(_runs(first, end)):
            if len(asked) == _AHEAD * workers:
                yield _answer(*asked.popleft())
            worker = pool[number % workers]
            worker.ask(sector, count)
            asked.append((worker, sector, count))
        while asked:
            yield _answer(*asked.popleft())


def _runs(first: int, end: int) -> Iterator[tuple[int, int]]:
    while first < end:
        count = min(end - first, SECTORS_PER_RUN - first % SECTORS_PER_RUN)
        yield first, count
        first += count


def _answer(worker: "_Worker", sector: int, count: int) -> tuple[int, bytes]:
    return sector, worker.answer(count)


class _Worker:
    """A process of its own that computes tags; started with the key in its standard input."""

    def __init__(self, volume_key: Secret) -> None:
        command = [sys.executable, "-m", "cloudcrypt.integrity.blank_tags"]
        self._process = subprocess.Popen(  # noqa: S603  # ourselves, without arguments
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._stdin: IO[bytes] = self._process.stdin  # type: ignore[assignment]  # PIPE above
        self._stdout: IO[bytes] = self._process.stdout  # type: ignore[assignment]  # PIPE above
        self._send(volume_key.reveal())

    def ask(self, sector: int, count: int) -> None:
        """Ask for the tags of ``count`` blank sectors from ``sector``."""
        self._send(sector.to_bytes(8, "little") + count.to_bytes(8, "little"))

    def answer(self, count: int) -> bytes:
        """Return the tags that were asked for first."""
        found = self._stdout.read(count * TAG_SIZE)
        if len(found) != count * TAG_SIZE:
            raise self._lost()
        return found

    def _send(self, content: bytes | memoryview) -> None:
        try:
            self._stdin.write(content)
            self._stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def _lost(self) -> HostUnready:
        return HostUnready("a working Python to compute tags with", "try again with workers=0")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # closing flushes, to a process that is gone
            self._stdin.close()
        self._stdout.close()


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests for tags until there are no more; the work of a worker."""
    with Secret(bytearray(requests.read(96))) as volume_key:
        while request := requests.read(16):
            sector, count = (int.from_bytes(request[at : at + 8], "little") for at in (0, 8))
            answers.write(tags.compute(volume_key, sector, _ZEROS[: count * SECTOR_SIZE]))
            answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
