"""How often a single virtual machine can be looked at and updated.

The numbers are those of "Throttling limits for virtual machines and virtual machine scale sets".
"""

from typing import Final

import attrs

from cloudcrypt_testing.fake_azure import errors
from cloudcrypt_testing.world.throttling import Buckets


@attrs.frozen
class Limit:
    """One bucket of each virtual machine."""

    policy: str
    """As headers say it."""
    burst: int
    """Requests at once."""
    rate: int
    """Requests a minute."""


_READING: Final = Limit("Microsoft.Compute/GetVMResource", 36, 12)
_CHANGING: Final = Limit("Microsoft.Compute/UpdateVMResource", 12, 4)


class MachineLimits:
    """The buckets of all virtual machines."""

    def __init__(self) -> None:
        """Begin with full buckets."""
        self._buckets = Buckets(lambda _action: False)
        self._known: set[str] = set()

    def take(self, text: str, moment: float, *, is_reading: bool) -> None:
        """Count a request for the virtual machine ``text``.

        Raises:
            ArmError: there were too many.
        """
        limit = _READING if is_reading else _CHANGING
        family = f"{limit.policy} {text}"
        if family not in self._known:
            self._known.add(family)
            self._buckets.limit(family, limit.burst, limit.rate / 60, moment)
        if not self._buckets.take(family, moment):
            raise errors.throttled(60 // limit.rate, limit.policy)
