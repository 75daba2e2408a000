"""What the URLs of AWS KMS and of S3 have in common: region, endpoint, timeout and credentials."""

import re
from typing import Final, Self

import attrs

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.kms import TIMEOUT
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query, check_endpoint, check_seconds

SECRET_PARAMETERS: Final = frozenset({"accessKey"})
"""The parameters whose values are secrets."""

_REGION: Final = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


@attrs.frozen
class Access:
    """How a service of AWS is reached, and as whom.

    ``region`` is None where the session or the environment is to name it, ``endpoint`` None for the
    usual one. ``timeout`` is seconds of a call. Without an ``access_key`` the credentials are those
    of boto3's usual chain, the identity of the workload among them.
    """

    kind: str
    region: str | None = None
    endpoint: str | None = None
    timeout: float = TIMEOUT
    access_key_id: str | None = None
    access_key: Secret | None = None

    def __attrs_post_init__(self) -> None:
        """Check all parts.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        check_region(self.kind, self.region)
        check_seconds(self.kind, "timeout", self.timeout)
        if self.endpoint is not None:
            check_endpoint(self.kind, self.endpoint)
        if (self.access_key_id is None) != (self.access_key is None):
            raise KeyUriInvalid(self.kind, "accessKeyID and accessKey are given together, or none")

    @classmethod
    def take(cls, query: Query) -> Self:
        """Take ``region``, ``endpoint``, ``timeout``, ``accessKeyID`` and ``accessKey``.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        keys = query.together("accessKeyID", "accessKey")
        # Secret access keys have "+" and no spaces; whoever did not escape it meant "+".
        secret = None if keys is None else Secret(keys[1].replace(" ", "+").encode())
        return cls(
            query.kind,
            query.get("region"),
            query.endpoint(),
            query.seconds("timeout", TIMEOUT),
            None if keys is None else keys[0],
            secret,
        )


def check_region(kind: str, region: str | None) -> None:
    """Return if ``region`` can be one, or is None.

    Raises:
        KeyUriInvalid: it cannot.
    """
    if region is not None and _REGION.fullmatch(region) is None:
        raise KeyUriInvalid(kind, "region is one of AWS, such as eu-central-1")
