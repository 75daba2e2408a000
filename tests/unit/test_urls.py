"""What all URLs of key services, KMS and stores have: times, and base URLs of services."""

import pytest

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.urls import Query, check_endpoint, check_seconds, is_loopback


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 30.0), ("timeout=", 30.0), ("timeout=1.5", 1.5), ("timeout=3600", 3600)],
)
def test_a_time_is_a_number_of_seconds(text: str, seconds: float) -> None:
    query = Query("kind://", text)
    assert query.seconds("timeout", 30.0) == seconds
    query.finish()


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-1", "0", "0.0001", "3600.1", "1e9"])
def test_what_is_no_time_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyUriInvalid, match="timeout is in seconds") as caught:
        Query("kind://", f"timeout={text}").seconds("timeout", 30.0)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com:8443/base/", "https://example.com:8443/base"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("http://127.1.2.3/", "http://127.1.2.3"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_an_endpoint_is_https_or_on_loopback(url: str, checked: str) -> None:
    assert check_endpoint("kind://", url) == checked
    assert Query("kind://", f"endpoint={url}").endpoint() == checked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://127.0.0.1",
        "https://",
        "https://example.com:port",
        "https://[::1",
        "https://user@example.com",
        "https://example.com?a=b",
        "https://example.com#a",
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0",
        "http://10.0.0.1",
    ],
)
def test_what_is_no_endpoint_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(KeyUriInvalid) as caught:
        check_endpoint("kind://", url)
    assert caught.value.__context__ is None
    assert not url or url not in str(caught.value)


def test_an_endpoint_may_be_absent() -> None:
    assert Query("kind://", "").endpoint() is None


def test_seconds_of_python_are_checked_as_well() -> None:
    assert check_seconds("kind://", "timeout", 5) == 5.0
    with pytest.raises(KeyUriInvalid):
        check_seconds("kind://", "timeout", -5)


def test_only_addresses_of_this_host_are_loopback() -> None:
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("192.168.0.1")
    assert not is_loopback("local")


@pytest.mark.parametrize("text", ["a=1&a=2", "a=1&a=1", "a=1&%61=SECRET", "a=&a=1", "a=1&b=2&a="])
def test_a_parameter_that_is_given_twice_is_refused(text: str) -> None:
    with pytest.raises(KeyUriInvalid, match="each name once") as caught:
        Query("kind://", text)
    assert caught.value.__context__ is None
