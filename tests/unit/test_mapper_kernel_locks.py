"""The lock of a mapping, across processes."""

import threading
from pathlib import Path

from cloudcrypt.hostlocks import HostLocks
from cloudcrypt.mapper._locks import MappingLocks
from tests.unit.clocks import FakeClock

NAME = "vol-0123456789abcdef0"


def test_a_lock_is_taken_as_soon_as_it_is_free(tmp_path: Path) -> None:
    other = HostLocks(tmp_path / "mapper.lock")
    taken = other.take(NAME)
    assert taken is not None
    theirs: int = taken
    entered = threading.Event()

    class Releasing(FakeClock):
        """A clock on which the other one has finished when it is waited for the third time."""

        waits = 0

        def sleep(self, seconds: float, wake: threading.Event | None = None) -> None:
            super().sleep(seconds, wake)
            self.waits += 1
            if self.waits == 3:
                other.give(NAME, theirs)

    clock = Releasing()
    with MappingLocks(tmp_path, clock).held(NAME):
        entered.set()
        assert other.take(NAME) is None
    assert (True, 3) == (entered.is_set(), clock.waits)
