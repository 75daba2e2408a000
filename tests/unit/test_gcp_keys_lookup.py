"""Looking for default credentials: it ends with the call, and stops neither threads nor forks."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request

from cloudcrypt.errors import KeyDenied, KeyServiceUnavailable
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._keys_errors import Asked
from cloudcrypt_gcp._keys_locks import ProcessLock
from cloudcrypt_gcp._keys_login import KMS_SCOPE, Login
from cloudcrypt_gcp._keys_tokens import _Punctual, punctual_request
from cloudcrypt_gcp.kms import GcpKms
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from tests.unit.google_keys_given import ID, finished, forked, kms_of, store_of

ASKED = Asked("gcp-kms://x", ID)
auth: Any = auth_exceptions  # has no whole types


@pytest.fixture
def silent() -> Iterator[str]:
    """Where somebody listens and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _login() -> Login:
    return Login("gcp-kms://", KMS_SCOPE, endpoint=None, credentials=None, credentials_path=None)


@pytest.mark.parametrize("service", ["kms", "store"])
def test_a_metadata_server_that_hangs_is_not_waited_for_beyond_the_deadline(
    silent: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(scopes: Any, request: Any) -> Any:
        for _ in range(8):  # google-auth has nine attempts at different things
            try:
                request(f"{silent}/computeMetadata/v1/project", timeout=3)
            except auth.TransportError:
                continue
        pytest.fail("asked to the end")

    monkeypatch.setattr("google.auth.default", default)
    kms = GcpKms("projects/demo/locations/l/keyRings/r/cryptoKeys/k", timeout=0.4)
    store = GcsStore("wrapped-keys", timeout=0.4)
    calls: dict[str, Callable[[], object]] = {"kms": kms.key, "store": lambda: store.get(ID)}
    begun = time.monotonic()
    with pytest.raises(KeyServiceUnavailable):
        calls[service]()
    assert time.monotonic() - begun < 2.5


def test_a_thread_waits_for_another_one_that_looks_no_longer_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_looking, may_end = threading.Event(), threading.Event()
    make: Any = AnonymousCredentials

    def default(scopes: Any, request: Any) -> Any:
        is_looking.set()
        assert may_end.wait(30)
        return make(), None

    monkeypatch.setattr("google.auth.default", default)
    login = _login()
    other = threading.Thread(target=login.credentials, args=(ASKED, Deadline.after(30)))
    other.start()
    assert is_looking.wait(10)
    begun = time.monotonic()
    with pytest.raises(KeyServiceUnavailable, match="another thread"):
        login.credentials(ASKED, Deadline.after(0.3))
    assert time.monotonic() - begun < 2.5
    may_end.set()
    other.join()
    assert login.credentials(ASKED, Deadline.after(10)) is not None


def test_a_process_that_forks_while_another_thread_holds_the_locks_leaves_none_held() -> None:
    with FakeGoogleKeys() as google:
        kms, store = kms_of(google), store_of(google)
        locks = (kms._lock, kms._login._lock, store._objects._lock, store._objects._login._lock)

        def ask() -> bytes:
            return f"{kms.key().version} {store.get(ID)!r}".encode()

        for lock in locks:
            assert lock.mine().acquire(timeout=1)
        child = forked(ask)
        for lock in locks:
            lock.mine().release()
        assert finished(*child) == b"1 None"
        assert ask() == b"1 None"


def test_a_lock_is_one_for_all_threads_of_a_process() -> None:
    lock = ProcessLock()
    assert lock.mine() is lock.mine()


def test_the_session_can_be_given_certificates_of_the_metadata_server() -> None:
    make: Any = Request
    request: Any = make()
    assert _Punctual(request).session is request.session
    known: Any = punctual_request()
    assert known.session is not None
    assert not hasattr(_Punctual(lambda: None), "session")


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [
        ("GOOGLE_APPLICATION_CREDENTIALS", None, "IsADirectoryError"),
        ("GCE_METADATA_MTLS_MODE", "perhaps", "ValueError"),
    ],
)
def test_an_environment_that_cannot_be_read_is_an_error_of_ours(
    tmp_path: Path, variable: str, value: str | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
    monkeypatch.setenv(variable, str(tmp_path) if value is None else value)
    with pytest.raises(KeyDenied, match=kind) as caught:
        _login().credentials(ASKED, Deadline.after(10))
    assert caught.value.__context__ is None
