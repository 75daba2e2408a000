"""Answers: a status, a JSON document or none, and the headers of long-running operations."""

from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.errors import ArmError
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.names import PROVIDER
from cloudcrypt_testing.fake_azure.records import Operation

Headers = tuple[tuple[str, str], ...]


@attrs.frozen
class Reply:
    """What is answered."""

    status: int
    document: Mapping[str, Any] | None = None
    headers: Headers = ()

    @classmethod
    def refusal(cls, error: ArmError) -> "Reply":
        """Return an error."""
        return cls(error.status, error.document, error.headers)


def accepted(
    cloud: Cloud,
    incoming: Incoming,
    operation: Operation,
    document: Mapping[str, Any] | None = None,
    *,
    status: int = 202,
) -> Reply:
    """Return that an operation has begun, and where to ask about it.

    With 200, as updates of virtual machines say it, there is no Location: the result is where the
    request went.
    """
    headers = [
        ("Azure-AsyncOperation", _url(cloud, incoming, operation)),
        ("Azure-AsyncNotification", "Enabled"),
        ("Retry-After", str(cloud.timings.retry_after)),
    ]
    if status == 202:
        headers.append(("Location", result_url(cloud, incoming, operation)))
    return Reply(status, document, tuple(headers))


def result_url(cloud: Cloud, incoming: Incoming, operation: Operation) -> str:
    """Return where the result of an operation is going to be."""
    return f"{_url(cloud, incoming, operation)}&monitor=true"


def _url(cloud: Cloud, incoming: Incoming, operation: Operation) -> str:
    place = f"subscriptions/{cloud.site.subscription}/providers/{PROVIDER}/locations"
    path = f"{place}/{operation.location}/{operation.kind}/{operation.id}"
    return f"{incoming.base}/{path}?api-version={incoming.version}"
