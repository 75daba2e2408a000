"""What a test asks the fake Azure to do otherwise than usual."""

from collections.abc import Callable
from fnmatch import fnmatchcase

import attrs

from cloudcrypt_testing.fake_azure.errors import ArmError, Failure


@attrs.define
class FailureRule:
    """The next operations of a kind are accepted, and fail."""

    action: str
    """What is asked for, or a pattern such as ``snapshots.*``."""
    failure: Failure
    left: int
    leaves_failed: bool = False
    """Whether what was begun stays, Failed."""


@attrs.define
class Hold:
    """The next operation of a kind comes to a halt on its way."""

    action: str
    seconds: float | None
    """How long; None: until it is let go."""


@attrs.frozen
class Stockout:
    """A zone that has no room."""

    code: str
    is_at_once: bool
    """Whether the request is refused, and not accepted and failed."""


@attrs.define
class Quirks:
    """All that a test asked for."""

    failures: list[FailureRule] = attrs.field(factory=list[FailureRule])
    holds: list[Hold] = attrs.field(factory=list[Hold])
    stockouts: dict[str, Stockout] = attrs.field(factory=dict[str, Stockout])
    """By zone; an empty one stands for disks without a zone."""
    most_disks: dict[str, int] = attrs.field(factory=dict[str, int])
    """Data disks that can be attached, by virtual machine."""
    lingering: set[str] = attrs.field(factory=set[str])
    """Disks whose detaching never ends, unless it is forced."""
    stubborn: set[str] = attrs.field(factory=set[str])
    """Virtual machines that take no disk while they are Failed."""
    quota: int | None = None
    """Disks that there may be, those of operating systems not counted."""
    unavailable: ArmError | None = None
    """What attachDetachDataDisks answers, if it is not available."""
    busy_code: str = "Conflict"
    """What a virtual machine that is being updated answers: Conflict or OperationNotAllowed."""
    is_preempting: bool = False
    """Whether an update of a virtual machine ends the one before it."""
    resizes_online: bool = True
    """Whether disks grow while they are attached."""
    finds_conflicts_late: bool = False
    """Whether a disk that is attached elsewhere is found in the operation only."""
    copies_slowly: bool = False
    """Whether all snapshots copy in the background, not only those of Ultra and Premium v2."""
    spelling: Callable[[str], str] = str.upper
    """How a resource group is written in lists and in references, as Azure often does."""
    page: int = 50
    """Resources on a page of a list."""
    counts_machine_requests: bool = False
    """Whether the limits of a single virtual machine are in force."""

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
