"""The cache of data keys: bounded in time and number, wiped, and nobody's key but the asker's."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudcrypt.errors import DataKeyUnavailable, InvalidRequest
from cloudcrypt.keys import (
    CachingKeyService,
    EnvelopeKeyService,
    LocalKeyService,
    MasterSecret,
    get_data_key,
)
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt.secret import Secret
from cloudcrypt_testing.fake_kms import FakeKms
from tests.unit.clocks import FakeClock
from tests.unit.key_servers import ZERO_ID, ZERO_KEY, zero_keys


class Counting:
    """A key service that counts what it is asked, and may fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fails = False
        self.meanwhile: Callable[[], None] = lambda: None

    def get_data_key(self, key_id: str, length: int) -> Secret:
        self.asked.append((key_id, length))
        self.meanwhile()
        if self.fails:
            raise DataKeyUnavailable(key_id, "failing")
        return zero_keys().get_data_key(key_id, length)


def held(cache: CachingKeyService) -> list[memoryview]:
    """Return views of all keys that the cache has."""
    return [entry.key.reveal() for entry in cache._entries.values()]


def test_a_key_is_asked_for_once_within_its_time() -> None:
    clock, service = FakeClock(), Counting()
    with CachingKeyService(service, seconds=60, clock=clock) as cache:
        for _ in range(3):
            assert Secret(ZERO_KEY) == get_data_key(cache, ZERO_ID)
        assert service.asked == [(ZERO_ID, 32)]
        clock.passed += 60
        assert Secret(ZERO_KEY) == get_data_key(cache, ZERO_ID)
        assert len(service.asked) == 2


def test_another_length_is_another_key() -> None:
    service = Counting()
    with CachingKeyService(service, seconds=60, clock=FakeClock()) as cache:
        assert (32, 16) == (
            len(cache.get_data_key(ZERO_ID, 32)),
            len(cache.get_data_key(ZERO_ID, 16)),
        )
    assert len(service.asked) == 2


def test_what_is_too_old_is_wiped() -> None:
    clock = FakeClock()
    with CachingKeyService(Counting(), seconds=60, clock=clock) as cache:
        cache.get_data_key("old", 32)
        (view,) = held(cache)
        clock.passed += 59
        assert len(cache) == 1
        clock.passed += 1
        assert len(cache) == 0
        assert bytes(view) == bytes(32)


def test_the_oldest_of_too_many_is_wiped() -> None:
    service = Counting()
    with CachingKeyService(service, seconds=60, entries=2, clock=FakeClock()) as cache:
        cache.get_data_key("1", 32)
        (view,) = held(cache)
        cache.get_data_key("2", 32)
        cache.get_data_key("3", 32)
        assert (2, bytes(32)) == (len(cache), bytes(view))
        cache.get_data_key("2", 32)
        assert len(service.asked) == 3


def test_a_key_is_wiped_in_time_also_if_nobody_asks_any_more() -> None:
    with CachingKeyService(Counting(), seconds=0.05) as cache:
        cache.get_data_key("id", 32)
        (view,) = held(cache)
        timer = cache._timer
        assert timer is not None
        assert timer.daemon
        timer.join(60)
        assert bytes(view) == bytes(32)
        assert not cache._entries
        cache.get_data_key("id", 32)  # and again
        (view,) = held(cache)
        timer = cache._timer
        assert timer is not None
        timer.join(60)
        assert bytes(view) == bytes(32)


def test_closing_wipes_everything_and_closes_the_service_behind() -> None:
    behind = LocalKeyService(MasterSecret.from_bytes(bytes(32), bytes(32)))
    cache = CachingKeyService(behind, seconds=60)
    cache.get_data_key("1", 32)
    cache.get_data_key("2", 32)
    views = held(cache)
    cache.close()
    cache.close()
    assert [bytes(32)] * 2 == [bytes(view) for view in views]
    assert cache._timer is None
    for service in (cache, behind):
        with pytest.raises(DataKeyUnavailable, match="closed"):
            service.get_data_key("1", 32)


def test_callers_wipe_copies() -> None:
    with CachingKeyService(Counting(), seconds=60, clock=FakeClock()) as cache:
        for _ in range(2):
            with cache.get_data_key(ZERO_ID, 32) as key:
                assert Secret(ZERO_KEY) == key
        assert Secret(ZERO_KEY) == cache.get_data_key(ZERO_ID, 32)


def test_an_error_is_not_remembered() -> None:
    service = Counting()
    service.fails = True
    with CachingKeyService(service, seconds=60, clock=FakeClock()) as cache:
        with pytest.raises(DataKeyUnavailable, match="failing"):
            cache.get_data_key(ZERO_ID, 32)
        service.fails = False
        assert Secret(ZERO_KEY) == cache.get_data_key(ZERO_ID, 32)


def test_a_key_that_arrives_after_closing_is_not_remembered() -> None:
    service = Counting()
    cache = CachingKeyService(service, seconds=60, clock=FakeClock())
    service.meanwhile = cache.close
    assert Secret(ZERO_KEY) == cache.get_data_key(ZERO_ID, 32)
    assert not cache._entries


def test_a_key_of_another_length_is_not_remembered() -> None:
    class Short:
        def get_data_key(self, key_id: str, length: int) -> Secret:
            assert (key_id, length) == ("id", 32)
            return Secret(bytes(16))

    with CachingKeyService(Short(), seconds=60, clock=FakeClock()) as cache:
        with pytest.raises(DataKeyUnavailable, match="16 bytes"):
            get_data_key(cache, "id")
        assert len(cache) == 0


def test_many_threads_get_the_right_keys() -> None:
    expected = {str(number): zero_keys().get_data_key(str(number), 32) for number in range(20)}
    with CachingKeyService(Counting(), seconds=60, entries=10) as cache:
        gate = threading.Barrier(8)

        def ask(_: int) -> bool:
            gate.wait(60)
            return all(expected[each] == cache.get_data_key(each, 32) for each in expected)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))
        assert len(cache) == 10


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 86401])
def test_the_time_has_bounds(seconds: float) -> None:
    with pytest.raises(InvalidRequest):
        CachingKeyService(Counting(), seconds=seconds)


@pytest.mark.parametrize("entries", [0, -1, 65537])
def test_the_number_has_bounds(entries: int) -> None:
    with pytest.raises(InvalidRequest):
        CachingKeyService(Counting(), seconds=1, entries=entries)


def test_no_key_is_in_a_repr() -> None:
    with CachingKeyService(Counting(), seconds=60, clock=FakeClock()) as cache:
        cache.get_data_key(ZERO_ID, 32)
        shown = f"{cache!r}{cache._entries!r}"
    assert ZERO_KEY.hex() not in shown
    assert repr(ZERO_KEY) not in shown


def test_a_key_that_was_shredded_is_made_anew_and_not_remembered(tmp_path: Path) -> None:
    envelope = EnvelopeKeyService(FakeKms(), SqliteStore(tmp_path / "keys.db"))
    with CachingKeyService(envelope, seconds=60, clock=FakeClock()) as cache:
        old = get_data_key(cache, "an id")
        assert envelope.shred("an id")
        new = get_data_key(cache, "an id")
        assert new != old
        assert new == get_data_key(cache, "an id", existing=True)
        assert new == get_data_key(envelope, "an id", existing=True)
