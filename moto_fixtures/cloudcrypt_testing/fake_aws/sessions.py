"""Sessions of boto3 that need no configuration, and load the service descriptions only once."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

import boto3
import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.loaders import Loader

_WORTHLESS: Final = "testing"
_ONCE: Final = Config(
    retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=50
)


@cache
def _loader() -> Loader:
    core = botocore.session.Session()
    loader = core.get_component("data_loader")
    assert isinstance(loader, Loader)
    return loader


def session(region: str) -> boto3.Session:
    """Return a session for ``region`` with credentials that are worth nothing."""
    core = botocore.session.Session()
    core.register_component("data_loader", _loader())
    return boto3.Session(
        aws_access_key_id=_WORTHLESS,
        aws_secret_access_key=_WORTHLESS,
        region_name=region,
        botocore_session=core,
    )


def client(of: boto3.Session, service: str, endpoint: str) -> BaseClient:
    """Return a client of ``service`` that tries nothing twice."""
    create: Callable[..., BaseClient] = cast("Any", of).client  # typed for literals only
    return create(service, endpoint_url=endpoint, config=_ONCE)
