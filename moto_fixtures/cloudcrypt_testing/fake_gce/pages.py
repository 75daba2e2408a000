"""Lists: what passes a filter, in order, on pages."""

import base64
from collections.abc import Callable, Iterable
from typing import Final

from cloudcrypt_testing.fake_gce import errors, filters
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.render import Document

MOST: Final = 500
"""Items on a page."""
_NEWEST_FIRST: Final = "creationTimestamp desc"
_ORDERS: Final = (None, "name", _NEWEST_FIRST)
_SEPARATOR: Final = "\n"

Key = tuple[str, ...]


def page(
    incoming: Incoming, items: Iterable[Document], item: str
) -> tuple[list[Document], str | None]:
    """Return the page that a request asks for, and the token of the next one if there is one.

    Args:
        incoming: the request.
        items: all that there are.
        item: the name of the schema of each.
    """
    order = incoming.text("orderBy")
    if order not in _ORDERS:
        raise errors.invalid("orderBy", order, "It is not supported.")
    test = filters.parsed(incoming.text("filter") or "", item)
    key, is_falling = _key(order)
    found = sorted(filter(test, items), key=key, reverse=is_falling)
    token = incoming.text("pageToken")
    if token is not None:
        found = _after(found, key, _opened(token), is_falling=is_falling)
    most = _most(incoming)
    if len(found) <= most:
        return found, None
    return found[:most], _sealed(key(found[most - 1]))


def _most(incoming: Incoming) -> int:
    most = int(incoming.text("maxResults") or MOST)
    if most > MOST:
        raise errors.invalid("maxResults", most, f"Must be between 0 and {MOST}.")
    return most or MOST


def _key(order: str | None) -> tuple[Callable[[Document], Key], bool]:
    if order == _NEWEST_FIRST:
        return _by_time, True
    return _by_name, False


def _by_name(item: Document) -> Key:
    return str(item["name"]), str(item["selfLink"])


def _by_time(item: Document) -> Key:
    time = item.get("creationTimestamp") or item.get("insertTime") or ""
    return str(time), str(item.get("id", "")), str(item["selfLink"])


def _after(
    found: list[Document], key: Callable[[Document], Key], last: Key, *, is_falling: bool
) -> list[Document]:
    if is_falling:
        return [item for item in found if key(item) < last]
    return [item for item in found if key(item) > last]


def _sealed(key: Key) -> str:
    return base64.urlsafe_b64encode(_SEPARATOR.join(key).encode()).decode()


def _opened(token: str) -> Key:
    try:
        parts = base64.urlsafe_b64decode(token).decode().split(_SEPARATOR)
    except ValueError:
        parts = []
    if len(parts) not in {2, 3}:
        raise errors.invalid("pageToken", token, "The page token is invalid.")
    return tuple(parts)
