"""A request in the query protocol of EC2, and the parameters in it."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import attrs

from cloudcrypt_testing.fake_aws import errors

_VOLUME_ID: Final = re.compile(r"vol-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_SNAPSHOT_ID: Final = re.compile(r"snap-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_UNCHECKED: Final = ("Action", "ClientToken", "DryRun", "Version")


@attrs.frozen
class Query:
    """The parameters of one request, in the order and with the names that were sent."""

    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, body: bytes) -> "Query":
        """Parse a body of type ``application/x-www-form-urlencoded``."""
        return cls(dict(parse_qsl(body.decode(), keep_blank_values=True)))

    @property
    def action(self) -> str:
        """What is asked for, or the empty string."""
        return self.parameters.get("Action", "")

    @property
    def fingerprint(self) -> tuple[tuple[str, str], ...]:
        """All that has to be the same when a client token is used again."""
        return tuple(sorted(p for p in self.parameters.items() if p[0] not in _UNCHECKED))

    def text(self, name: str) -> str | None:
        """Return a parameter, or None if it is missing or empty."""
        return self.parameters.get(name) or None

    def need(self, name: str) -> str:
        """Return a parameter that must be there."""
        value = self.text(name)
        if value is None:
            raise errors.missing(name[0].lower() + name[1:])
        return value

    def number(self, name: str) -> int | None:
        """Return a whole number, or None if it is missing."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise errors.malformed(value, name, "an integer")
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a boolean; a missing one is false."""
        return self.parameters.get(name, "").lower() == "true"

    def all(self, name: str) -> list[str]:
        """Return the list ``name.1``, ``name.2`` and so on."""
        values: list[str] = []
        while (value := self.parameters.get(f"{name}.{len(values) + 1}")) is not None:
            values.append(value)
        return values

    def volume_id(self, name: str = "VolumeId") -> str:
        """Return the id of a volume that must be there."""
        return checked_volume_id(self.need(name), name)

    def volume_ids(self) -> list[str]:
        """Return the ids of volumes that are asked for."""
        return [checked_volume_id(value, "volumes") for value in self.all("VolumeId")]

    def snapshot_id(self) -> str | None:
        """Return the id of a snapshot, or None."""
        value = self.text("SnapshotId")
        return None if value is None else checked_snapshot_id(value)

    def snapshot_ids(self) -> list[str]:
        """Return the ids of snapshots that are asked for."""
        return [checked_snapshot_id(value) for value in self.all("SnapshotId")]

    def filters(self) -> list[tuple[str, list[str]]]:
        """Return names and accepted values of all filters."""
        found: list[tuple[str, list[str]]] = []
        while (name := self.text(f"Filter.{len(found) + 1}.Name")) is not None:
            found.append((name, self.all(f"Filter.{len(found) + 1}.Value")))
        return found

    def tags(self, resource: str) -> dict[str, str]:
        """Return the tags that are to be given to the new ``resource``."""
        tags: dict[str, str] = {}
        number = 1
        while (kind := self.text(f"TagSpecification.{number}.ResourceType")) is not None:
            if kind != resource:
                raise errors.invalid(f"'{kind}' is not a valid taggable resource type here.")
            tags |= self._tags_below(f"TagSpecification.{number}.Tag")
            number += 1
        return tags

    def check_dry_run(self) -> None:
        """Raise if the request is only a rehearsal."""
        if self.flag("DryRun"):
            raise errors.dry_run()

    def _tags_below(self, prefix: str) -> dict[str, str]:
        tags: dict[str, str] = {}
        while (key := self.parameters.get(f"{prefix}.{len(tags) + 1}.Key")) is not None:
            tags[key] = self.parameters.get(f"{prefix}.{len(tags) + 1}.Value", "")
        return tags


def checked_volume_id(value: str, parameter: str) -> str:
    """Return ``value`` if it looks like the id of a volume."""
    if not _VOLUME_ID.fullmatch(value):
        raise errors.malformed(value, parameter, "vol-...")
    return value


def checked_snapshot_id(value: str) -> str:
    """Return ``value`` if it looks like the id of a snapshot."""
    if not _SNAPSHOT_ID.fullmatch(value):
        raise errors.malformed(value, "snapshotId", "snap-...")
    return value
