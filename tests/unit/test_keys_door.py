"""From a URL to a key service, and what a URL may not be."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    DataKeyUnavailable,
    HostUnready,
    InvalidRequest,
    KeyUriInvalid,
    MasterSecretInvalid,
    UnknownKeyService,
)
from cloudcrypt.keys import (
    CachingKeyService,
    LocalKeyService,
    MasterSecret,
    get_data_key,
    key_services,
    open_key_service,
)
from cloudcrypt.keys.door import GROUP
from cloudcrypt.keyservice.client import ConstellationKeyService
from cloudcrypt.secret import Secret
from tests.unit.key_servers import (
    VECTORS,
    ZERO_ID,
    ZERO_KEY,
    master_secret_json,
    master_secret_uri,
    running,
)


def entry_points(**values: str) -> dict[str, EntryPoint]:
    return {name: EntryPoint(name, value, GROUP) for name, value in values.items()}


SERVICES = entry_points(
    constellation="cloudcrypt.keyservice.client:ConstellationKeyService",
    file="cloudcrypt.keys.local:FileKeys",
    kms="cloudcrypt.keys.local:ClusterKms",
)


def opened(url: str, *, from_argv: bool = False) -> LocalKeyService:
    service = open_key_service(url, from_argv=from_argv, services=SERVICES)
    assert isinstance(service, LocalKeyService)
    return service


# --- every path to the vectors ---


@pytest.mark.parametrize(("secret", "salt", "key_id", "expected"), VECTORS)
def test_a_uri_gives_the_vectors(secret: bytes, salt: bytes, key_id: str, expected: bytes) -> None:
    with opened(master_secret_uri(secret, salt)) as service:
        assert Secret(expected) == get_data_key(service, key_id)


@pytest.mark.parametrize("form", [master_secret_json, master_secret_uri])
@pytest.mark.parametrize(("secret", "salt", "key_id", "expected"), VECTORS)
def test_a_file_gives_the_vectors(
    tmp_path: Path, secret: bytes, salt: bytes, key_id: str, expected: bytes, form: object
) -> None:
    assert callable(form)
    file = tmp_path / "a secret"
    file.write_text(f"\n{form(secret, salt)}\n")
    for url in (f"file://{tmp_path}/a%20secret", f"file://localhost{file}"):
        with opened(url, from_argv=True) as service:
            assert Secret(expected) == get_data_key(service, key_id)


def test_a_url_of_a_server_gives_its_keys(tmp_path: Path) -> None:
    with (
        running(tmp_path) as here,
        open_key_service(here.url(), from_argv=True, services=SERVICES) as service,
    ):
        assert isinstance(service, ConstellationKeyService)
        assert Secret(ZERO_KEY) == get_data_key(service, ZERO_ID)


# --- what is known ---


def test_the_installed_schemes_are_those_of_the_entry_point_group() -> None:
    assert {"constellation", "file", "kms", "aws-kms", "vault-transit"} <= set(key_services())
    assert tuple(sorted(SERVICES)) == key_services(SERVICES, {})


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("nothing://x", "nothing"),
        ("", "(none)"),
        ("/etc/SECRET", "(none)"),
        ("SECRET", "(none)"),
        ("SECRET://x", "(none)"),
        ("file:/x/SECRET", "(none)"),
        ("storage://aws?accessKey=SECRET", "storage"),
    ],
)
def test_an_unknown_scheme_names_the_known_ones_and_nothing_else(url: str, scheme: str) -> None:
    with pytest.raises(UnknownKeyService) as refusal:
        open_key_service(url, services=SERVICES)
    assert (scheme, key_services(SERVICES)) == (refusal.value.scheme, refusal.value.known)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize(
    ("scheme", "extra"),
    [
        ("aws-kms", "aws"),
        ("gcp-kms", "gcp-keys"),
        ("azure-keyvault", "azure-keys"),
        ("vault-transit", "vault"),
        ("constellation", "keyservice"),
    ],
)
def test_an_adapter_that_is_missing_names_the_extra(scheme: str, extra: str) -> None:
    with pytest.raises(UnknownKeyService) as refusal:
        open_key_service(f"{scheme}://key?store=x", services={}, kms={})
    assert f'"cloudcrypt[{extra}]"' in refusal.value.remedy


def test_a_package_that_an_adapter_lacks_names_the_extra() -> None:
    services = entry_points(**{"aws-kms": "no_such_package:Keys", "other": "no_such_package:Keys"})
    for scheme, extra in (("aws-kms", "aws"), ("other", "other")):
        with pytest.raises(HostUnready) as refusal:
            open_key_service(f"{scheme}://x", services=services)
        assert f'pip install "cloudcrypt[{extra}]"' == refusal.value.remedy


# --- secrets ---


@pytest.mark.parametrize(
    "url", [master_secret_uri(), "kms://SECRET", "constellation://SECRET@host?plaintext=1"]
)
def test_a_command_line_holds_no_secrets(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        open_key_service(url, from_argv=True, services=SERVICES)
    assert "file://FILE" in str(refusal.value)
    for part in ("SECRET", "AAAA"):
        assert part not in f"{refusal.value}{refusal.value.value}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///x?key=SECRET", KeyUriInvalid),
        ("file://SECRET/x", KeyUriInvalid),
        ("file://x", KeyUriInvalid),
        ("file://", KeyUriInvalid),
        ("file://[/SECRET", KeyUriInvalid),
        ("file:///%ff", KeyUriInvalid),
        ("file:///no/such/file", MasterSecretInvalid),
        ("file:///a%00b", MasterSecretInvalid),
        ("kms://cluster-kms?key=SECRET", MasterSecretInvalid),
        ("kms://cluster-kms?key=SECRET\n", KeyUriInvalid),
        ("constellation://host?plaintext=1&SECRET", KeyUriInvalid),
    ],
)
def test_a_malformed_url_is_refused_and_not_repeated(
    url: str, expected: type[CloudcryptError]
) -> None:
    with pytest.raises(expected) as refusal:
        open_key_service(url, services=SERVICES)
    assert "SECRET" not in str(refusal.value)


@pytest.mark.parametrize("content", ["", "SECRET", "{}", "file:///other", "nothing://SECRET"])
def test_a_file_without_a_key_service_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises((MasterSecretInvalid, KeyUriInvalid, UnknownKeyService)) as refusal:
        opened(f"file://{file}")
    assert "SECRET" not in str(refusal.value)


def test_a_file_may_hold_the_url_of_another_key_service(tmp_path: Path) -> None:
    with running(tmp_path, secure=False) as here:
        (tmp_path / "url").write_text(here.url())
        with open_key_service(f"file://{tmp_path}/url", from_argv=True) as service:
            assert Secret(ZERO_KEY) == get_data_key(service, ZERO_ID)


# --- the cache ---


def test_nothing_is_cached_unless_the_url_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(master_secret_json())
    url = f"file://{tmp_path}/file"
    with open_key_service(url, services=SERVICES) as plain:
        assert isinstance(plain, LocalKeyService)
    with open_key_service(f"{url}?cache=60", services=SERVICES) as cached:
        assert isinstance(cached, CachingKeyService)
        assert Secret(ZERO_KEY) == get_data_key(cached, ZERO_ID)
        assert len(cached) == 1
    with pytest.raises(DataKeyUnavailable, match="closed"):
        cached.get_data_key(ZERO_ID, 32)


def test_the_rest_of_a_url_is_left_as_it_was() -> None:
    url = f"{master_secret_uri(bytes([251] * 32))}&cache=0.5&cache-entries=1"
    with open_key_service(url, services=SERVICES) as cached:
        assert isinstance(cached, CachingKeyService)
        for key_id in ("a", "b"):
            expected = MasterSecret.from_bytes(bytes([251] * 32), bytes(32)).data_key(key_id, 32)
            assert expected == cached.get_data_key(key_id, 32)
        assert len(cached) == 1


@pytest.mark.parametrize(
    "cache",
    [
        "cache=",
        "cache=0",
        "cache=-1",
        "cache=x",
        "cache=nan",
        "cache=1e9",
        "cache",
        "cache=1&cache=2",
        "cache-entries=5",
        "cache=1&cache-entries=0",
        "cache=1&cache-entries=1.5",
        "cache=1&cache-entries=x",
    ],
)
def test_a_cache_without_bounds_is_refused(cache: str) -> None:
    with pytest.raises((KeyUriInvalid, InvalidRequest)) as refusal:
        open_key_service(f"{master_secret_uri()}&{cache}", services=SERVICES)
    assert "AAAA" not in str(refusal.value)


# --- the end ---


def test_a_closed_service_gives_no_keys_and_has_no_secret() -> None:
    secret = MasterSecret.from_bytes(b"k" * 32, b"s" * 32)
    view = secret.key.reveal()
    service = LocalKeyService(secret)
    with service:
        key = service.get_data_key("id", 32)
    service.close()
    with pytest.raises(DataKeyUnavailable, match="closed"):
        service.get_data_key("id", 32)
    assert (bytes(32), 32) == (bytes(view), len(key))
    assert "s" * 32 not in repr(service)


def test_an_adapter_of_a_third_party_is_opened_alike() -> None:
    class Entry:
        """Stands for an entry point: what it loads is given."""

        @staticmethod
        def load() -> type[LocalAdapter]:
            return LocalAdapter

    services: Mapping[str, EntryPoint] = {"ours": Entry()}  # type: ignore[dict-item]
    with open_key_service("ours://anything?x=1", services=services) as service:
        assert len(service.get_data_key("id", 32)) == 32
    assert LocalAdapter.urls == ["ours://anything?x=1"]


class LocalAdapter:
    """What a third party would register."""

    urls: list[str] = []  # noqa: RUF012  # one test looks at it

    @classmethod
    def from_url(cls, url: str) -> LocalKeyService:
        cls.urls.append(url)
        return LocalKeyService(MasterSecret.from_bytes(bytes(32), bytes(32)))
