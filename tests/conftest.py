"""Settings that all tests share."""

import os
import threading

from coverage import Coverage
from hypothesis import HealthCheck, settings

# Examples take as long as the machine is busy, so there is no deadline. In CI the examples are
# the same in every run: a failure there is the change's, and `make test` at home looks further.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def _give_lock() -> None:
    """Give a forked child a lock of coverage of its own: a thread of the parent may have held it.

    coverage does not do that by itself, and the child would wait for ever. Threads of fakes run
    code that is measured while tests fork.
    """
    running = Coverage.current()
    if running is not None and running._collector is not None:
        running._collector.data_lock = threading.Lock()


# Before those of the project, which run measured code: in a child they are called in this order.
os.register_at_fork(after_in_child=_give_lock)
