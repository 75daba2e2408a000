"""What a test asks the fake compute API to do otherwise than usual."""

from fnmatch import fnmatchcase
from typing import Literal

import attrs

from cloudcrypt_testing.fake_gce.errors import Failure


@attrs.define
class FailureRule:
    """The next operations of a kind are accepted, and fail."""

    action: str
    """The method, or a pattern such as ``*.createSnapshot``."""
    failure: Failure
    left: int
    leaves_failed: bool = False
    """Whether what was to be made stays, FAILED."""


@attrs.define
class Hold:
    """The next operation of a kind comes to a halt on its way."""

    action: str
    status: Literal["PENDING", "RUNNING"]
    seconds: float | None
    """How long; None: until it is let go."""


@attrs.define
class Quirks:
    """All that a test asked for."""

    failures: list[FailureRule] = attrs.field(factory=list[FailureRule])
    holds: list[Hold] = attrs.field(factory=list[Hold])
    stockouts: set[str] = attrs.field(factory=set[str])
    """Zones without room for disks."""
    most_disks: dict[str, int] = attrs.field(factory=dict[str, int])
    """That can be attached, by the id of the instance."""
    most_pending: dict[str, int] = attrs.field(factory=dict[str, int])
    """Operations that an instance queues, by its id."""
    quota: int | None = None
    """Disks that there may be, boot disks not counted."""
    is_quota_at_once: bool = False
    """Whether the request is refused, and not accepted and failed."""
    finds_conflicts_early: bool = False
    """Whether the use of a disk elsewhere is found in the request, not in the operation."""
    takes_names_only: bool = False
    """Whether URLs in bodies cannot name a resource by its id."""
    shares_device_names: bool = False
    """Whether an instance takes two disks with one device name."""
    short_waits: int = 0
    """How many of the next waits return at once."""
    throttled_status: int = 403

    def take_failure(self, action: str) -> FailureRule | None:
        """Return the rule that lets an operation of ``action`` fail, and count it."""
        for rule in self.failures:
            if rule.left > 0 and fnmatchcase(action, rule.action):
                rule.left -= 1
                return rule
        return None

    def take_hold(self, action: str) -> Hold | None:
        """Return where an operation of ``action`` halts, which is so once."""
        for hold in self.holds:
            if fnmatchcase(action, hold.action):
                self.holds.remove(hold)
                return hold
        return None
