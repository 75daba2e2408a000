"""Cloud Storage as a store of wrapped keys: what is asked, absence, and writes."""

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cloudcrypt.errors import (
    KeyDenied,
    KeyServiceFailed,
    KeyServiceUnavailable,
    KeyUriInvalid,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX, TIMEOUT
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import Exchange, FakeGoogleKeys, layer
from cloudcrypt_testing.world.faults import (
    Refused,
    ServerError,
)
from cloudcrypt_testing.world.layer import Answer
from tests.unit.google_keys_given import (
    BLOB,
    BUCKET,
    ID,
    NEW,
    OTHER_ID,
    finished,
    forked,
    name_of,
    store_of,
)

READ, LIST, WRITE = "objects.getMedia", "objects.list", "objects.insertMedia"
DELETE, GET = "objects.delete", "objects.get"
CALLS: dict[str, Callable[[GcsStore], object]] = {
    READ: lambda store: store.get(ID),
    LIST: lambda store: list(store.list()),
    WRITE: lambda store: store.create(ID, BLOB),
    DELETE: lambda store: store.delete(ID),
}


def _replace(store: GcsStore) -> object:
    return store.replace(ID, BLOB, NEW)


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


@pytest.fixture
def store(google: FakeGoogleKeys) -> Iterator[GcsStore]:
    store = store_of(google)
    yield store
    store.close()


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "bucket", "prefix"),
        [
            ("gs://my-bucket", "my-bucket", ""),
            ("gs://my-bucket/", "my-bucket", ""),
            ("gs://my-bucket/keys", "my-bucket", "keys/"),
            ("gs://my-bucket/keys/", "my-bucket", "keys/"),
            ("gs://my.bucket_1/a/b-c_d.e/", "my.bucket_1", "a/b-c_d.e/"),
        ],
    )
    def test_a_url_names_a_bucket_and_a_prefix(self, url: str, bucket: str, prefix: str) -> None:
        assert repr(GcsStore.from_url(url)) == f"GcsStore('{bucket}', '{prefix}')"

    def test_its_parameters(self) -> None:
        url = "gs://my-bucket/?timeout=5&project=owner&userProject=payer&endpoint=https://storage.example/"
        store = GcsStore.from_url(url)
        assert store._timeout == 5
        assert (store._objects._project, store._objects._user_project) == ("owner", "payer")
        assert store._objects._login.endpoint == "https://storage.example"
        assert GcsStore("my-bucket")._timeout == TIMEOUT

    @pytest.mark.parametrize(
        "url",
        [
            "gs:my-bucket",
            "s3://my-bucket",
            "gs://",
            "gs://My-Bucket",
            "gs://my-bucket:443/",
            "gs://secret@my-bucket/",
            "gs://my-bucket//keys",
            "gs://my-bucket/keys//",
            "gs://my-bucket/a b",
            "gs://my-bucket/a%20b",
            "gs://my-bucket/#keys",
            "gs://my-bucket?region=europe",
            "gs://my-bucket?project=Mine!",
            "gs://my-bucket?userProject=Mine!",
            "gs://my-bucket?timeout=-1",
            "gs://my-bucket?endpoint=http://storage.example",
            "gs://my-bucket?endpoint=https://storage.example/storage/v1",
            "gs://my-bucket?credentialsPath=/nowhere/secret.json",
        ],
    )
    def test_another_url_is_refused_and_not_repeated(self, url: str) -> None:
        with pytest.raises(KeyUriInvalid) as caught:
            GcsStore.from_url(url)
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None


class TestReading:
    def test_every_request_says_who_pays(self, google: FakeGoogleKeys) -> None:
        store = store_of(google, project="demo-project", user_project="payer")
        store.create(ID, BLOB)
        store.replace(ID, BLOB, NEW)
        assert list(store.list()) == [ID]
        assert store.delete(ID)
        assert {one.parameters["userProject"] for one in google.requests} == {"payer"}

    def test_content_generation_and_checksum_are_of_one_answer(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        store.create(ID, BLOB)
        google.requests.clear()
        assert store.get(ID) == BLOB
        assert google.requests.actions == [READ]

    def test_absence_is_asked_for_twice(self, store: GcsStore, google: FakeGoogleKeys) -> None:
        assert store.get(ID) is None
        assert google.requests.actions == [READ, LIST]

    def test_a_bucket_that_is_not_there_is_no_absence(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        store.create(ID, BLOB)
        google.remove_bucket()
        for call in (*CALLS.values(), _replace):
            with pytest.raises(KeyServiceFailed, match="bucket does not exist"):
                call(store)

    def test_what_comes_between_the_two_questions_is_read(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        def come(exchange: Exchange) -> None:
            if exchange.call.action == LIST:
                google.put(name_of(ID), BLOB)

        google.hooks.append(come)
        assert store.get(ID) == BLOB

    def test_an_object_with_a_longer_name_is_another(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.put(f"{name_of(ID)}0", NEW)
        assert store.get(ID) is None
        assert not store.delete(ID)
        assert google.objects()

    def test_who_may_not_list_does_not_hear_of_absence(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.deny("storage.objects.list")
        with pytest.raises(KeyDenied):
            store.get(ID)

    def test_a_long_object_is_not_read_to_its_end(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.put(name_of(ID), bytes(10 * BLOB_MAX))
        for call in (CALLS[READ], _replace):
            with pytest.raises(WrappedKeyRefused, match="more than"):
                call(store)
        assert not store.create(ID, BLOB)

    @pytest.mark.parametrize(
        ("content", "encoding"),
        [(BLOB, "somebody's"), (BLOB, "gzip"), (gzip.compress(bytes(10**8)), "gzip")],
    )
    def test_an_object_in_an_encoding_is_not_ours(
        self, store: GcsStore, google: FakeGoogleKeys, content: bytes, encoding: str
    ) -> None:
        google.put(name_of(ID), content, encoding=encoding)
        with pytest.raises(WrappedKeyRefused, match=r"encoding|more than"):
            store.get(ID)

    @pytest.mark.parametrize("header", ["X-Goog-Generation", "X-Goog-Hash", "content", "end"])
    def test_an_answer_that_cannot_be_checked_is_none(
        self,
        store: GcsStore,
        google: FakeGoogleKeys,
        monkeypatch: pytest.MonkeyPatch,
        header: str,
    ) -> None:
        methods: Any = layer._METHODS
        honest = methods[READ]

        def download(*asked: Any) -> Answer:
            answer: Answer = honest(*asked)
            headers = [(name, value) for name, value in answer.headers if name != header]
            changed: dict[str, bytes] = {"content": NEW, "end": BLOB[:-1]}
            return Answer(200, headers, changed.get(header, answer.body))

        store.create(ID, BLOB)
        monkeypatch.setitem(methods, READ, download)
        with pytest.raises(KeyServiceUnavailable):
            store.get(ID)
        assert google.requests.count(READ) > 1

    def test_listed_is_what_is_below_the_prefix_and_an_id(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.paginate(2)
        for key_id in ("b", "a/b", "a:b", "a"):
            store.create(key_id, BLOB)
        for name in ("other", "keys/%61", "keys/a//b", "keys", "keyser"):
            google.put(name, BLOB)
        assert list(store.list()) == ["a", "a/b", "a:b", "b"]
        assert list(store.list("a:")) == ["a:b"]

    def test_a_listing_that_breaks_off_is_an_error_and_not_the_end(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        google.paginate(1)
        for key_id in ("a", "b", "c"):
            store.create(key_id, BLOB)
        google.faults.add(Refused("forbidden", status=403), on=LIST, occurrence=3)
        with pytest.raises(KeyDenied):
            next(store.list())
        google.faults.add(ServerError(), on=LIST, occurrence=2, times=2)
        assert list(store.list()) == ["a", "b", "c"]


class TestWriting:
    def test_it_is_one_request_with_precondition_checksum_and_mark(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        assert store.create(ID, BLOB)
        assert google.requests.actions == [WRITE]
        (request,) = google.requests
        assert request.parameters["ifGenerationMatch"] == "0"
        stored = google.objects()[name_of(ID)]
        assert (stored.content, stored.cache_control) == (BLOB, "no-store")
        assert len(stored.metadata["cloudcrypt-write"]) == 32

    def test_a_replacement_is_for_the_generation_that_was_read(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        store.create(ID, BLOB)
        generation = google.objects()[name_of(ID)].generation
        assert store.replace(ID, BLOB, NEW)
        (*_, request) = google.requests
        assert request.parameters["ifGenerationMatch"] == str(generation)

    def test_somebody_who_writes_in_between_wins(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        def meddle(exchange: Exchange) -> None:
            if exchange.call.action == WRITE and exchange.phase == "before":
                google.put(name_of(ID), exchange.call.parameters["bucket"].encode())

        store.create(ID, BLOB)
        google.hooks.append(meddle)
        assert not store.replace(ID, BLOB, NEW)
        assert not store.create(OTHER_ID, NEW) or google.objects()[name_of(OTHER_ID)].content == NEW
        assert store.get(ID) == BUCKET.encode()

    def test_what_is_deleted_in_between_is_not_replaced(
        self, store: GcsStore, google: FakeGoogleKeys
    ) -> None:
        other = store_of(google)

        def delete(exchange: Exchange) -> None:
            if exchange.call.action == WRITE:
                google.hooks.clear()
                other.delete(ID)

        store.create(ID, BLOB)
        google.hooks.append(delete)
        assert not store.replace(ID, BLOB, NEW)
        assert store.get(ID) is None
        other.close()

    def test_a_blob_that_changed_on_its_way_is_not_stored(
        self, store: GcsStore, google: FakeGoogleKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        methods: Any = layer._METHODS
        honest = methods[WRITE]

        def change(cloud: Any, incoming: Any) -> Any:
            object.__setattr__(incoming, "content", b"changed")
            return honest(cloud, incoming)

        monkeypatch.setitem(methods, WRITE, change)
        with pytest.raises(KeyServiceFailed, match="CRC32C"):
            store.create(ID, BLOB)
        assert not google.objects()

    def test_a_forked_process_has_connections_of_its_own(self, store: GcsStore) -> None:
        assert store.create(ID, BLOB)
        before = store._objects._client

        def work() -> bytes:
            assert store.get(ID) == BLOB
            return b"the same" if store._objects._client is before else b"its own"

        assert finished(*forked(work)) == b"its own"
        assert store._objects._client is before
        assert store.get(ID) == BLOB

    def test_who_may_not_overwrite(self, store: GcsStore, google: FakeGoogleKeys) -> None:
        store.create(ID, BLOB)
        google.deny("storage.objects.delete")
        assert not store.create(ID, NEW)
        with pytest.raises(KeyDenied):
            store.replace(ID, BLOB, NEW)
