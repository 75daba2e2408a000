"""The two messages of the key service, in Protocol Buffers; kms.proto describes them.

They are made from a descriptor and not by generated code: generated code is tied to the version of
protobuf that it was generated for, and two messages do not need it. The descriptor is in a pool of
its own, so that a program may load other code for the package ``kms`` as well.
"""

from typing import Any, Final

import attrs
from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

SERVICE: Final = "kms.API"
"""The full name of the service."""

METHOD: Final = "GetDataKey"
"""The name of its one method."""

PATH: Final = f"/{SERVICE}/{METHOD}"
"""The full name of the method, as HTTP/2 has it in ``:path``."""

PUSHBACK: Final = "grpc-retry-pushback-ms"
"""Trailing metadata: milliseconds after which to ask again. Source: gRFC A6."""

MESSAGE_MAX: Final = 64 * 1024
"""Most bytes of a message that either end takes: many times what a key and an id need."""


@attrs.frozen
class Request:
    """What a client asks for: the data key of an id, so many bytes."""

    key_id: str
    length: int


class MessageMalformed(Exception):
    """The bytes are not a message; they are not repeated."""


def file_descriptor() -> FileDescriptorProto:
    """Return the descriptor of kms.proto, as ``protoc`` makes it, without the comments."""
    file = FileDescriptorProto(name="kms.proto", package="kms", syntax="proto3")
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for number, (name, kind) in enumerate(fields, start=1):
            json_name = "".join(
                part.title() if index else part for index, part in enumerate(name.split("_"))
            )
            described.field.add(
                name=name,
                number=number,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
                type=kind,
                json_name=json_name,
            )
    api = file.service.add(name="API")
    api.method.add(
        name=METHOD, input_type=".kms.GetDataKeyRequest", output_type=".kms.GetDataKeyResponse"
    )
    return file


_FIELDS = {
    "GetDataKeyRequest": (
        ("data_key_id", FieldDescriptorProto.TYPE_STRING),
        ("length", FieldDescriptorProto.TYPE_UINT32),
    ),
    "GetDataKeyResponse": (("data_key", FieldDescriptorProto.TYPE_BYTES),),
}


def _classes() -> tuple[Any, Any]:
    pool = DescriptorPool()
    pool.AddSerializedFile(file_descriptor().SerializeToString())
    request, response = (pool.FindMessageTypeByName(f"kms.{name}") for name in _FIELDS)
    return GetMessageClass(request), GetMessageClass(response)


_REQUEST, _RESPONSE = _classes()


def encode_request(request: Request) -> bytes:
    """Return the message of a request.

    Raises:
        ValueError: the length is not an unsigned number of 32 bits, or the id is not Unicode.
    """
    message = _REQUEST(data_key_id=request.key_id, length=request.length)
    encoded: bytes = message.SerializeToString()
    return encoded


def decode_request(data: bytes) -> Request:
    """Return what a message asks for; fields that are unknown are passed over.

    Raises:
        MessageMalformed: it is not one.
    """
    message = _parsed(_REQUEST, data)
    return Request(message.data_key_id, message.length)


def encode_response(key: bytes) -> bytes:
    """Return the message that hands out ``key``."""
    encoded: bytes = _RESPONSE(data_key=key).SerializeToString()
    return encoded


def decode_response(data: bytes) -> bytes:
    """Return the key that a message hands out; fields that are unknown are passed over.

    Raises:
        MessageMalformed: it is not one.
    """
    key: bytes = _parsed(_RESPONSE, data).data_key
    return key


def _parsed(kind: Any, data: bytes) -> Any:  # noqa: ANN401  # classes that are made at run time
    try:
        return kind.FromString(data)
    except (DecodeError, UnicodeDecodeError):
        raise MessageMalformed from None
