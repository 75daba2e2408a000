"""What can be a label of a resource."""

import re
from collections.abc import Mapping
from typing import Final

from cloudcrypt_testing.fake_gce import errors

MOST: Final = 64
"""Labels of one resource."""
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}", re.ASCII)


def checked(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return ``labels`` if a resource can have them."""
    if len(labels) > MOST:
        raise errors.invalid("resource.labels", len(labels), f"The maximum is {MOST} labels.")
    for key, value in labels.items():
        if _KEY.fullmatch(key) is None or _VALUE.fullmatch(value) is None:
            raise errors.invalid("resource.labels", f"{key}={value}", "It is not a valid label.")
    return dict(labels)
