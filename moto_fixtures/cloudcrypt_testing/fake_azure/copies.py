"""Copying in the background: what can be used, and is not all there yet."""

from functools import partial
from typing import Final, TypeVar

import attrs

from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.records import Disk, Snapshot

Copied = TypeVar("Copied", Disk, Snapshot)
_STEPS: Final = 4
"""How often a copy tells how far it is."""


def begin(cloud: Cloud, table: dict[str, Copied], unique_id: str) -> None:
    """Let ``completionPercent`` of a record rise to 100 in the course of time."""
    for step in range(1, _STEPS + 1):
        later = partial(_copied, table, unique_id, 100.0 * step / _STEPS)
        cloud.agenda.later(cloud.timings.copy * step / _STEPS, later)


def _copied(table: dict[str, Copied], unique_id: str, percent: float) -> None:
    record = table.get(unique_id)
    if record is not None:
        table[unique_id] = attrs.evolve(record, completion=percent)
