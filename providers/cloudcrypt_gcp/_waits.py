"""Waiting for GCE to get somewhere, and for it to show what it has done.

Operations are looked at, rather than waited for by ``zoneOperations.wait``: a request that GCE
holds back for two minutes cannot be cancelled, nor follow a deadline.
"""

from typing import Final

from cloudcrypt.looking import Looks, Missing, Still
from cloudcrypt.waiting import Clock

__all__ = ["GRACE", "Missing", "Still", "absence", "settled", "until"]

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. GCE documents
no delay after an operation is done; this is what AWS needs, and only what is gone waits for it."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all; that is
what AWS needs, too."""

FIRST: Final = 1.0
"""Seconds between two looks, at first: operations on disks take a few seconds, mostly."""
FACTOR: Final = 1.5
LONGEST: Final = 5.0
"""Seconds between two looks at most; the Persistent Disk CSI driver looks every 3 to 5 seconds."""

LOOKS: Final = Looks("GCE", FIRST, FACTOR, LONGEST, SETTLE)
until = LOOKS.until
settled = LOOKS.settled


def absence(clock: Clock) -> Missing:
    """Return what measures for how long something is not shown."""
    return Missing(clock, GRACE)
