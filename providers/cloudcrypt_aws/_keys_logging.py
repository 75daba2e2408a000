"""Keeps keys out of the log of botocore, which has requests and answers at the level DEBUG.

botocore logs the parameters and the body of a request, and the body of an answer: the plaintext of
an Encrypt and of a Decrypt, in Base64. While `quiet` holds, nothing is logged by the loggers that
do that, for the thread that called it. Other threads and other users of botocore may log on.
"""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

LOGGERS: Final = ("botocore.client", "botocore.endpoint", "botocore.parsers")
"""The loggers of botocore that write bodies, parameters, or objects that have them."""

_IS_QUIET: Final = ContextVar("_IS_QUIET", default=False)


class _Discretion(logging.Filter):
    """Drops what is logged while a key is on its way."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether ``record`` may be logged."""
        del record
        return not _IS_QUIET.get()


_DISCRETION: Final = _Discretion()


@contextmanager
def quiet() -> Generator[None]:
    """Within the block, let botocore say nothing that has a key in it."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_DISCRETION)  # once: it is in the list, or it is not
    token = _IS_QUIET.set(True)
    try:
        yield
    finally:
        _IS_QUIET.reset(token)
