"""Data keys on Google Cloud from many processes at once, and from such as die in between."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from queue import Queue

import pytest

from cloudcrypt.keys import get_data_key, open_key_service
from cloudcrypt_testing.fake_google_keys import Exchange, FakeGoogleKeys
from tests.unit.google_keys_given import BUCKET, ID, finished, forked, store_of

PROCESSES = 32


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


def asked(url: str) -> bytes:
    """Return the data key, as a process has it that opens the service anew."""
    with open_key_service(url) as keys, get_data_key(keys, ID) as key:
        return bytes(key.reveal())


@pytest.mark.parametrize("versioning", [False, True])
def test_of_many_processes_all_get_the_one_key(google: FakeGoogleKeys, versioning: bool) -> None:  # noqa: FBT001 - a parameter
    google.add_bucket(BUCKET, versioning=versioning)
    url = google.url()
    children = [forked(lambda: asked(url)) for _ in range(PROCESSES)]
    keys = {finished(*child) for child in children}
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    assert len(google.generations()) == 1


def test_of_many_processes_one_creates(google: FakeGoogleKeys) -> None:
    def create(number: int) -> bytes:
        return b"%d" % store_of(google).create(ID, b"%d" % number)

    children = [forked(partial(create, number)) for number in range(PROCESSES)]
    outcomes = [finished(*child) for child in children]
    assert outcomes.count(b"1") == 1
    assert store_of(google).get(ID) == b"%d" % outcomes.index(b"1")


@pytest.mark.parametrize("phase", ["before", "after"])
def test_whatever_exchange_a_process_dies_in_there_is_one_key(
    google: FakeGoogleKeys, phase: str
) -> None:
    died = 0
    for exchange in range(1, 12):
        google.add_bucket(BUCKET)
        seen: list[str] = []
        born: Queue[int] = Queue()

        def kill(
            one: Exchange,
            seen: list[str] = seen,
            at: int = exchange,
            born: Queue[int] = born,
        ) -> None:
            if one.phase == phase:
                seen.append(one.call.action)
                if len(seen) == at:
                    os.kill(born.get(), signal.SIGKILL)

        google.hooks.append(kill)
        child, reader = forked(lambda: asked(google.url()))
        born.put(child)
        left = finished(child, reader)
        google.hooks.clear()
        died += not left
        keys = {asked(google.url()), asked(google.url())} | ({left} if left else set())
        assert len(keys) == 1
        assert len(google.generations()) == 1
    assert 5 <= died <= 10
