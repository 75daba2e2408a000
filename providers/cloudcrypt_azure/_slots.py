"""Which of the names that Azure may call something is in use, and which one is next.

A disk whose creation failed keeps its name, and is left as it is. Another attempt, with another
token, must neither change it nor be told that the name is taken; so it goes to the next name.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._names import azure_names
from cloudcrypt_azure._shelf import Record, Shelf

R = TypeVar("R", bound=Record)

_GAP: Final = 2
"""Names in a row that nothing has, after which nothing has the later ones, either: one more than
none, since whoever looks after failed disks may have deleted the first of them."""


def in_use(shelf: Shelf[R], name: str, deadline: Deadline) -> Iterator[R | str]:
    """Yield what has each of the names that Azure may call ``name``, or the name, if nothing has.

    It ends after two names that nothing has.
    """
    free = 0
    for azure_name in azure_names(name):
        record = shelf.named(azure_name, deadline)
        yield azure_name if record is None else record
        free = free + 1 if record is None else 0
        if free == _GAP:
            return


def existing_or_free(
    shelf: Shelf[R], name: str, is_left: Callable[[R], bool], deadline: Deadline
) -> R | str:
    """Return what exists under ``name``, or else the first name on Azure that is free.

    Args:
        shelf: disks or snapshots.
        name: the caller's.
        is_left: whether something is left as it is, and does not count.
        deadline: of the looks.
    """
    free: str | None = None
    for found in in_use(shelf, name, deadline):
        if isinstance(found, str):
            free = free or found
        elif not is_left(found):
            return found
    assert free is not None  # noqa: S101 - it ends with two of them
    return free
