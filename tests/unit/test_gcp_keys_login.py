"""Who asks Cloud KMS and Cloud Storage: credentials of files, the default ones, and tokens."""

import copy
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions as auth_exceptions
from google.auth import identity_pool, jwt
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from cloudcrypt.errors import KeyDenied, KeyServiceFailed, KeyServiceUnavailable, KeyUriInvalid
from cloudcrypt.waiting import Deadline
from cloudcrypt_gcp._keys_errors import Asked
from cloudcrypt_gcp._keys_login import KMS_SCOPE, STORAGE_SCOPE, Login
from cloudcrypt_gcp._keys_tokens import PunctualCredentials, _Punctual, on_time
from cloudcrypt_gcp.kms import GcpKms
from cloudcrypt_gcp.storage import GcsStore
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from cloudcrypt_testing.world.faults import Refused
from cloudcrypt_testing.world.server import Server
from tests.unit.google_keys_given import BLOB, BUCKET, ID, dek

TOKEN = "ya29.secret-token"
ASKED = Asked("gcp-kms://x", ID)
auth: Any = auth_exceptions  # has no whole types


class Tokens:
    """A token endpoint; what it answers can be changed."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.status = 200
        self.answer: dict[str, Any] = {
            "access_token": TOKEN,
            "expires_in": 3600,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        self.seconds = 0.0
        self.endpoint = ""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        self.forms.append(parse_qs(environ["wsgi.input"].read().decode()))
        time.sleep(self.seconds)
        start_response(f"{self.status} Answer", [("Content-Type", "application/json")])
        return [json.dumps(self.answer).encode()]


def _nothing(*_: object) -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def _no_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let google-auth not ask, in a thread of its own, in which regions a key may be used."""
    owner = "google.auth.credentials.CredentialsWithRegionalAccessBoundary"
    method = f"{owner}._maybe_start_regional_access_boundary_refresh"
    monkeypatch.setattr(method, _nothing, raising=False)


@pytest.fixture
def tokens() -> Iterator[Tokens]:
    tokens = Tokens()
    server = Server(tokens)
    tokens.endpoint = f"{server.endpoint}/token"
    with server.running():
        yield tokens


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def key_file(tmp_path: Path, tokens: Tokens, pem: str) -> str:
    facts = {
        "type": "service_account",
        "client_email": "node@demo-project.iam.gserviceaccount.com",
        "private_key": pem,
        "token_uri": tokens.endpoint,
    }
    return _written(tmp_path / "key.json", facts)


@pytest.fixture
def pool_file(tmp_path: Path, tokens: Tokens) -> str:
    (tmp_path / "token").write_text("token-of-the-cluster")
    return _written(tmp_path / "pool.json", _pool(tokens.endpoint, str(tmp_path / "token")))


def _pool(endpoint: str, file: str) -> dict[str, Any]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": endpoint,
        "credential_source": {"file": file},
    }


def _written(path: Path, facts: object) -> str:
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))
    return str(path)


def login(**options: Any) -> Login:
    settings: dict[str, Any] = {"endpoint": None, "credentials": None, "credentials_path": None}
    return Login("gcp-kms://", KMS_SCOPE, **{**settings, **options})


def inner(credentials: Any) -> Any:
    assert isinstance(credentials, PunctualCredentials)
    return credentials._credentials


class TestFiles:
    def test_the_key_of_a_service_account_has_the_one_scope_that_is_needed(
        self, google: FakeGoogleKeys, tokens: Tokens, key_file: str
    ) -> None:
        kms = GcpKms(google.key_name(), endpoint=google.endpoint, credentials_path=key_file)
        assert kms.unwrap(kms.wrap(dek(), ID), ID) == dek()
        store = GcsStore(BUCKET, endpoint=google.endpoint, credentials_path=key_file)
        assert store.create(ID, BLOB)
        assert store.get(ID) == BLOB
        decode: Any = jwt.decode
        scopes = [decode(form["assertion"][0], verify=False)["scope"] for form in tokens.forms]
        assert scopes == [KMS_SCOPE, STORAGE_SCOPE]

    def test_so_has_a_workload_identity_federation(
        self, google: FakeGoogleKeys, tokens: Tokens, pool_file: str
    ) -> None:
        url = f"{google.kms_url()}&credentialsPath={pool_file}"
        kms = GcpKms.from_url(url)
        assert kms.unwrap(kms.wrap(dek(), ID), ID) == dek()
        (form,) = tokens.forms
        assert (form["subject_token"], form["scope"]) == (["token-of-the-cluster"], [KMS_SCOPE])

    def test_each_kind_has_its_class(self, key_file: str, pool_file: str) -> None:
        kinds = (service_account.Credentials, identity_pool.Credentials)
        for path, kind in zip((key_file, pool_file), kinds, strict=True):
            found = login(credentials_path=path).credentials(ASKED, Deadline.after(10))
            assert isinstance(inner(found), kind)

    @pytest.mark.parametrize(
        "facts",
        [
            "",
            "secret",
            "[]",
            {},
            {"type": "service_account", "private_key": "secret"},
            {"type": "authorized_user", "client_secret": "secret", "refresh_token": "secret"},
            {"type": "external_account", "token_url": "secret"},
            {**_pool("https://sts.example/token", "f"), "credential_source": {}},
            {
                **_pool("https://sts.example/token", "f"),
                "credential_source": {"executable": {"command": "secret"}},
            },
        ],
    )
    def test_another_file_is_refused_and_not_repeated(self, tmp_path: Path, facts: object) -> None:
        with pytest.raises(KeyUriInvalid, match="credentialsPath") as caught:
            login(credentials_path=_written(tmp_path / "file", facts))
        assert "secret" not in str(caught.value)
        assert caught.value.__context__ is None

    def test_there_is_one_kind_of_credentials(self, key_file: str) -> None:
        anonymous: Any = AnonymousCredentials
        with pytest.raises(KeyUriInvalid):
            login(credentials=anonymous(), credentials_path=key_file)


class TestDefault:
    def test_nobody_in_particular_asks_a_fake(self) -> None:
        credentials = login(endpoint="http://127.0.0.1:1").credentials(ASKED, Deadline.after(10))
        assert isinstance(credentials, AnonymousCredentials)

    def test_elsewhere_they_are_looked_for_when_they_are_needed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        found = object()

        def default(scopes: Any, request: Any) -> Any:
            seen.append((scopes, callable(request)))
            return found, "demo-project"

        monkeypatch.setattr("google.auth.default", default)
        mine = login(endpoint="https://kms.example")
        assert not seen
        for _ in range(2):
            assert inner(mine.credentials(ASKED, Deadline.after(10))) is found
        assert seen == [((KMS_SCOPE,), True)]

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (auth.DefaultCredentialsError("File f is not valid", ValueError("secret")), KeyDenied),
            (auth.RefreshError("gone"), KeyDenied),
            (auth.TransportError("no metadata server"), KeyServiceUnavailable),
        ],
    )
    def test_where_there_are_none(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
    ) -> None:
        def default(scopes: Any, request: Any) -> Any:
            raise error

        monkeypatch.setattr("google.auth.default", default)
        kms = GcpKms("projects/demo/locations/l/keyRings/r/cryptoKeys/k", timeout=0.01)
        for _ in range(2):
            with pytest.raises(kind) as caught:
                kms.wrap(dek(), ID)
            assert "secret" not in str(caught.value) + repr(caught.value)
            assert caught.value.__context__ is None

    def test_credentials_of_another_universe_do_not_serve(self, google: FakeGoogleKeys) -> None:
        class Elsewhere(AnonymousCredentials):
            @property
            def universe_domain(self) -> str:
                return "elsewhere.example"

        make: Any = Elsewhere
        store = GcsStore(BUCKET, endpoint=google.endpoint, credentials=make())
        with pytest.raises(KeyServiceFailed, match="ValueError"):
            store.get(ID)
        assert not len(google.requests)

    def test_an_environment_that_the_library_refuses_does_not_serve(
        self, google: FakeGoogleKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_API_USE_MTLS_ENDPOINT", "perhaps")
        with pytest.raises(KeyDenied, match="MutualTLSChannelError"):
            GcpKms(google.key_name(), endpoint=google.endpoint).key()

    def test_no_variable_of_the_environment_leads_to_another_service(
        self, google: FakeGoogleKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", "http://127.0.0.1:1")
        assert GcsStore(BUCKET, endpoint=google.endpoint).get(ID) is None
        anonymous: Any = AnonymousCredentials
        usual = GcsStore(BUCKET, credentials=anonymous())
        bucket = usual._objects._connected(Asked("gs://x", ID), Deadline.after(10))
        assert bucket.client.api_endpoint == "https://storage.googleapis.com"


class TestTokens:
    def test_one_that_the_service_refuses_is_replaced(
        self, google: FakeGoogleKeys, tokens: Tokens, key_file: str
    ) -> None:
        kms = GcpKms(google.key_name(), endpoint=google.endpoint, credentials_path=key_file)
        google.faults.add(Refused("UNAUTHENTICATED", status=401))
        assert kms.key().version == "1"
        assert len(tokens.forms) == 2
        google.faults.add(Refused("UNAUTHENTICATED", status=401), times=None)
        with pytest.raises(KeyDenied) as caught:
            kms.key()
        assert caught.value.cloud_code == "UNAUTHENTICATED"

    def test_a_token_that_is_refused(
        self, google: FakeGoogleKeys, tokens: Tokens, key_file: str
    ) -> None:
        tokens.status, tokens.answer = 400, {"error": "invalid_grant", "error_description": "No."}
        kms = GcpKms(google.key_name(), endpoint=google.endpoint, credentials_path=key_file)
        with pytest.raises(KeyDenied, match="invalid_grant"):
            kms.key()
        assert not len(google.requests)

    @pytest.mark.parametrize("service", ["kms", "store"])
    def test_an_endpoint_that_fails_is_asked_until_the_deadline_only(
        self, google: FakeGoogleKeys, tokens: Tokens, key_file: str, service: str
    ) -> None:
        tokens.status = 503
        options: Any = {"endpoint": google.endpoint, "credentials_path": key_file, "timeout": 1.5}
        kms, store = GcpKms(google.key_name(), **options), GcsStore(BUCKET, **options)
        calls: dict[str, Callable[[], object]] = {"kms": kms.key, "store": lambda: store.get(ID)}
        begun = time.monotonic()
        with pytest.raises(KeyServiceUnavailable):
            calls[service]()
        assert time.monotonic() - begun < 6  # a pause of google-auth may be under way
        assert 1 <= len(tokens.forms) <= 2  # it would ask three times

    def test_an_endpoint_that_hangs_is_not_waited_for(
        self, google: FakeGoogleKeys, tokens: Tokens, key_file: str
    ) -> None:
        tokens.seconds = 2.0
        kms = GcpKms(
            google.key_name(), endpoint=google.endpoint, credentials_path=key_file, timeout=0.4
        )
        begun = time.monotonic()
        with pytest.raises(KeyServiceUnavailable):
            kms.key()
        assert time.monotonic() - begun < 4

    def test_no_token_is_asked_for_when_the_time_is_over(self) -> None:
        class Inner:
            universe_domain = "googleapis.com"

            def before_request(self, request: Any, *_: object) -> None:
                request("url", timeout=7)

        def send(_url: str, timeout: float) -> None:
            pytest.fail(f"asked for {timeout} s")

        with on_time(ASKED, Deadline.after(0)), pytest.raises(KeyServiceUnavailable):
            PunctualCredentials(Inner()).before_request(send, "GET", "url", {})

    def test_each_thread_has_its_own_time(self) -> None:
        seen: dict[str, Any] = {}

        class Inner:
            universe_domain = "googleapis.com"

            def refresh(self, request: Any) -> None:
                request("url", timeout=7)

        def send(_url: str, timeout: float) -> None:
            seen[threading.current_thread().name] = timeout

        credentials = PunctualCredentials(Inner())

        def ask(seconds: float) -> None:
            with on_time(ASKED, Deadline.after(seconds)):
                credentials.refresh(send)

        threads = [threading.Thread(target=ask, args=(s,), name=f"{s}") for s in (0.5, 5.0, 60.0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        copy.deepcopy(_Punctual(send))("url", timeout=7)  # as a thread of google-auth does
        credentials.refresh(send)
        assert seen["0.5"] <= 0.5 < seen["5.0"] <= 5.0
        assert (seen["60.0"], seen["MainThread"]) == (7, 7)

    def test_neither_token_nor_key_is_shown(
        self,
        google: FakeGoogleKeys,
        key_file: str,
        pem: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("google").setLevel(logging.DEBUG)
        kms = GcpKms(google.key_name(), endpoint=google.endpoint, credentials_path=key_file)
        google.deny("cloudkms.cryptoKeys.get")
        with pytest.raises(KeyDenied) as caught:
            kms.key()
        logger = logging.getLogger("google.auth.transport.requests")
        asked = {"url": "https://x", "headers": {"Authorization": f"Bearer {TOKEN}", "a": "b"}}
        logger.debug("Making request...", extra={"httpRequest": asked})
        records = "".join(repr(vars(record)) for record in caplog.records)
        shown = repr(kms) + str(caught.value) + repr(caught.value) + records
        logging.getLogger("google").setLevel(logging.NOTSET)
        assert TOKEN not in shown
        assert pem.splitlines()[3] not in shown
