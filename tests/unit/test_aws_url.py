"""The URL of an AWS provider, the ids it gives out, and what a handle refers to."""

import pytest

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId, NotFound
from cloudcrypt.registry import open_provider, providers
from cloudcrypt.spi import DeleteVolume, Handle
from cloudcrypt_aws import AwsProvider
from cloudcrypt_aws._ids import Reference, ebs_snapshot, ebs_volume
from cloudcrypt_testing.fake_aws import FakeAws
from tests.unit.aws_given import GONE, REGION, opened

ALL = "aws://eu-central-1?zone=eu-central-1a&owner=team%20a&endpoint=http%3A%2F%2F127.0.0.1%3A5000"


@pytest.mark.parametrize("url", ["aws://eu-central-1", "aws://us-gov-west-1?zone=usgw1-az1", ALL])
def test_the_url_of_a_provider_opens_an_equal_one(url: str) -> None:
    provider = AwsProvider.from_url(url)
    assert provider.url == url
    assert AwsProvider.from_url(provider.url).url == url


def test_defaults_are_left_out_of_the_url() -> None:
    assert AwsProvider.from_url("aws://eu-central-1/?owner=cloudcrypt").url == "aws://eu-central-1"


def test_a_url_without_region_takes_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert AwsProvider.from_url("aws://").url == "aws://eu-west-3"


def test_without_any_region_the_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(InvalidRequest) as caught:
        AwsProvider.from_url("aws://")
    assert caught.value.parameter == "region"


@pytest.mark.parametrize(
    "url",
    [
        "local:///tmp",
        "aws://eu-central-1/path",
        "aws://eu-central-1#fragment",
        "aws://EU CENTRAL",
        "aws://eu-central-1?zone=",
        "aws://eu-central-1?zone=a&zone=b",
        "aws://eu-central-1?color=red",
        "aws://eu-central-1?zone",
        "aws://eu-central-1?zone=in%20valid",
        "aws://eu-central-1?endpoint=ftp%3A%2F%2Fhost",
        "aws://eu-central-1?endpoint=http%3A%2F%2F",
        "aws://eu-central-1?endpoint=http%3A%2F%2Fhost%3Anumber",
        "aws://[eu-central-1",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        AwsProvider.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "aws://AKIA:hunter2@eu-central-1",
        "aws://eu-central-1?endpoint=http%3A%2F%2Fuser%3Ahunter2%40host",
        "aws://eu-central-1?endpoint=http%3A%2F%2Fhost%2F%3Ftoken%3Dhunter2",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AwsProvider.from_url(url)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(InvalidRequest) as caught:
        AwsProvider.from_url("aws://eu-central-1?profile=nobody")
    assert caught.value.parameter == "profile"


def test_a_profile_of_the_environment_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidRequest, match="nobody"):
        AwsProvider("eu-central-1")


def test_a_profile_is_kept_in_the_url(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text("[profile team]\nregion = eu-west-1\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(config))
        provider = AwsProvider.from_url("aws://?profile=team")
    assert provider.url == "aws://eu-west-1?profile=team"


def test_a_session_and_a_profile_exclude_each_other(fake_aws: FakeAws) -> None:
    with pytest.raises(InvalidRequest) as caught:
        opened(fake_aws, profile="team")
    assert caught.value.parameter == "profile"


@pytest.mark.parametrize("owner", ["", "a" * 257, "two\nlines"])
def test_an_owner_that_cannot_be_a_tag_is_refused(owner: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AwsProvider("eu-central-1", owner=owner)
    assert caught.value.parameter == "owner"


def test_the_scheme_is_registered() -> None:
    assert "aws" in providers()
    assert open_provider("aws://eu-central-1").url == "aws://eu-central-1"


@pytest.mark.parametrize(
    "volume_id",
    ["vol-0123456789abcdef0", "local:1/vol-0123456789abcdef0", f"{GONE}0", GONE.upper(), "x"],
)
def test_an_id_of_another_form_is_no_volume_id(volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        ebs_volume(REGION, volume_id)


def test_an_id_of_another_region_or_kind_is_not_found() -> None:
    with pytest.raises(NotFound):
        ebs_volume("eu-west-1", GONE)
    with pytest.raises(NotFound):
        ebs_snapshot(REGION, GONE)
    with pytest.raises(NotFound):
        ebs_volume(REGION, GONE.replace("vol-", "snap-"))


def test_an_old_short_id_is_one() -> None:
    assert ebs_volume(REGION, f"aws:{REGION}/vol-0123abcd") == "vol-0123abcd"


def test_a_reference_survives_as_text() -> None:
    for reference in (Reference("vol-0123abcd"), Reference("snap-0123abcd", 1893456000.25)):
        assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize("text", ["", "vol-1", "vol-0123abcd@", "vol-0123abcd@now", "i-0123abcd"])
def test_a_reference_of_another_form_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        Reference.parse(text)


def test_a_handle_of_another_volume_is_not_found(fake_aws: FakeAws) -> None:
    with pytest.raises(NotFound):
        opened(fake_aws).resume(Handle(DeleteVolume("token", GONE), "vol-0123abcd"))
