"""The requests about operations: looking at one, and waiting for it."""

from typing import Final

from cloudcrypt_testing.fake_gce import errors
from cloudcrypt_testing.fake_gce.cloud import Cloud, View, named
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.render import Document

LONGEST_WAIT: Final = 120.0
"""Seconds after which a wait answers, whatever has come of the operation."""
_MARGIN: Final = 1e-6  # seconds: no rounding leaves an operation undone at the end of a wait


def get(cloud: Cloud, incoming: Incoming, view: View) -> Document:
    """Answer ``zoneOperations.get`` and its siblings, and the end of a wait."""
    name = incoming.in_path["operation"]
    operation = named(view.operations, incoming.scope, name)
    if operation is None:
        raise errors.not_found(cloud.site.full(f"{incoming.scope}/operations/{name}"))
    return cloud.render.operation(operation)


def remaining(cloud: Cloud, incoming: Incoming) -> float:
    """Return the seconds that a wait takes; it counts as one wait."""
    operation = named(cloud.operations, incoming.scope, incoming.in_path["operation"])
    if operation is None or operation.status == "DONE":
        return 0.0
    if cloud.quirks.short_waits:
        cloud.quirks.short_waits -= 1
        return 0.0
    if operation.due is None:
        return LONGEST_WAIT
    return min(LONGEST_WAIT, max(0.0, operation.due - cloud.clock.monotonic()) + _MARGIN)
