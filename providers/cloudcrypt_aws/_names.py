"""Device names: each AttachVolume needs one that is free on the instance.

What a name is does not matter on Nitro, where the kernel names devices itself. What matters is not
to use one again right after it was given up: the kernel may still hold on to it, and the volume
stays ``attaching`` (kubernetes/kubernetes#31891, aws-ebs-csi-driver#795). So names go round, and
the one that was used longest ago is next.
"""

import threading
from collections.abc import Collection
from string import ascii_lowercase
from typing import Final

import attrs

from cloudcrypt.errors import AttachmentLimit
from cloudcrypt.waiting import Clock

_LAST: Final = "/dev/xvddx"  # EC2 refuses what comes after it
_PREFERRED: Final = tuple(
    name
    for first in "abcd"
    for second in ascii_lowercase
    if (name := f"/dev/xvd{first}{second}") <= _LAST
)
_OTHERS: Final = tuple(f"/dev/xvd{letter}" for letter in ascii_lowercase[1:])
"""Images like to use these for disks of their own."""

NAMES: Final = _PREFERRED + _OTHERS
"""EC2 user guide, "Device names for volumes on Amazon EC2 instances"."""

IN_FLIGHT: Final = 60.0
"""Seconds until a name that was handed out shows on the instance, or is free again."""
ATTEMPTS: Final = 10
"""Names to try before somebody should look at the image of the instance."""


@attrs.define
class _Instance:
    """What is known of the names on one instance: the next first."""

    order: list[str]
    in_flight: dict[str, float] = attrs.field(factory=dict[str, float])
    bad: set[str] = attrs.field(factory=set[str])


class Names:
    """Hands out device names. Thread-safe: two callers never get the same one.

    What is given back or avoided was taken before.
    """

    def __init__(self, clock: Clock) -> None:
        """Start without memory: the time of day decides which name is first.

        Two processes after one another therefore do not use the same name, either.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._instances: dict[str, _Instance] = {}

    def take(self, instance: str, taken: Collection[str]) -> str:
        """Return a name for one more volume of ``instance``.

        Args:
            instance: the instance's id.
            taken: the names that it shows as used.

        Raises:
            AttachmentLimit: there is no name left.
        """
        with self._lock:
            known = self._instances.setdefault(instance, self._new())
            now = self._clock.monotonic()
            known.in_flight = {name: end for name, end in known.in_flight.items() if end > now}
            used = {_plain(name) for name in taken} | known.in_flight.keys()
            free = [name for name in known.order if name not in used]
            name = next((name for name in free if name not in known.bad), None)
            if name is None:
                if not free:
                    raise AttachmentLimit(instance, len(NAMES))
                name = free[0]
            known.order.remove(name)
            known.order.append(name)
            known.in_flight[name] = now + IN_FLIGHT
            return name

    def give_back(self, instance: str, name: str) -> None:
        """Record that ``name`` was not used; it is the last to be handed out again."""
        with self._lock:
            self._instances[instance].in_flight.pop(name, None)

    def avoid(self, instance: str, name: str) -> None:
        """Remember that ``name`` is in use on ``instance`` by something that does not show."""
        with self._lock:
            self._instances[instance].bad.add(name)

    def _new(self) -> _Instance:
        first = int(self._clock.now().timestamp()) % len(_PREFERRED)
        return _Instance([*_PREFERRED[first:], *_PREFERRED[:first], *_OTHERS])


def _plain(name: str) -> str:
    """Return the name as this file writes it: ``/dev/sdf`` and ``sdf`` are ``/dev/xvdf``."""
    short = name.removeprefix("/dev/")
    return f"/dev/xvd{short[2:]}" if short.startswith("sd") else f"/dev/{short}"
