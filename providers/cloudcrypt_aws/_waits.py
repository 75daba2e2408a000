"""Waiting for EC2 to get somewhere, and for it to show what it has done.

EC2 shows changes late (EC2 API reference, "Eventual consistency"): a volume that was just created
may be missing for a while. None of the waiters of boto3 is used. They look at the state of the
volume where that of the attachment counts, go on for ten minutes when a volume is in the state
``error``, and cannot be cancelled.
"""

from typing import Final

from cloudcrypt.looking import Looks, Missing, Still
from cloudcrypt.waiting import Clock

__all__ = ["GRACE", "Missing", "Still", "absence", "settled", "until"]

GRACE: Final = 20.0
"""Seconds that something which was accepted may be missing before it counts as gone. EC2 shows new
things within seconds; its API reference speaks of "a couple of seconds" for the first new look."""
SETTLE: Final = 8.0
"""Seconds after which a request that was answered to nobody shows, if it was done at all."""

FIRST: Final = 1.0
"""Seconds between two looks, at first. Creating takes 1.5 s at the median, 4 s at the 99th
percentile; attaching and detaching 1 to 4 s (measurements in the EBS CSI driver's cloud.go)."""
FACTOR: Final = 1.5
LONGEST: Final = 10.0

LOOKS: Final = Looks("EC2", FIRST, FACTOR, LONGEST, SETTLE)
until = LOOKS.until
settled = LOOKS.settled


def absence(clock: Clock) -> Missing:
    """Return what measures for how long something is not shown."""
    return Missing(clock, GRACE)
