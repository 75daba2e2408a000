"""How large a volume may be, and how progress is told."""

import warnings
from collections.abc import Callable

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.mapper import payload_size
from cloudcrypt.model import Mode
from cloudcrypt.profiles import XTS_LIMIT, XTS_RECOMMENDED
from cloudcrypt.sizes import format_size


class LargeVolumeWarning(UserWarning):
    """More data under one XTS key than IEEE 1619 recommends."""


Progress = Callable[[int, int], None]
"""Is told how many bytes of payload are done, of how many."""


def check_capacity(capacity: int, mode: Mode) -> None:
    """Refuse a capacity in bytes that no volume can have; warn of one that is unwise.

    Raises:
        InvalidRequest: too small for header, overhead and one sector, or above 256 TiB of payload.
    """
    payload = payload_size(mode, capacity)
    if payload == 0:
        rule = "at least 16 MiB of header, with integrity journal and tags, and one sector"
        raise InvalidRequest("capacity", capacity, rule)
    if payload > XTS_LIMIT:
        rule = f"at most {format_size(XTS_LIMIT)} under one XTS key (IEEE 1619)"
        raise InvalidRequest("capacity", capacity, rule)
    if payload > XTS_RECOMMENDED:
        warnings.warn(
            f"{format_size(payload)} under one XTS key; IEEE 1619 recommends at most "
            f"{format_size(XTS_RECOMMENDED)}: consider several volumes",
            LargeVolumeWarning,
            stacklevel=2,
        )
