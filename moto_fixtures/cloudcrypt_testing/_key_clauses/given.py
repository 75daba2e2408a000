"""What every clause about a KMS or a store starts from, and key ids that are hard to name."""

import base64
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from cloudcrypt.kms import KEY_ID_MAX, KMS, KeyStore
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Cancellation, Deadline

T = TypeVar("T")

ODD_IDS = (
    "a b",
    " a",
    "a%2Fb",
    "a%b",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a.",
    "A/B",
    "a/b",
    "cloudcrypt/v1/aws:eu-west-1/vol-0123456789abcdef0",
    "\u00e9",
    "e\u0301",
    "\u20ac\U0001f511",
    "*?&=#'\"\\<>|",
    "x" * KEY_ID_MAX,
)
"""Ids that two sides of an interface may take for each other, or that a path cannot have."""

TOO_ODD = ("", "a\n", "a\0b", "\ud800", "x" * (KEY_ID_MAX + 1))
"""What is no id: empty, not printable, or too long."""

THREADS = 16
"""Callers that race."""


class GivenKms:
    """The fixtures that the tests of a KMS override."""

    @pytest.fixture
    def kms(self) -> KMS:
        """Give the KMS under test; a subclass overrides this."""
        pytest.fail("override the fixture `kms`: it gives the KMS under test")

    @pytest.fixture
    def other_kms(self) -> KMS:
        """Give the same service with another wrapping key; a subclass overrides this."""
        pytest.fail("override the fixture `other_kms`: it has another wrapping key")

    @pytest.fixture
    def rotate(self) -> Callable[[], object] | None:
        """Give what makes a new version of the wrapping key of ``kms``, if that can be."""
        return None

    @pytest.fixture
    def lengths(self) -> Sequence[int]:
        """Give lengths in bytes that ``kms`` wraps; 32 is among them."""
        return 1, 16, 32, 64, 1024

    @pytest.fixture
    def hidden(self) -> Sequence[str]:
        """Give what must not be in a repr or a log: the credentials of ``kms``."""
        return ()


class GivenStore:
    """The fixtures that the tests of a store override."""

    @pytest.fixture
    def store(self) -> KeyStore:
        """Give the store under test, with nothing in it; a subclass overrides this."""
        pytest.fail("override the fixture `store`: it gives the store under test")

    @pytest.fixture
    def reopen(self) -> Callable[[], KeyStore]:
        """Give what opens the same store anew; a subclass overrides this."""
        pytest.fail("override the fixture `reopen`: it opens the same store anew")

    @pytest.fixture
    def plant(self) -> Callable[[str, bytes], object] | None:
        """Give what stores a blob of any length past the interface, if that can be."""
        return None

    @pytest.fixture
    def many(self) -> int:
        """Give a number of blobs that needs more than one page of a listing, if there are pages."""
        return 30

    @pytest.fixture
    def hidden(self) -> Sequence[str]:
        """Give what must not be in a repr or a log: the credentials of ``store``."""
        return ()


def secret(length: int = 32) -> Secret:
    """Return random bytes."""
    return Secret(b"".join(uuid.uuid4().bytes for _ in range(length // 16 + 1))[:length])


def spellings(value: bytes) -> tuple[str, ...]:
    """Return what ``value`` looks like wherever somebody prints it."""
    return (
        value.hex(),
        base64.b64encode(value).decode().rstrip("="),
        base64.urlsafe_b64encode(value).decode().rstrip("="),
        repr(value)[2:-1],
        repr(list(value))[1:-1],
    )


def passed() -> Deadline:
    """Return a deadline that has passed."""
    return Deadline.after(0)


def cancelled() -> Deadline:
    """Return a deadline that has been cancelled."""
    cancellation = Cancellation()
    cancellation.cancel()
    return Deadline.after(60, cancellation=cancellation)


def raced(each: Callable[[int], T], count: int = THREADS) -> list[T]:
    """Return what ``each`` gives for 0, 1, ... in ``count`` threads that start together."""
    together = threading.Barrier(count)

    def run(number: int) -> T:
        together.wait(60)
        return each(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))
