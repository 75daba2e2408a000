"""What S3 checks and moto does not: the bucket's owner, and the checksum of what arrives."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.fake_aws.xml import fields
from cloudcrypt_testing.world.faults import Call

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_CHECKSUMS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "HTTP_CONTENT_MD5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "HTTP_X_AMZ_CHECKSUM_CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "HTTP_X_AMZ_CHECKSUM_SHA256": lambda body: hashlib.sha256(body).digest(),
}


def call(environ: Mapping[str, Any]) -> Call:
    """Return a request to S3 by the name that the API has for it, where it is a usual one."""
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    bucket, _, key = unquote(environ.get("PATH_INFO", "")).strip("/").partition("/")
    method = environ["REQUEST_METHOD"]
    parameters = {**query, "Bucket": bucket, "Key": key}
    return Call("s3", _action(method, query, has_key=bool(key)), parameters)


def refused(account: str, environ: Mapping[str, Any], body: bytes) -> EC2Error | None:
    """Return why S3 refuses a request that moto would take; None if it does not, or moto does."""
    if environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", account) != account:
        return EC2Error("AccessDenied", "Access Denied", 403)
    for header, digest in _CHECKSUMS.items():
        said = environ.get(header)
        if said is not None and said != base64.b64encode(digest(body)).decode():
            return EC2Error("BadDigest", "The checksum you specified did not match.")
    return None


def throttled() -> EC2Error:
    """Too many requests."""
    return EC2Error("SlowDown", "Please reduce your request rate.", 503)


def refusal(error: EC2Error) -> bytes:
    """Return the answer that is an error: S3 writes it in a way of its own."""
    inner = fields(Code=error.code, Message=error.message, RequestId="0" * 16)
    return f"{_HEAD}<Error>{inner}</Error>".encode()


def _action(method: str, query: Mapping[str, str], *, has_key: bool) -> str:
    if has_key:
        return (
            f"{method.capitalize()}Object" if method in {"DELETE", "GET", "HEAD", "PUT"} else method
        )
    if method == "GET" and "versions" in query:
        return "ListObjectVersions"
    if method == "GET" and query.get("list-type") == "2":
        return "ListObjectsV2"
    return method
