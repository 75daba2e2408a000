"""The client: its URL, its patience, and what becomes of each answer."""

import pickle
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    DataKeyUnavailable,
    InvalidRequest,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    KeyUriInvalid,
)
from cloudcrypt.keyservice.address import TIMEOUT, Address
from cloudcrypt.keyservice.certificates import TlsFiles
from cloudcrypt.keyservice.client import ConstellationKeyService, _pause
from cloudcrypt.secret import Secret
from tests.unit.key_servers import ZERO_ID, ZERO_KEY, foreign_server, giving, running

ANSWER = b"\x0a\x20" + ZERO_KEY


def client(address: str, **parameters: str) -> ConstellationKeyService:
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    return ConstellationKeyService.from_url(f"constellation://{address}?plaintext=1{query}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the URL ---


TLS = TlsFiles(Path("/ca.pem"))
FULL = TlsFiles(Path("/ca.pem"), Path("/c.pem"), Path("/k.pem"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "constellation://key-service.kube-system:9000?plaintext=1",
            Address("key-service.kube-system:9000", None, None, TIMEOUT),
        ),
        ("constellation://host?plaintext=1", Address("host:9000", None, None, TIMEOUT)),
        ("constellation://[::1]:7?plaintext=1", Address("[::1]:7", None, None, TIMEOUT)),
        ("constellation://host:7?ca=/ca.pem", Address("host:7", TLS, None, TIMEOUT)),
        (
            "constellation://host/?ca=%2Fca.pem&certificate=/c.pem&key=/k.pem&authority=a&timeout=0.5",
            Address("host:9000", FULL, "a", 0.5),
        ),
    ],
)
def test_a_url_says_whom_to_ask_and_how(url: str, expected: Address) -> None:
    assert expected == Address.from_url(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("constellation://host:9000", "say plaintext=1"),
        ("constellation://host?plaintext=0", "without certificates"),
        ("constellation://host?plaintext=1&ca=/ca.pem", "without certificates"),
        ("constellation://host?plaintext=1&authority=x", "without certificates"),
        ("constellation://host?ca=/ca.pem&key=/k.pem", "together"),
        ("constellation://host?ca=/ca.pem&ca=/ca.pem", "each name once"),
        ("constellation://host?ca=/ca.pem&token=SECRET", "its parameters are"),
        ("constellation://host?plaintext=1&timeout=0", "timeout"),
        ("constellation://host?plaintext=1&timeout=nan", "timeout"),
        ("constellation://host?plaintext=1&timeout=SECRET", "timeout"),
        ("constellation://host?plaintext=1&timeout=3601", "timeout"),
        ("constellation://?plaintext=1", "host and port"),
        ("constellation://host:x?plaintext=1", "host and port"),
        ("constellation://host:99999?plaintext=1", "host and port"),
        ("constellation://user:SECRET@host?plaintext=1", "host and port"),
        ("constellation://host/path?plaintext=1", "host and port"),
        ("constellation://host?plaintext=1#SECRET", "host and port"),
        ("constellation://[::1?plaintext=1", "host and port"),
        ("constellation://host?SECRET", "name=value"),
    ],
)
def test_a_url_that_leaves_a_doubt_is_refused(url: str, told: str) -> None:
    with pytest.raises(KeyUriInvalid, match=told) as refusal:
        Address.from_url(url)
    assert "SECRET" not in f"{refusal.value!r}{refusal.value.__context__!r}"


def test_a_file_that_is_missing_shows_before_the_first_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="PEM file"):
        ConstellationKeyService.from_url(f"constellation://host?ca={tmp_path}/ca.pem")


# --- what becomes of an answer ---


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, KeyDenied),
        (grpc.StatusCode.UNAUTHENTICATED, KeyDenied),
        (grpc.StatusCode.UNAVAILABLE, KeyServiceUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, KeyServiceUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, KeyServiceThrottled),
        (grpc.StatusCode.INVALID_ARGUMENT, KeyServiceFailed),
        (grpc.StatusCode.INTERNAL, KeyServiceFailed),
        (grpc.StatusCode.NOT_FOUND, KeyServiceFailed),
        (grpc.StatusCode.UNIMPLEMENTED, KeyServiceFailed),
        (grpc.StatusCode.UNKNOWN, KeyServiceFailed),
    ],
)
def test_a_status_is_an_error_of_the_tree(
    code: grpc.StatusCode, expected: type[CloudcryptError]
) -> None:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "3600000"),))
        context.abort(code, "because\nof this")
        return b""

    timeout = "0.3" if expected is KeyServiceUnavailable else "60"
    with (
        foreign_server(refuse) as address,
        client(address, timeout=timeout) as service,
        pytest.raises(expected) as refusal,
    ):
        service.get_data_key(ZERO_ID, 32)
    assert (ZERO_ID, address) == (refusal.value.key_id, refusal.value.service)  # type: ignore[attr-defined]
    assert "\n" not in str(refusal.value)
    assert (None, None) == (refusal.value.__cause__, refusal.value.__context__)
    copy = pickle.loads(pickle.dumps(refusal.value))  # noqa: S301  # our own
    assert (type(refusal.value), str(refusal.value)) == (type(copy), str(copy))


@pytest.mark.parametrize("answer", [b"\xff\xff", b"\x0a\xff"])
def test_an_answer_that_is_none_is_a_failure(answer: bytes) -> None:
    with (
        foreign_server(giving(answer)) as address,
        client(address) as service,
        pytest.raises(KeyServiceFailed, match="not a GetDataKeyResponse"),
    ):
        service.get_data_key(ZERO_ID, 32)


def test_a_server_that_does_not_know_the_method_is_a_failure() -> None:
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with (
            client(f"127.0.0.1:{port}") as service,
            pytest.raises(KeyServiceFailed, match="UNIMPLEMENTED"),
        ):
            service.get_data_key(ZERO_ID, 32)
        server.stop(0).wait()


@pytest.mark.parametrize(
    ("key_id", "length"), [("", 32), (ZERO_ID, 0), (ZERO_ID, -1), (ZERO_ID, 2**32), ("\ud800", 32)]
)
def test_what_cannot_be_asked_is_not_asked(key_id: str, length: int) -> None:
    with client("127.0.0.1:1") as service, pytest.raises(InvalidRequest) as refusal:
        service.get_data_key(key_id, length)
    assert refusal.value.__context__ is None


# --- patience ---


def test_a_failure_that_passes_is_waited_out() -> None:
    answers = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, None]

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        code = answers.pop(0)
        if code is not None:
            context.abort(code, "later")
        return ANSWER

    with foreign_server(answer) as address, client(address, timeout="60") as service:
        assert Secret(ZERO_KEY) == service.get_data_key(ZERO_ID, 32)
    assert answers == []


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.PERMISSION_DENIED])
def test_a_lasting_failure_is_asked_once(code: grpc.StatusCode) -> None:
    calls: list[bytes] = []

    def refuse(data: bytes, context: grpc.ServicerContext) -> bytes:
        calls.append(data)
        context.abort(code, "no")
        return b""

    with (
        foreign_server(refuse) as address,
        client(address) as service,
        pytest.raises(CloudcryptError),
    ):
        service.get_data_key(ZERO_ID, 32)
    assert len(calls) == 1


def test_a_service_that_does_not_answer_is_given_up() -> None:
    go_on = threading.Event()

    def hang(*_: Any) -> bytes:
        go_on.wait(60)
        return ANSWER

    with foreign_server(hang) as address, client(address, timeout="0.3") as service:
        with pytest.raises(KeyServiceUnavailable, match="DEADLINE_EXCEEDED"):
            service.get_data_key(ZERO_ID, 32)
        go_on.set()


def test_a_port_that_takes_connections_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            client(f"127.0.0.1:{port}", timeout="0.5") as service,
            pytest.raises(KeyServiceUnavailable),
        ):
            service.get_data_key(ZERO_ID, 32)


def test_a_service_that_comes_back_is_found() -> None:
    port = free_port()
    with client(f"127.0.0.1:{port}", timeout="60") as service, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.get_data_key, ZERO_ID, 32)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        with foreign_server(giving(ANSWER), port=port):
            assert Secret(ZERO_KEY) == waiting.result(timeout=60)
        with pytest.raises(KeyServiceUnavailable), client(f"127.0.0.1:{port}", timeout="1") as new:
            new.get_data_key(ZERO_ID, 32)
        with foreign_server(giving(ANSWER), port=port):
            assert Secret(ZERO_KEY) == service.get_data_key(ZERO_ID, 32)


def test_the_pause_that_a_service_asks_for_is_told_if_there_is_no_time_for_it() -> None:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "61500"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow")
        return b""

    with (
        foreign_server(refuse) as address,
        client(address, timeout="60") as service,
        pytest.raises(KeyServiceThrottled) as refusal,
    ):
        service.get_data_key(ZERO_ID, 32)
    assert refusal.value.retry_after == 61.5


class Told(grpc.RpcError):  # type: ignore[misc]  # mypy does not know gRPC
    """An error with metadata."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self.metadata = metadata

    def trailing_metadata(self) -> Any:
        return self.metadata


@pytest.mark.parametrize(
    ("told", "expected"),
    [("1500", 1.5), ("0", 0), ("-1", None), ("x", None), ("", None), (b"1", None), ("9" * 9, 3600)],
)
def test_a_pause_is_a_number_with_a_bound(told: str | bytes, expected: float | None) -> None:
    assert expected == _pause(Told(("other", "1"), ("grpc-retry-pushback-ms", told)))


def test_without_metadata_there_is_no_pause() -> None:
    assert _pause(Told()) is None
    assert _pause(Told(("other", "1"))) is None


# --- what surrounds it ---


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with foreign_server(giving(ANSWER)) as address:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        with client(address, timeout="30") as service:
            assert Secret(ZERO_KEY) == service.get_data_key(ZERO_ID, 32)


def test_a_closed_client_gives_no_keys() -> None:
    with foreign_server(giving(ANSWER)) as address:
        service = client(address)
        service.get_data_key(ZERO_ID, 32)
        service.close()
        service.close()
        with pytest.raises(DataKeyUnavailable, match="closed"):
            service.get_data_key(ZERO_ID, 32)


def test_closing_ends_calls_in_flight() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hang(*_: Any) -> bytes:
        entered.set()
        go_on.wait(60)
        return ANSWER

    with foreign_server(hang) as address, ThreadPoolExecutor(1) as pool:
        service = client(address, timeout="60")
        waiting = pool.submit(service.get_data_key, ZERO_ID, 32)
        assert entered.wait(60)
        service.close()
        with pytest.raises(DataKeyUnavailable, match="closed"):
            waiting.result(timeout=60)
        go_on.set()


FORKING = """
import os, sys
from cloudcrypt.errors import DataKeyUnavailable
from cloudcrypt.keyservice.client import ConstellationKeyService

service = ConstellationKeyService.from_url("constellation://127.0.0.1:1?plaintext=1")
pid = os.fork()
if pid:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    service.get_data_key("id", 32)
except DataKeyUnavailable as error:
    print(error.reason, flush=True)
service.close()
print("closed", flush=True)
os._exit(0)
"""


def test_a_client_does_not_survive_a_fork_and_says_so(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKING], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert run.stdout.splitlines() == ["the key service was opened before a fork", "closed"]


def test_no_key_is_in_a_repr(tmp_path: Path) -> None:
    with running(tmp_path) as here, ConstellationKeyService.from_url(here.url()) as service:
        key = service.get_data_key(ZERO_ID, 32)
        shown = f"{service!r}{key!r}{service._connections!r}{service._connections._connection!r}"
    assert ZERO_KEY.hex() not in shown
    assert "PRIVATE" not in shown
