"""The errors of the services, and how each of them is written.

Codes and texts are those of the Azure documentation: "Azure Key Vault REST API error codes", "Blob
Storage error codes", "Common REST API error codes", and of the SDKs' guides to troubleshooting.
"""

import json
from xml.sax.saxutils import escape

from cloudcrypt_testing.world.layer import Answer


class ServiceError(Exception):
    """What a service refuses, before anything was done."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None
    ) -> None:
        """Refuse with ``status``; ``code`` is the innermost one."""
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def answer_of(service: str, error: ServiceError) -> Answer:
    """Return the error as ``service`` writes it."""
    write = {"keys": _of_keys, "blobs": _of_blobs, "tokens": _of_tokens}[service]
    answer = write(error)
    answer.headers.extend(error.headers.items())
    return answer


def _of_keys(error: ServiceError) -> Answer:
    about: dict[str, object] = {"code": error.code, "message": error.message}
    if error.status == 403 and error.code != "Forbidden":
        inner = {"code": error.code}
        about = {"code": "Forbidden", "message": error.message, "innererror": inner}
    return _json(error.status, {"error": about})


def _of_blobs(error: ServiceError) -> Answer:
    body = (
        '<?xml version="1.0" encoding="utf-8"?><Error>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
    )
    headers = [("Content-Type", "application/xml"), ("x-ms-error-code", error.code)]
    return Answer(error.status, headers, body.encode())


def _of_tokens(error: ServiceError) -> Answer:
    return _json(error.status, {"error": error.code, "error_description": error.message})


def _json(status: int, document: object) -> Answer:
    headers = [("Content-Type", "application/json; charset=utf-8")]
    return Answer(status, headers, json.dumps(document).encode())


def json_answer(document: object) -> Answer:
    """Return a document as an answer."""
    return _json(200, document)
