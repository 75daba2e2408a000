"""A request to AWS as it arrives, and how its service would refuse it."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt_testing.fake_aws import s3
from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.xml import refusal
from cloudcrypt_testing.world.faults import Call

_FORM = "application/x-www-form-urlencoded"


@attrs.frozen
class Incoming:
    """A request as it arrives, for whichever service."""

    service: str
    """As in the signature; empty if there is none."""
    region: str
    query: Query
    """Without parameters if it is not a form."""
    target: str
    """The action of services that speak JSON, or empty."""
    call: Call
    """What rules and hooks look at."""
    body: bytes

    @classmethod
    def of(cls, environ: Mapping[str, Any], body: bytes) -> "Incoming":
        """Look at a WSGI environment and the body that came with it."""
        region, service = _scope(environ.get("HTTP_AUTHORIZATION", ""))
        form = body if environ.get("CONTENT_TYPE", "").startswith(_FORM) else b""
        if environ["REQUEST_METHOD"] == "GET":  # the Query API takes both; boto3 sends forms
            form = environ.get("QUERY_STRING", "").encode()
        query = Query.parse(form)
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if service == "s3":
            return cls(service, region, query, target, s3.call(environ), body)
        action = query.action or target or environ["REQUEST_METHOD"]
        return cls(service, region, query, target, Call(service, action, query.parameters), body)

    def refusal(self, error: EC2Error) -> bytes:
        """Return an error in the way that the service would write it."""
        if self.service == "s3":
            return s3.refusal(error)
        if self.target:
            return json.dumps({"__type": error.code, "message": error.message}).encode()
        return refusal(error)


def _scope(authorization: str) -> tuple[str, str]:
    """Return region and service that a request was signed for."""
    parts = authorization.partition("Credential=")[2].partition(",")[0].split("/")
    return (parts[2], parts[3]) if len(parts) == 5 else ("", "")
