"""Waiting for Azure to get somewhere, and for it to show what it has done.

None of the pollers of the SDK is used: each is a thread that sleeps, for 30 seconds at a time, and
cannot be cancelled.
"""

from typing import Final

from cloudcrypt.looking import Looks, Missing, Still
from cloudcrypt.waiting import Clock

__all__ = ["FIRST", "GRACE", "Missing", "Still", "absence", "settled", "until"]

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. Azure Resource
Manager caches, for seconds, what it has read of a resource."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all."""

FIRST: Final = 1.0
"""Seconds between two looks, at first. Creating a disk takes 2 to 3 s, attaching one 5 to 15 s
(logs in the issues of the Azure Disk CSI driver)."""
FACTOR: Final = 1.5
LONGEST: Final = 10.0

LOOKS: Final = Looks("Azure", FIRST, FACTOR, LONGEST, SETTLE)
until = LOOKS.until
settled = LOOKS.settled


def absence(clock: Clock) -> Missing:
    """Return what measures for how long something is not shown."""
    return Missing(clock, GRACE)
