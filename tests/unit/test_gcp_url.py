"""The URL of a GCE provider: what it says, and what it must not hold."""

import pytest

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.registry import open_provider
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_gcp._url import Place, is_zone_of
from cloudcrypt_testing.fake_gce import FakeGce
from tests.unit.gcp_given import PROJECT, REGION, ZONE, opened


def test_a_url_names_project_region_zone_owner_and_endpoint() -> None:
    url = f"gcp://{PROJECT}/{REGION}?zone={ZONE}&owner=team%20a&endpoint=https%3A%2F%2Fpsc.example"
    place = Place.parse(url)
    assert place == Place(PROJECT, REGION, ZONE, "team a", "https://psc.example")
    assert Place.parse(str(place)) == place


def test_what_is_the_default_is_not_in_the_url() -> None:
    assert str(Place.parse(f"gcp://{PROJECT}/{REGION}")) == f"gcp://{PROJECT}/{REGION}"


def test_a_project_that_is_not_named_is_none() -> None:
    assert Place.parse(f"gcp:///{REGION}").project is None


def test_a_project_may_belong_to_a_domain() -> None:
    assert Place.parse(f"gcp://example.com:old/{REGION}").project == "example.com:old"


@pytest.mark.parametrize(
    "url",
    [
        "gce://demo-project/europe-west3",
        "gcp://demo-project",
        "gcp://demo-project/",
        "gcp://demo-project/europe-west3#part",
        "gcp://123456789012/europe-west3",
        "gcp://Demo/europe-west3",
        "gcp://demo-project/Europe",
        "gcp://demo-project/europe-west3/more",
        "gcp://demo-project/europe-west3?zone=",
        "gcp://demo-project/europe-west3?zone",
        "gcp://demo-project/europe-west3?region=x",
        "gcp://demo-project/europe-west3?owner=a&owner=b",
        "gcp://demo-project/europe-west3?zone=us-central1-a",
        "gcp://demo-project/europe-west3?zone=europe-west3-",
        "gcp://demo-project/europe-west3?zone=europe-west3",
        "gcp://[/europe-west3",
    ],
)
def test_what_is_no_such_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Place.parse(url)


@pytest.mark.parametrize(
    "url", ["gcp://user:secret@demo-project/europe-west3", "gcp://key@demo-project/europe-west3"]
)
def test_credentials_in_the_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Place.parse(url)
    assert "secret" not in str(caught.value)
    assert "key@" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://compute.example",
        "http://10.0.0.1:8080",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "https://",
        "https://user:secret@example",
        "https://example?secret=1",
        "https://example#secret",
        "https://[",
        "https://example:port",
    ],
)
def test_an_endpoint_that_could_see_the_access_token_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Place(PROJECT, REGION, endpoint=endpoint)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://example"]
)
def test_an_endpoint_is_encrypted_or_on_this_host(endpoint: str) -> None:
    assert Place(PROJECT, REGION, endpoint=endpoint).endpoint == endpoint


def test_a_zone_is_of_the_region_whose_name_it_begins_with() -> None:
    assert is_zone_of("europe-west1", "europe-west1-b")
    assert is_zone_of("us-central1", "us-central1-ai1a")
    assert not is_zone_of("europe-west1", "europe-west12-b")
    assert not is_zone_of("europe", "europe-west1-b")
    assert not is_zone_of("europe-west1", "europe-west1")


def test_the_provider_is_opened_by_its_url() -> None:
    provider = open_provider(f"gcp://{PROJECT}/{REGION}?zone={ZONE}&owner=team")
    assert isinstance(provider, GcpProvider)
    assert provider.url == f"gcp://{PROJECT}/{REGION}?zone={ZONE}&owner=team"
    provider.close()


def test_urls_that_differ_in_the_zone_lead_to_one_namespace(fake_gce: FakeGce) -> None:
    one, two = opened(fake_gce), opened(fake_gce, zone=None)
    assert one.url != two.url
    assert one.namespace == two.namespace
    assert opened(fake_gce, owner="team").namespace != one.namespace


def test_an_owner_that_cannot_be_is_refused(fake_gce: FakeGce) -> None:
    for owner in ("", "a\n", "x" * 201):
        with pytest.raises(InvalidRequest):
            opened(fake_gce, owner=owner)
