"""Opening the adapter of a fake cloud in any process, which imports the SDK of that cloud only."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloudcrypt.spi import VolumeProvider
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken


class Nobody:
    """A credential of Azure that is worth nothing."""

    def get_token(self, *_scopes: str, **_options: Any) -> "AccessToken":
        from azure.core.credentials import AccessToken  # noqa: PLC0415 - as below

        return AccessToken("nobody", 2**33)


def opened(cloud: str, facts: Mapping[str, str], clock: Clock = SYSTEM_CLOCK) -> VolumeProvider:
    """Open the adapter of a cloud by what `tests.unit.clouds.Cloud.facts` says."""
    return {"aws": _aws, "gce": _gce, "azure": _azure}[cloud](facts, clock)


def _aws(facts: Mapping[str, str], clock: Clock) -> VolumeProvider:
    import boto3  # noqa: PLC0415 - what is imported here is in the memory that is measured

    from cloudcrypt_aws import AwsProvider  # noqa: PLC0415

    region = facts["region"]
    session = boto3.Session("testing", "testing", region_name=region)
    endpoint, zone = facts["endpoint"], f"{region}a"
    return AwsProvider(region, session=session, endpoint=endpoint, zone=zone, clock=clock)


def _gce(facts: Mapping[str, str], clock: Clock) -> VolumeProvider:
    from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415 - as above

    from cloudcrypt_gcp import GcpProvider  # noqa: PLC0415

    return GcpProvider(
        facts["project"],
        facts["region"],
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]  # as google-auth has it
        endpoint=facts["endpoint"],
        zone=f"{facts['region']}-a",
        clock=clock,
    )


def _azure(facts: Mapping[str, str], clock: Clock) -> VolumeProvider:
    from cloudcrypt_azure import AzureProvider  # noqa: PLC0415 - as above

    return AzureProvider(
        facts["subscription"],
        facts["group"],
        location=facts["location"],
        zone="1",
        credential=Nobody(),
        endpoint=facts["endpoint"],
        clock=clock,
    )
