"""Cloud Storage as a store of wrapped keys: errors, and faults of the world."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
)
from cloudcrypt.kms import TIMEOUT
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import Exchange, FakeGoogleKeys
from cloudcrypt_testing.world.faults import (
    ConnectionLost,
    Refused,
    ReplyLost,
    ServerError,
    Slow,
    Throttled,
)
from tests.unit.google_keys_given import BLOB, BUCKET, ID, NEW, name_of, store_of

READ, LIST, WRITE = "objects.getMedia", "objects.list", "objects.insertMedia"
DELETE, GET = "objects.delete", "objects.get"
CALLS: dict[str, Callable[[GcsStore], object]] = {
    READ: lambda store: store.get(ID),
    LIST: lambda store: list(store.list()),
    WRITE: lambda store: store.create(ID, BLOB),
    DELETE: lambda store: store.delete(ID),
}
PASSING = (Throttled(), ServerError(503), ConnectionLost(), ReplyLost())


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


@pytest.fixture
def store(google: FakeGoogleKeys) -> Iterator[GcsStore]:
    store = store_of(google)
    yield store
    store.close()


class TestErrors:
    @pytest.mark.parametrize("action", CALLS)
    @pytest.mark.parametrize(
        ("reason", "status", "kind"),
        [
            ("badRequest", 400, KeyServiceFailed),
            ("authError", 401, KeyDenied),
            ("forbidden", 403, KeyDenied),
            ("accountDisabled", 403, KeyDenied),
            ("notFound", 404, KeyServiceFailed),
            ("conflict", 409, KeyServiceFailed),
            ("notImplemented", 501, KeyServiceFailed),
            ("rateLimitExceeded", 429, KeyServiceThrottled),
            ("backendError", 408, KeyServiceUnavailable),
            ("backendError", 500, KeyServiceUnavailable),
            ("backendError", 503, KeyServiceUnavailable),
            ("internalError", 504, KeyServiceUnavailable),
        ],
    )
    def test_each_status_is_an_error_of_ours(
        self,
        store: GcsStore,
        google: FakeGoogleKeys,
        action: str,
        reason: str,
        status: int,
        kind: type[CloudcryptError],
    ) -> None:
        if action in {READ, DELETE}:
            store.create(ID, BLOB)
        google.requests.clear()
        google.faults.add(Refused(reason, "Said.", status), on="*", times=None)
        with pytest.raises(kind) as caught:
            CALLS[action](store)
        assert type(caught.value) is kind
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert (len(google.requests) > 2) == caught.value.retryable
        assert f"'gs://{BUCKET}/keys/'" in str(caught.value)

    def test_a_rate_may_be_limited_with_another_status(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.faults.add(Refused("userRateLimitExceeded", "Said.", 403), on=WRITE)
        assert store.create(ID, BLOB)
        google.throttle("changing", burst=1, rate=0.5)
        for number in range(3):
            assert store.create(f"{number}", BLOB)
        assert google.clock.monotonic() > 2


class TestFaults:
    @pytest.mark.parametrize(
        "fault", [Throttled(), ServerError(503), ConnectionLost(), ReplyLost()]
    )
    @pytest.mark.parametrize("times", [1, 3])
    def test_what_passes_is_waited_out_and_the_result_is_right(
        self, store: GcsStore, google: FakeGoogleKeys, fault: Any, times: int
    ) -> None:
        def struck(call: Callable[[], Any]) -> Any:
            google.faults.clear()
            google.faults.add(fault, times=times)
            return call()

        assert struck(lambda: store.get(ID)) is None
        assert struck(lambda: store.create(ID, BLOB)) is True
        assert struck(lambda: store.create(ID, BLOB)) is False
        assert struck(lambda: store.get(ID)) == BLOB
        assert struck(lambda: list(store.list())) == [ID]
        assert struck(lambda: store.replace(ID, NEW, BLOB)) is False
        assert struck(lambda: store.replace(ID, BLOB, NEW)) is True
        assert [stored.content for stored in google.generations()] == [NEW]
        assert struck(lambda: store.delete(ID)) is True
        assert struck(lambda: store.delete(ID)) is False
        assert not google.generations()

    @pytest.mark.parametrize("occurrence", [1, 2, 3, 4])
    def test_a_lost_answer_at_any_request_of_a_replacement(
        self, store: GcsStore, google: FakeGoogleKeys, occurrence: int
    ) -> None:
        store.create(ID, BLOB)
        google.faults.add(ReplyLost(), occurrence=occurrence)
        assert store.replace(ID, BLOB, NEW)
        assert store.get(ID) == NEW

    def test_a_lost_answer_is_not_taken_for_another_s(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        """Of two callers that store the same bytes one wins, whatever answers get lost."""
        other = store_of(google)
        results: list[bool] = []
        google.faults.add(ReplyLost(), on=WRITE, times=4)

        def create(one: GcsStore) -> None:
            results.append(one.create(ID, BLOB))

        threads = [threading.Thread(target=create, args=(one,)) for one in (store, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False, True]
        other.close()

    def test_what_was_stored_and_overwritten_meanwhile_is_not_claimed(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        def overwrite(exchange: Exchange) -> None:
            if exchange.call.action == WRITE and exchange.phase == "after":
                google.put(name_of(ID), b"theirs")

        google.hooks.append(overwrite)
        google.faults.add(ReplyLost(), on=WRITE)
        assert not store.create(ID, BLOB)

    def test_what_came_and_went_meanwhile_is_not_claimed(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        def meddle(exchange: Exchange) -> None:
            if exchange.call.action == WRITE and exchange.phase == "after":
                google.put(name_of(ID), b"theirs")
            if exchange.call.action == GET and exchange.phase == "before":
                google._cloud.buckets[BUCKET].delete(name_of(ID), None, google.clock.now())

        google.hooks.append(meddle)
        google.faults.add(ReplyLost(), on=WRITE)
        assert not store.create(ID, BLOB)
        assert google.requests.actions == [WRITE, WRITE, GET]

    @pytest.mark.parametrize("fault", [Throttled(), ServerError(), ConnectionLost()])
    def test_what_lasts_ends_with_the_deadline(
        self, store: GcsStore, google: FakeGoogleKeys, fault: Any
    ) -> None:
        google.faults.add(fault, times=None)
        for call in CALLS.values():
            begun = google.clock.monotonic()
            with pytest.raises((KeyServiceUnavailable, KeyServiceThrottled)):
                call(store)
            assert google.clock.monotonic() - begun <= TIMEOUT

    def test_a_service_that_hangs_is_not_waited_for(self, google: FakeGoogleKeys) -> None:
        store = GcsStore(BUCKET, endpoint=google.endpoint, timeout=0.3)
        google.faults.add(Slow(1.5, is_real=True))
        with pytest.raises(KeyServiceUnavailable, match="Timeout"):
            store.get(ID)
