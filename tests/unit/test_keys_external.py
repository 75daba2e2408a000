"""From URLs to a KMS and a store: by scheme, Constellation's URIs included, and what is refused."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    HostUnready,
    InvalidRequest,
    KeyServiceFailed,
    KeyUriInvalid,
    UnknownKeyService,
)
from cloudcrypt.keys import (
    CachingKeyService,
    EnvelopeKeyService,
    LocalKeyService,
    get_data_key,
    open_key_service,
    open_key_store,
    open_kms,
)
from cloudcrypt.keys.external import EXTRAS
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt_testing.fake_kms import ENTRY_POINT, FakeKms
from tests.unit.key_servers import master_secret_uri

AWS_SECRET = "SEC/RET+1"  # the forms that Constellation writes: "+" and "/" as they are
AZURE = "tenantID=t&clientID=c&clientSecret=SEC~RET"


class Recorder:
    """Stands for an adapter: remembers the URLs that it was asked to open."""

    secret_parameters: ClassVar[frozenset[str]] = frozenset({"accessKey", "clientSecret"})
    urls: ClassVar[list[str]] = []
    closed: ClassVar[list[str]] = []

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    def from_url(cls, url: str) -> "Recorder":
        cls.urls.append(url)
        if "fail" in url:
            raise KeyUriInvalid("fail://", "as the test wants it")
        return cls(url)

    def close(self) -> None:
        self.closed.append(self.url)


class Entry:
    """Stands for an entry point of `Recorder`."""

    @staticmethod
    def load() -> type[Recorder]:
        return Recorder


KMS: dict[str, Any] = {name: Entry() for name in ("aws-kms", "azure-keyvault", "gcp-kms")}
STORES: dict[str, Any] = {name: Entry() for name in ("s3", "azblob", "gs", "fail")}


@pytest.fixture(autouse=True)
def nothing_recorded() -> None:
    Recorder.urls.clear()
    Recorder.closed.clear()


def opened(url: str, *, store: str | None = None, from_argv: bool = False) -> list[str]:
    """Return the URLs that adapters get for one of a key service."""
    service = open_key_service(url, store=store, from_argv=from_argv, kms=KMS, stores=STORES)
    service.close()
    return list(Recorder.urls)


# --- a KMS and a store ---


@pytest.mark.parametrize("escaped", [True, False])
def test_a_url_names_a_kms_and_a_store(tmp_path: Path, *, escaped: bool) -> None:
    store = f"sqlite://{tmp_path}/keys.db"
    given = quote(store, safe="") if escaped else store
    url = f"fake-kms://one?store={given}&root=text"
    with open_key_service(url, kms={"fake-kms": ENTRY_POINT}) as service:
        assert isinstance(service, EnvelopeKeyService)
        assert isinstance(service.kms, FakeKms)
        assert isinstance(service.store, SqliteStore)
        key = get_data_key(service, "id")
    with open_key_service(f"{url}&cache=60", kms={"fake-kms": ENTRY_POINT}) as service:
        assert isinstance(service, CachingKeyService)
        assert key == get_data_key(service, "id", existing=True)


def test_the_store_may_be_given_beside_the_url() -> None:
    urls = ["aws-kms://k?region=r", "s3://b/p?region=r&owner=o"]
    assert urls == opened(urls[0], store=urls[1])
    Recorder.urls.clear()
    assert urls == opened(f"{urls[0]}&store={quote(urls[1])}")
    Recorder.urls.clear()
    assert ["aws-kms://k", "s3://b?region=r"] == opened("aws-kms://k?store=s3://b?region=r")


def test_the_time_for_a_key_is_that_of_the_kms() -> None:
    for url, expected in (("aws-kms://k", 30.0), ("aws-kms://k?timeout=2.5", 2.5)):
        service = open_key_service(url, store="s3://b", kms=KMS, stores=STORES)
        assert isinstance(service, EnvelopeKeyService)
        assert expected == service._timeout


@pytest.mark.parametrize(
    ("url", "store", "reason"),
    [
        ("aws-kms://k", None, "store is missing"),
        ("aws-kms://k?store=", None, "store is missing"),
        ("aws-kms://k?store=s3://b", "s3://b", "store is given twice"),
        ("aws-kms://k?store=s3://b&store=s3://b", None, "store is given twice"),
        ("aws-kms://k", "storage://no-store", "are lost unless they are stored"),
        ("kms://aws?region=r&keyName=k", "storage://no-store", "are lost unless they are stored"),
        ("kms://aws?region=r&keyName=k", None, "store is missing"),
        ("kms://aws?region=r", "s3://b", "keyName is missing"),
        ("kms://aws?region=r&keyName=SECRET%3Fx%3D1", "s3://b", "names have no spaces"),
        ("aws-kms://k\n", "s3://b", "printable"),
        ("aws-kms://k", "s3://b\n", "printable"),
        ("aws-kms://SECRET@k", "s3://b", "no user and password"),
        ("aws-kms://k", "s3://SECRET@b", "no user and password"),
        (master_secret_uri(), "s3://b", "takes no store"),
    ],
)
def test_what_names_no_kms_and_store_is_refused(url: str, store: str | None, reason: str) -> None:
    with pytest.raises(KeyUriInvalid, match=reason) as refusal:
        opened(url, store=store)
    assert "SECRET" not in str(refusal.value)


def test_derived_keys_are_kept_in_no_store() -> None:
    with open_key_service(master_secret_uri(), store="storage://no-store") as service:
        assert isinstance(service, LocalKeyService)


def test_a_store_that_does_not_open_leaves_no_kms_open() -> None:
    with pytest.raises(KeyUriInvalid):
        opened("aws-kms://k", store="fail://b")
    assert ["aws-kms://k"] == Recorder.closed


def test_a_file_may_hold_a_url_with_secrets(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"fake-kms://one?root=x&store=sqlite://{tmp_path}/keys.db")
    with pytest.raises(UnknownKeyService) as refusal:  # no such scheme among the installed ones
        open_key_service(f"file://{tmp_path}/url", from_argv=True)
    assert refusal.value.scheme == "fake-kms"


# --- Constellation's URIs ---


@pytest.mark.parametrize(
    ("uri", "store", "urls"),
    [
        (
            f"kms://aws?region=r&accessKeyID=id&accessKey={AWS_SECRET}&keyName=alias/k",
            f"storage://aws?bucket=b&region=q&accessKeyID=id&accessKey={AWS_SECRET}",
            [
                "aws-kms://alias/k?region=r&accessKeyID=id&accessKey=SEC%2FRET%2B1",
                "s3://b?region=q&accessKeyID=id&accessKey=SEC%2FRET%2B1",
            ],
        ),
        (
            "kms://aws?region=r&keyName=arn:aws:kms:r:1:key/k",
            "storage://aws?bucket=b&region=q",
            ["aws-kms://arn:aws:kms:r:1:key/k?region=r", "s3://b?region=q"],
        ),
        (
            f"kms://azure?{AZURE}&vaultName=v&vaultType=managedhsm.azure.net&keyName=k",
            f"storage://azure?account=a&container=c&{AZURE}",
            [
                f"azure-keyvault://v.managedhsm.azure.net/k?{AZURE}",
                f"azblob://a/c?{AZURE}",
            ],
        ),
        (
            "kms://gcp?projectID=p&location=l&keyRing=r&credentialsPath=/a/b&keyName=k",
            "storage://gcp?projectID=p&bucket=b&credentialsPath=/a/b",
            [
                "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k?credentialsPath=%2Fa%2Fb",
                "gs://b?project=p&credentialsPath=%2Fa%2Fb",
            ],
        ),
        (
            "kms://gcp?projectID=p&location=l&keyRing=r&keyName=k",
            "azblob://a/c",  # every KMS goes with every store
            ["gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "azblob://a/c"],
        ),
    ],
)
def test_constellations_uris_become_urls_of_adapters(uri: str, store: str, urls: list[str]) -> None:
    assert urls == opened(uri, store=store)
    Recorder.urls.clear()
    assert urls == opened(f"{uri}&store={quote(store, safe='')}")


# --- what is missing ---


@pytest.mark.parametrize(("scheme", "extra"), sorted(EXTRAS.items()))
def test_an_adapter_that_is_missing_names_the_extra(scheme: str, extra: str) -> None:
    with pytest.raises(UnknownKeyService) as refusal:
        open_key_store(f"{scheme}://x", adapters={})
    assert f'"cloudcrypt[{extra}]"' in refusal.value.remedy


def test_a_package_that_an_adapter_lacks_names_the_extra() -> None:
    lacking = {"gs": EntryPoint("gs", "no_such_package:Store", "cloudcrypt.key_stores")}
    with pytest.raises(HostUnready) as refusal:
        open_key_store("gs://b", adapters=lacking)
    assert 'pip install "cloudcrypt[gcp-keys]"' == refusal.value.remedy


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(UnknownKeyService) as refusal:
        open_kms("other://SECRET", adapters=KMS)
    assert ("other", tuple(sorted(KMS))) == (refusal.value.scheme, refusal.value.known)
    with pytest.raises(UnknownKeyService):
        open_kms("SECRET")


# --- the command line ---


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("aws-kms://k?accessKeyID=i&accessKey=SECRET", "s3://b"),
        ("aws-kms://k?access%4bey=SECRET", "s3://b"),
        ("aws-kms://k", "s3://b?accessKeyID=i&accessKey=SECRET"),
        (f"aws-kms://k?store={quote('s3://b?accessKey=SECRET', safe='')}", None),
        ("kms://aws?region=r&keyName=k&accessKeyID=i&accessKey=SECRET", "s3://b"),
        (
            "aws-kms://k",
            "storage://azure?account=a&container=c&tenantID=t&clientID=c&clientSecret=SECRET",
        ),
    ],
)
def test_a_command_line_holds_no_secrets(url: str, store: str | None) -> None:
    with pytest.raises(InvalidRequest, match="file://FILE") as refusal:
        opened(url, store=store, from_argv=True)
    assert "SECRET" not in f"{refusal.value}{refusal.value.value}"
    assert opened(url, store=store)


def test_a_command_line_may_name_a_kms_without_secrets() -> None:
    uri = "kms://aws?region=r&keyName=k"
    assert opened("aws-kms://k?region=r", store="s3://b", from_argv=True)
    assert opened(uri, store="storage://aws?bucket=b&region=r", from_argv=True)


# --- stores ---


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite://relative/SECRET",
        "sqlite:///folder/SECRET/",
        "sqlite:///x?SECRET=1",
        "sqlite:///x?timeout=SECRET",
        "sqlite:///x?timeout=0",
        "sqlite:///%ff",
        "sqlite:///a%00b",
    ],
)
def test_a_url_of_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(KeyUriInvalid) as refusal:
        open_key_store(url)
    assert "SECRET" not in str(refusal.value)


def test_a_sqlite_file_is_made_for_this_user_alone(tmp_path: Path) -> None:
    store = open_key_store(f"sqlite://{tmp_path}/a%20folder/keys.db?timeout=5", from_argv=True)
    assert store.create("id", b"blob")
    file = tmp_path / "a folder" / "keys.db"
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)
    store.close()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(json.dumps({"some": "thing"}) * 100)
    with pytest.raises(KeyServiceFailed, match="not a database"):
        open_key_store(f"sqlite://{tmp_path}/other")


def test_what_is_open_after_it_was_closed_is_an_error(tmp_path: Path) -> None:
    store = open_key_store(f"sqlite://{tmp_path}/keys.db")
    store.close()
    with pytest.raises(CloudcryptError):
        store.get("id")
