"""What `cloudcrypt key doctor` tries out, and what it finds in services that do not keep to it."""

import pytest

from cloudcrypt.errors import KeyDenied, KeyServiceUnavailable
from cloudcrypt.keys.examining import CANARY, Finding, examine
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt.kms import KMS, KeyStore
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing.fake_kms import FakeKms
from tests.unit.clocks import FakeClock
from tests.unit.lying_stores import Careless, Forgetting, Once, Store

CHECKS = [
    "wrapping key",
    "wraps, and unwraps again",
    "unwraps under its own id only",
    "store answers",
    "creates what is absent only",
    "replaces what is known only",
    "lists",
    "deletes",
]


@pytest.fixture
def kms() -> FakeKms:
    return FakeKms()


@pytest.fixture
def store() -> Store:
    return Store(SqliteStore(":memory:"))


def found(kms: KMS, store: KeyStore) -> dict[str, Finding]:
    findings = list(examine(kms, store, clock=FakeClock()))
    assert [finding.what for finding in findings] == CHECKS[: len(findings)]
    assert all(finding.ready or finding.advice for finding in findings)
    return {finding.what: finding for finding in findings}


def doubtful(kms: KMS, store: KeyStore) -> list[str]:
    return [what for what, finding in found(kms, store).items() if not finding.ready]


def test_services_that_are_as_they_must_be_pass_and_nothing_remains(
    kms: FakeKms, store: Store
) -> None:
    findings = found(kms, store)
    assert [finding.ready for finding in findings.values()] == [True] * len(CHECKS)
    assert findings["wrapping key"].found == "fake-kms://key, version 1"
    assert list(store.store.list()) == []
    used = {key_id for _, key_id in kms.requests if key_id}
    assert all(key_id.startswith(CANARY) for key_id in used)


def test_a_kms_that_does_not_bind_the_id_is_found(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap, unwrap = kms.wrap, kms.unwrap

    def same(key: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        return wrap(key, "any", deadline=deadline)

    def any_id(blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        return unwrap(blob, "any", deadline=deadline)

    monkeypatch.setattr(kms, "wrap", same)
    monkeypatch.setattr(kms, "unwrap", any_id)
    assert doubtful(kms, store) == ["unwraps under its own id only"]


def test_a_kms_that_gives_other_bytes_is_found(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def zeros(blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        return Secret(bytes(32))

    monkeypatch.setattr(kms, "unwrap", zeros)
    assert "wraps, and unwraps again" in doubtful(kms, store)


def test_a_kms_that_is_away_says_why(kms: FakeKms, store: Store) -> None:
    kms.disable(1)
    findings = found(kms, store)
    assert "DISABLED" in findings["wraps, and unwraps again"].found
    assert findings["creates what is absent only"].ready


def test_a_store_that_overwrites_is_found(kms: FakeKms, store: Store) -> None:
    assert doubtful(kms, Careless(store)) == [
        "creates what is absent only",
        "replaces what is known only",
    ]
    assert list(store.store.list()) == []


def test_a_store_that_pretends_to_create_is_found(kms: FakeKms, store: Store) -> None:
    careless = Careless(store)
    careless.overwrites = False
    assert "creates what is absent only" in doubtful(kms, careless)


def test_a_store_that_forgets_is_found(kms: FakeKms, store: Store) -> None:
    assert "creates what is absent only" in doubtful(kms, Forgetting(store, 2))


def test_a_store_that_does_not_answer_is_not_tried_further(kms: FakeKms, store: Store) -> None:
    store.before = Once("get", KeyServiceUnavailable("fake", "x", "away"))
    findings = found(kms, store)
    assert "store answers" in findings
    assert "away" in findings["store answers"].found
    assert len(findings) == CHECKS.index("store answers") + 1
    assert store.asked == ["get"]


@pytest.mark.parametrize(
    ("verb", "check"),
    [
        ("create", "creates what is absent only"),
        ("replace", "replaces what is known only"),
        ("list", "lists"),
        ("delete", "deletes"),
    ],
)
def test_what_the_caller_has_no_right_to_is_told(
    kms: FakeKms, store: Store, verb: str, check: str
) -> None:
    store.before = Once(verb, KeyDenied("fake", "x", f"no right to {verb}"), times=10)
    finding = found(kms, store)[check]
    assert not finding.ready
    assert f"no right to {verb}" in finding.found


def test_the_canary_is_deleted_although_something_failed(kms: FakeKms, store: Store) -> None:
    store.after = Once("create", KeyServiceUnavailable("fake", "x", "the answer was lost"))
    found(kms, store)
    assert list(store.store.list()) == []


def test_a_store_that_keeps_what_was_deleted_is_found(
    kms: FakeKms, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(key_id: str, *, deadline: Deadline | None = None) -> bool:
        return True

    monkeypatch.setattr(store, "delete", pretend)
    assert doubtful(kms, store) == ["deletes"]
