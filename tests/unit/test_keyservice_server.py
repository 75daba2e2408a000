"""The server as its callers meet it: who gets in, what is granted, health, and a graceful end."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from cloudcrypt.errors import (
    DataKeyUnavailable,
    HostUnready,
    InvalidRequest,
    KeyDenied,
    KeyServiceFailed,
    KeyServiceThrottled,
    KeyServiceUnavailable,
    MasterSecretInvalid,
)
from cloudcrypt.keyservice.client import ConstellationKeyService
from cloudcrypt.keyservice.limits import Limits
from cloudcrypt.keyservice.messages import Request, decode_response, encode_request
from cloudcrypt.keyservice.policy import RESERVED, Policy
from cloudcrypt.keyservice.server import KeyServer
from cloudcrypt.secret import Secret
from tests.unit.key_servers import (
    GET,
    ZERO_ID,
    ZERO_KEY,
    Authority,
    Running,
    raw_channel,
    running,
    zero_keys,
)

BOUND_ID = "cloudcrypt/v1/aws:eu-central-1/vol-1"


def client(here: Running, name: str = "node-1", **parameters: str) -> ConstellationKeyService:
    return ConstellationKeyService.from_url(here.url(name, **parameters))


# --- who gets in ---


def test_a_caller_without_a_certificate_does_not_get_in(tmp_path: Path) -> None:
    with running(tmp_path) as here, raw_channel(here, None) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            channel.unary_unary(GET)(b"", timeout=20)
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        assert here.lines() == []


def test_a_caller_of_another_authority_does_not_get_in(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        other = Authority(tmp_path, "another")
        certificate, key = other.issue("stranger")
        url = here.url(certificate=str(certificate), key=str(key), timeout="2")
        with (
            ConstellationKeyService.from_url(url) as stranger,
            pytest.raises(KeyServiceUnavailable),
        ):
            stranger.get_data_key(ZERO_ID, 32)
        assert here.lines() == []


def test_a_caller_in_plain_text_does_not_get_in(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        url = f"constellation://{here.server.address}?plaintext=1&timeout=1"
        with ConstellationKeyService.from_url(url) as plain, pytest.raises(KeyServiceUnavailable):
            plain.get_data_key(ZERO_ID, 32)


def test_a_client_does_not_speak_to_a_service_of_another_authority(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        other = Authority(tmp_path, "another")
        with (
            client(here, ca=str(other.file), timeout="2") as careful,
            pytest.raises(KeyServiceUnavailable) as refusal,
        ):
            careful.get_data_key(ZERO_ID, 32)
    assert "CERTIFICATE_VERIFY_FAILED" in refusal.value.reason


def test_a_client_does_not_speak_to_a_service_with_another_name(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        with (
            client(here, authority="key-service.kube-system", timeout="2") as careful,
            pytest.raises(KeyServiceUnavailable),
        ):
            careful.get_data_key(ZERO_ID, 32)
        with client(here, authority="localhost") as knowing:
            assert Secret(ZERO_KEY) == knowing.get_data_key(ZERO_ID, 32)


def test_in_plain_text_callers_are_anonymous(tmp_path: Path) -> None:
    with running(tmp_path, secure=False) as here, client(here) as anyone:
        assert Secret(ZERO_KEY) == anyone.get_data_key(ZERO_ID, 32)
        (line,) = here.lines()
        assert ("anonymous", "127.0.0.1") == (line["caller"], line["address"])


# --- what is granted ---


@pytest.mark.parametrize("secure", [True, False])
def test_without_a_policy_the_keys_of_volumes_are_given(tmp_path: Path, *, secure: bool) -> None:
    with running(tmp_path, secure=secure) as here, client(here) as node:
        for key_id in (ZERO_ID, BOUND_ID):
            assert len(node.get_data_key(key_id, 32)) == 32
        for key_id in ("clusterID", ZERO_ID.replace("0", "A"), "cloudcrypt/v1/", *RESERVED):
            with pytest.raises(KeyDenied) as refusal:
                node.get_data_key(key_id, 32)
            assert (key_id, "PERMISSION_DENIED") == (refusal.value.key_id, refusal.value.grpc_code)


def test_a_policy_is_asked_for_the_names_of_the_certificate(tmp_path: Path) -> None:
    policy = Policy(
        {"URI:spiffe://test/boot": ("measurementSecret",), "CN:node-2": ("other-*", "@volumes")}
    )
    with running(tmp_path, policy=policy) as here:
        with client(here, "boot") as boot, pytest.raises(KeyDenied):
            boot.get_data_key(ZERO_ID, 32)
        with client(here, "boot") as boot:
            assert len(boot.get_data_key("measurementSecret", 32)) == 32
        with client(here, "node-2") as node:
            assert len(node.get_data_key("other-1", 16)) == 16
            with pytest.raises(KeyDenied):
                node.get_data_key("measurementSecret", 32)
        outcomes = [(line["caller"], line["id"], line["outcome"]) for line in here.lines()]
    assert outcomes == [
        ("URI:spiffe://test/boot", ZERO_ID, "PERMISSION_DENIED"),
        ("URI:spiffe://test/boot", "measurementSecret", "OK"),
        ("URI:spiffe://test/node-2", "other-1", "OK"),
        ("URI:spiffe://test/node-2", "measurementSecret", "PERMISSION_DENIED"),
    ]


# --- how often ---


def test_a_caller_beyond_its_rate_is_told_when_to_ask_again(tmp_path: Path) -> None:
    limits = Limits(per_caller=0.01)
    with running(tmp_path, limits=limits) as here, client(here, timeout="20") as node:
        assert len(node.get_data_key(ZERO_ID, 32)) == 32
        with pytest.raises(KeyServiceThrottled) as refusal:
            node.get_data_key(ZERO_ID, 32)
        assert refusal.value.retry_after is not None
        assert 20 < refusal.value.retry_after <= 100
        with client(here, "node-2") as other:
            assert len(other.get_data_key(ZERO_ID, 32)) == 32


def test_a_client_with_time_waits_out_the_limit(tmp_path: Path) -> None:
    limits = Limits(per_caller=4)
    with running(tmp_path, limits=limits) as here, client(here, timeout="60") as node:
        for _ in range(12):
            assert Secret(ZERO_KEY) == node.get_data_key(ZERO_ID, 32)
        outcomes = [line["outcome"] for line in here.lines()]
    assert (12, True) == (outcomes.count("OK"), "RESOURCE_EXHAUSTED" in outcomes)


# --- what the key service behind it does ---


class Behind:
    """A key service that does what a test wants."""

    def __init__(self, behaviour: Any) -> None:
        self.behaviour = behaviour

    def get_data_key(self, key_id: str, length: int) -> Secret:
        key: Secret = self.behaviour(key_id, length)
        return key


def raising(error: Exception) -> Any:
    def behaviour(*_: object) -> Secret:
        raise error

    return behaviour


def returning(value: object) -> Any:
    def behaviour(*_: object) -> object:
        return value

    return behaviour


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (raising(MasterSecretInvalid("/etc/hidden", "hidden")), "INTERNAL"),
        (raising(RuntimeError("hidden")), "INTERNAL"),
        (raising(InvalidRequest("key id", "hidden", "hidden")), "INVALID_ARGUMENT"),
        (returning(Secret(b"hidden")), "INTERNAL"),
        (returning(b"hidden"), "INTERNAL"),
    ],
    ids=["lasting", "foreign", "request", "too short", "not a Secret"],
)
def test_a_failure_behind_is_told_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, behaviour: Any, code: str
) -> None:
    with running(tmp_path, keys=Behind(behaviour)) as here, client(here) as node:
        with pytest.raises(KeyServiceFailed) as refusal:
            node.get_data_key(ZERO_ID, 32)
        assert code == refusal.value.code
        assert [code] == [line["outcome"] for line in here.lines()]
    assert "hidden" not in f"{refusal.value}{caplog.text}{here.log.read_text()}"


def test_a_failure_behind_that_passes_is_waited_out(tmp_path: Path) -> None:
    answers = [
        raising(KeyServiceUnavailable("behind", ZERO_ID, "hidden")),
        raising(DataKeyUnavailable(ZERO_ID, "hidden")),
        zero_keys().get_data_key,
    ]

    def behaviour(key_id: str, length: int) -> Secret:
        key: Secret = answers.pop(0)(key_id, length)
        return key

    keys = Behind(behaviour)
    with running(tmp_path, keys=keys) as here, client(here, timeout="60") as node:
        assert Secret(ZERO_KEY) == node.get_data_key(ZERO_ID, 32)
    assert ["UNAVAILABLE", "UNAVAILABLE", "OK"] == [line["outcome"] for line in here.lines()]


def test_a_key_that_was_handed_out_is_wiped(tmp_path: Path) -> None:
    given: list[Secret] = []

    def behaviour(key_id: str, length: int) -> Secret:
        given.append(zero_keys().get_data_key(key_id, length))
        return given[-1]

    with running(tmp_path, keys=Behind(behaviour)) as here, client(here) as node:
        assert Secret(ZERO_KEY) == node.get_data_key(ZERO_ID, 32)
    with pytest.raises(ValueError, match="wiped"):
        given[0].reveal()


def test_no_key_is_handed_out_that_is_not_on_record(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with running(tmp_path) as here, client(here) as node:
        here.log.unlink()
        here.log.symlink_to("/dev/full")
        here.server._audit.reopen()
        with pytest.raises(KeyServiceFailed, match="could not be put on record"):
            node.get_data_key(ZERO_ID, 32)
        here.log.unlink()
        here.server._audit.reopen()
        assert Secret(ZERO_KEY) == node.get_data_key(ZERO_ID, 32)


# --- the log ---


def test_a_line_of_the_log_says_who_asked_for_what(tmp_path: Path) -> None:
    with running(tmp_path) as here, client(here) as node:
        node.get_data_key(ZERO_ID, 32)
        (line,) = here.lines()
    assert line.pop("time").endswith("+00:00")
    assert 0 <= line.pop("milliseconds") < 60_000
    assert line == {
        "event": "GetDataKey",
        "caller": "URI:spiffe://test/node-1",
        "address": "127.0.0.1",
        "id": ZERO_ID,
        "length": 32,
        "outcome": "OK",
    }
    assert (["mutual TLS"], 1) == (
        [line["security"] for line in here.lines("started")],
        len(here.lines("stopped")),
    )


def test_an_id_cannot_begin_a_line_of_its_own(tmp_path: Path) -> None:
    evil = 'x\n{"event": "GetDataKey", "outcome": "OK"}\u2028\x1b[2J' + "y" * 1000
    request = encode_request(Request(evil, 32))
    with running(tmp_path) as here, raw_channel(here) as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(GET)(request, timeout=20)
        (line,) = here.lines()
    assert ("INVALID_ARGUMENT", evil[:256] + "...") == (line["outcome"], line["id"])
    text = here.log.read_text()
    assert text.isascii()
    assert all(json.loads(each) for each in text.splitlines())


def test_plain_text_beyond_loopback_is_warned_of_once(tmp_path: Path) -> None:
    with running(tmp_path, secure=False, listen="0.0.0.0:0") as here:  # the point
        (warning,) = here.lines("warning")
    assert "plaintext" in warning["reason"]


def test_plain_text_on_loopback_is_not_warned_of(tmp_path: Path) -> None:
    with running(tmp_path, secure=False, listen="localhost:0") as here:
        assert here.lines("warning") == []


# --- health, and the end ---


def test_health_is_told_until_the_end(tmp_path: Path) -> None:
    with running(tmp_path) as here, raw_channel(here) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "kms.API"):
            request = health_pb2.HealthCheckRequest(service=service)
            status = stub.Check(request, timeout=20).status
            assert status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=20)
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


def test_whoever_watches_health_takes_no_thread_and_sees_the_end(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as here, raw_channel(here) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(5)]
        first = [next(watch).status for watch in watches]
        with client(here) as node:  # there are still threads for it
            assert Secret(ZERO_KEY) == node.get_data_key(ZERO_ID, 32)
        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(here.server.stop, 0.5)
            last = [next(watch).status for watch in watches]
            stopping.result(timeout=60)
    assert {health_pb2.HealthCheckResponse.SERVING} == set(first)
    assert {health_pb2.HealthCheckResponse.NOT_SERVING} == set(last)


def test_calls_in_flight_end_before_the_server_does(tmp_path: Path) -> None:
    entered, go_on = threading.Semaphore(0), threading.Event()

    def behaviour(key_id: str, length: int) -> Secret:
        entered.release()
        assert go_on.wait(60)
        return zero_keys().get_data_key(key_id, length)

    with (
        running(tmp_path, keys=Behind(behaviour)) as here,
        client(here, timeout="60") as node,
        ThreadPoolExecutor(9) as pool,
    ):
        calls = [pool.submit(node.get_data_key, ZERO_ID, 32) for _ in range(8)]
        for _ in calls:
            assert entered.acquire(timeout=60)
        stopping = pool.submit(here.server.stop, 60)
        with raw_channel(here) as channel:  # new calls are not taken any more, once it stops
            refused = False
            while not refused:
                try:
                    request = health_pb2.HealthCheckRequest()
                    stub: Any = health_pb2_grpc.HealthStub(channel)
                    stub.Check(request, timeout=20)
                except grpc.RpcError:
                    refused = True
        assert not stopping.done()
        go_on.set()
        assert all(Secret(ZERO_KEY) == call.result(timeout=60) for call in calls)
        stopping.result(timeout=60)
    assert ["OK"] * 8 == [line["outcome"] for line in here.lines()]


def test_an_address_that_is_taken_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, secure=False) as here, pytest.raises(HostUnready, match="listen"):
        KeyServer(zero_keys(), here.server.address, tls=None)


def test_many_threads_share_one_client(tmp_path: Path) -> None:
    limits = Limits(1e6, 1e6)
    with running(tmp_path, limits=limits) as here, client(here, timeout="60") as node:
        with ThreadPoolExecutor(32) as pool:
            keys = list(pool.map(node.get_data_key, [ZERO_ID] * 400, [32] * 400))
        assert all(Secret(ZERO_KEY) == key for key in keys)
        assert len(here.lines()) == 400


def test_each_answer_is_for_its_own_call(tmp_path: Path) -> None:
    limits = Limits(1e6, 1e6)
    ids = [f"cloudcrypt/v1/vol-{number}" for number in range(200)]
    with running(tmp_path, limits=limits) as here, raw_channel(here) as channel:
        call: Callable[..., bytes] = channel.unary_unary(GET)
        requests = [encode_request(Request(each, 32)) for each in ids]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(call, requests, [60] * len(ids)))
    expected = zero_keys()
    for key_id, answer in zip(ids, answers, strict=True):
        assert expected.get_data_key(key_id, 32) == Secret(decode_response(answer))
