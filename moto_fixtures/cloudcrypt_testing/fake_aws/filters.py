"""Filters of the Describe requests, and pages of what passes them."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from cloudcrypt_testing.fake_aws import errors
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Modification, Snapshot, Volume

MOST_IDS: Final = 500
"""Ids that one request may ask for."""


class Numbered(Protocol):
    """What can be put on pages."""

    @property
    def number(self) -> int:
        """The order of pages."""
        ...


T = TypeVar("T")
N = TypeVar("N", bound=Numbered)
Values = Callable[[T], Iterable[str]]
Test = Callable[[T], bool]


def _flag(value: bool) -> str:  # noqa: FBT001 - a value, not a switch
    return str(value).lower()


VOLUMES: Final[Mapping[str, Values[Volume]]] = {
    "attachment.delete-on-termination": lambda v: [
        _flag(a.delete_on_termination) for a in v.attachments
    ],
    "attachment.device": lambda v: [a.device for a in v.attachments],
    "attachment.instance-id": lambda v: [a.instance_id for a in v.attachments],
    "attachment.status": lambda v: [a.state for a in v.attachments],
    "availability-zone": lambda v: [v.zone],
    "availability-zone-id": lambda v: [v.zone_id],
    "encrypted": lambda v: [_flag(v.is_encrypted)],
    "multi-attach-enabled": lambda v: [_flag(v.is_multi_attach)],
    "size": lambda v: [str(v.size)],
    "snapshot-id": lambda v: [v.snapshot_id or ""],
    "status": lambda v: [v.state],
    "volume-id": lambda v: [v.id],
    "volume-type": lambda v: [v.kind],
}

STATUSES: Final[Mapping[str, Values[Volume]]] = {
    "availability-zone": lambda v: [v.zone],
    "volume-status.status": lambda v: [
        "insufficient-data" if v.condition in {"creating", "error"} else "ok"
    ],
}

SNAPSHOTS: Final[Mapping[str, Values[Snapshot]]] = {
    "description": lambda s: [s.description],
    "encrypted": lambda s: [_flag(s.is_encrypted)],
    "snapshot-id": lambda s: [s.id],
    "status": lambda s: [s.state],
    "volume-id": lambda s: [s.volume_id],
    "volume-size": lambda s: [str(s.size)],
}

MODIFICATIONS: Final[Mapping[str, Values[Modification]]] = {
    "modification-state": lambda m: [m.state],
    "original-size": lambda m: [str(m.original.size)],
    "target-size": lambda m: [str(m.target.size)],
    "volume-id": lambda m: [m.volume_id],
}


def conditions(
    query: Query,
    known: Mapping[str, Values[T]],
    tags_of: Callable[[T], Mapping[str, str]] | None = None,
) -> list[Test[T]]:
    """Return one test for each filter of ``query``; all have to pass."""
    return [_test(name, values, known, tags_of) for name, values in query.filters()]


def check_page(query: Query, ids: Sequence[str], parameter: str, least: int = 5) -> None:
    """Raise if so many ids, or ids and pages together, cannot be asked for."""
    if len(ids) > MOST_IDS:
        raise errors.invalid(
            f"The maximum number of {parameter} ids that can be specified is {MOST_IDS}."
        )
    most = query.number("MaxResults")
    if most is None:
        return
    if ids:
        raise errors.combination(
            f"The parameter {parameter} cannot be used with the parameter maxResults"
        )
    if not least <= most <= 1000:
        raise errors.invalid(
            f"Value ( {most} ) for parameter maxResults is invalid. "
            f"Expecting a value between {least} and 1000."
        )


def paged(query: Query, found: Iterable[N]) -> tuple[list[N], str | None]:
    """Return the page that ``query`` asks for, and the token of the next one if there is one."""
    most, token = query.number("MaxResults"), query.text("NextToken")
    after = 0 if token is None else _opened(token)
    rest = sorted((one for one in found if one.number > after), key=lambda one: one.number)
    if most is None or len(rest) <= most:
        return rest, None
    return rest[:most], _sealed(rest[most - 1].number)


def _test(
    name: str,
    accepted: Sequence[str],
    known: Mapping[str, Values[T]],
    tags_of: Callable[[T], Mapping[str, str]] | None,
) -> Test[T]:
    is_accepted = _matcher(accepted)
    if tags_of is not None and name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda one: key in (tags := tags_of(one)) and is_accepted(tags[key])
    if tags_of is not None and name == "tag-key":
        return lambda one: any(map(is_accepted, tags_of(one)))
    values = known.get(name)
    if values is None:
        raise errors.invalid(f"The filter '{name}' is invalid")
    return lambda one: any(map(is_accepted, values(one)))


def _matcher(accepted: Sequence[str]) -> Callable[[str], bool]:
    if not any(sign in value for value in accepted for sign in "*?\\"):
        return frozenset(accepted).__contains__
    pattern = re.compile("|".join(map(_expression, accepted)), re.DOTALL)
    return lambda value: pattern.fullmatch(value) is not None


def _expression(wildcard: str) -> str:
    """Translate ``*`` and ``?``, which a backslash takes literally."""
    parts = re.findall(r"\\.|.", wildcard, re.DOTALL)
    special = {"*": ".*", "?": "."}
    return "".join(
        special.get(part) or re.escape(part[1:] if len(part) == 2 else part) for part in parts
    )


def _sealed(number: int) -> str:
    return base64.urlsafe_b64encode(f"after {number:020}".encode()).decode()


def _opened(token: str) -> int:
    try:
        word, number = base64.urlsafe_b64decode(token).decode().split()
        if word == "after":
            return int(number)
    except ValueError:
        pass
    raise errors.EC2Error("InvalidNextToken", "The specified NextToken is not valid.")
