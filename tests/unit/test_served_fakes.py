"""What is true of each fake service on loopback: it serves, and who is forked does not stop it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.world.served import Served

FAKES: dict[str, Callable[[Path], Served[Any]]] = {
    "aws": FakeAws,
    "azure": FakeAzure,
    "azure keys": lambda _: FakeAzureKeys(),
    "gce": FakeGce,
    "google keys": lambda _: FakeGoogleKeys(),
    "vault": lambda _: FakeVault(),
}


def listens(fake: Served[Any]) -> bool:
    address = urlsplit(fake.endpoint)
    assert address.hostname == "127.0.0.1"
    try:
        socket.create_connection(("127.0.0.1", address.port or 0), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("name", FAKES)
def test_it_serves_within_its_block_only(name: str, tmp_path: Path) -> None:
    with FAKES[name](tmp_path) as fake:
        assert listens(fake)
        assert len(fake.requests) == 0
        assert fake.hooks == []
        assert fake.clock.monotonic() >= 0
    assert not listens(fake)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("name", FAKES)
def test_a_forked_process_that_leaves_the_block_does_not_stop_it(name: str, tmp_path: Path) -> None:
    fake = FAKES[name](tmp_path)
    with fake:
        child = os.fork()
        if child == 0:
            fake.__exit__(None, None, None)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert listens(fake)
