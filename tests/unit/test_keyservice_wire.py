"""What goes over the wire: the vectors end to end, and the messages byte by byte."""

import contextlib
import importlib.resources
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import DataKeyUnavailable
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, get_data_key
from cloudcrypt.keyservice.client import ConstellationKeyService
from cloudcrypt.keyservice.messages import (
    MessageMalformed,
    Request,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    file_descriptor,
)
from cloudcrypt.keyservice.policy import ANYONE, RESERVED, Policy
from cloudcrypt.secret import Secret
from tests.unit.key_servers import (
    GET,
    VECTORS,
    ZERO_ID,
    ZERO_KEY,
    foreign_server,
    giving,
    raw_channel,
    running,
)

EVERYTHING = {name: ("*", *sorted(RESERVED)) for name in (ANYONE, "anonymous")}


# --- end to end ---


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize(("secret", "salt", "key_id", "expected"), VECTORS)
def test_client_and_server_together_give_the_vectors(
    tmp_path: Path, secret: bytes, salt: bytes, key_id: str, expected: bytes, *, secure: bool
) -> None:
    keys = MasterSecretKeyService(MasterSecret.from_bytes(secret, salt))
    with (
        running(tmp_path, secure=secure, keys=keys, policy=Policy(EVERYTHING)) as here,
        ConstellationKeyService.from_url(here.url()) as client,
    ):
        assert Secret(expected) == get_data_key(client, key_id)
        assert Secret(expected) == get_data_key(client, key_id)


def test_a_raw_client_gets_the_key_for_bytes_encoded_by_hand(tmp_path: Path) -> None:
    # Field 1, a string of 36 bytes; field 2, the number 32.
    request = b"\x0a\x24" + ZERO_ID.encode() + b"\x10\x20"
    with running(tmp_path) as here, raw_channel(here) as channel:
        assert b"\x0a\x20" + ZERO_KEY == channel.unary_unary(GET)(request, timeout=20)


def test_our_client_sends_those_bytes_and_reads_such_an_answer() -> None:
    seen: list[bytes] = []

    def answer(data: bytes, _: Any) -> bytes:
        seen.append(data)
        return b"\x0a\x20" + ZERO_KEY

    with (
        foreign_server(answer) as address,
        ConstellationKeyService.from_url(f"constellation://{address}?plaintext=1") as client,
    ):
        assert Secret(ZERO_KEY) == client.get_data_key(ZERO_ID, 32)
    assert seen == [b"\x0a\x24" + ZERO_ID.encode() + b"\x10\x20"]


@pytest.mark.parametrize(
    ("request_bytes", "told"),
    [
        (b"", "no data key id"),
        (b"\x10\x20", "no data key id"),
        (b"\x0a\x24" + ZERO_ID.encode(), "1 to 1024 bytes"),
        (b"\x0a\x24" + ZERO_ID.encode() + b"\x10\x00", "1 to 1024 bytes"),
        (b"\x0a\x24" + ZERO_ID.encode() + b"\x10\x81\x08", "1 to 1024 bytes"),
        (b"\x0a\x24" + ZERO_ID.encode() + b"\x10\xff\xff\xff\xff\x0f", "1 to 1024 bytes"),
        (b"\x0a\x05a\nb\x00c\x10\x20", "printable"),
        (b"\x0a\x81\x02" + b"x" * 257 + b"\x10\x20", "printable"),
        (b"\x0a\x02\xff\xff\x10\x20", "not a GetDataKeyRequest"),
        (b"\x0a\xff", "not a GetDataKeyRequest"),
        (b"\xff\xff\xff", "not a GetDataKeyRequest"),
    ],
)
def test_a_bad_request_is_an_invalid_argument(
    tmp_path: Path, request_bytes: bytes, told: str
) -> None:
    policy = Policy(EVERYTHING)
    with (
        running(tmp_path, secure=False, policy=policy) as here,
        raw_channel(here) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        channel.unary_unary(GET)(request_bytes, timeout=20)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told in (refusal.value.details() or "")


def test_a_message_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (
        running(tmp_path, secure=False) as here,
        raw_channel(here) as channel,
        pytest.raises(grpc.RpcError) as refusal,
    ):
        channel.unary_unary(GET)(b"\x0a\x80\x80\x08" + b"x" * 131072, timeout=20)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert here.lines() == []


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused_by_the_client(length: int) -> None:
    with (
        foreign_server(giving(b"\x0a" + bytes([length]) + bytes(length))) as address,
        ConstellationKeyService.from_url(f"constellation://{address}?plaintext=1") as client,
        pytest.raises(DataKeyUnavailable, match=f"32 bytes were asked for, and {length} were"),
    ):
        client.get_data_key(ZERO_ID, 32)


# --- messages ---


def test_the_messages_are_those_of_the_description(tmp_path: Path) -> None:
    proto = importlib.resources.files("cloudcrypt.keyservice") / "kms.proto"
    with importlib.resources.as_file(proto) as file:
        out = tmp_path / "kms.bin"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{file.parent}"]
        subprocess.run([*command, f"--descriptor_set_out={out}", str(file)], check=True)
    (described,) = FileDescriptorSet.FromString(out.read_bytes()).file
    assert described == file_descriptor()


@given(key_id=st.text(), length=st.integers(0, 2**32 - 1))
def test_a_request_survives_the_wire(key_id: str, length: int) -> None:
    request = Request(key_id, length)
    assert request == decode_request(encode_request(request))


@given(st.binary())
def test_a_response_survives_the_wire(key: bytes) -> None:
    assert key == decode_response(encode_response(key))


@given(st.binary())
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    for decode in (decode_request, decode_response):
        with contextlib.suppress(MessageMalformed):
            decode(data)


def test_unknown_fields_are_passed_over() -> None:
    data = encode_request(Request("id", 32)) + b"\x1a\x03abc"
    assert Request("id", 32) == decode_request(data)
    assert decode_response(b"\x0a\x01k\x10\x07") == b"k"
