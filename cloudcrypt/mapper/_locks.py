"""One change of a volume's mapping at a time, among the threads and processes of this host."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudcrypt.errors import DeviceBusy, HostUnready
from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.mapper._names import node
from cloudcrypt.waiting import Clock, Deadline

PATIENCE: Final = 60.0
"""Seconds to wait for another one's change; an activation takes about one, a busy host some."""
PAUSE: Final = 0.02
PAUSE_LONGEST: Final = 0.5


class MappingLocks:
    """Locks by the name of a mapping, in one file that a reboot forgets."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Use ``mapper.lock`` in ``folder``, which is made, for its owner alone, when needed."""
        self._folder = folder
        self._locks = HostLocks(folder / "mapper.lock")
        self._clock = clock

    @contextmanager
    def held(self, name: str) -> Generator[None]:
        """Hold the lock of the mapping ``name`` within the block.

        Raises:
            DeviceBusy: another one holds it, for a minute by now.
            HostUnready: the lock file cannot be used.
        """
        steps = Deadline.after(PATIENCE, clock=self._clock).steps(PAUSE, longest=PAUSE_LONGEST)
        while (taken := self._take(name)) is None:
            if not steps.again():
                raise DeviceBusy(str(node(name)))
        try:
            yield
        finally:
            self._locks.give(name, taken)

    def _take(self, name: str) -> int | None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._locks.take(name)
        except OSError as error:
            what = f"a lock file in {self._folder} ({error.strerror})"
            raise HostUnready(what, "run as root, or choose another folder") from error
