"""Keeps data keys and access tokens out of the logs of Google's libraries.

At the level DEBUG the library of Cloud KMS hands the whole request to its logger, and google-auth
the body of each JSON request to another one: the plaintext is among them, in base64. google-auth
hands over the headers of its own requests as well, with the token. A filter takes both out,
whatever level and handlers an application has.
"""

import logging
import re
from typing import Any, Final, cast

_KMS: Final = "google.cloud.kms_v1.services.key_management_service.transports.rest"
_AUTH: Final = "google.auth.transport.requests"
_SECRET_CALL: Final = re.compile(r":(raw)?(en|de)crypt\b", re.IGNORECASE)
_SECRET_FIELDS: Final[tuple[str, ...]] = ("payload", "body")
_SECRET_HEADERS: Final = frozenset({"authorization", "x-goog-iam-authorization-token"})
_EXCHANGES: Final = ("httpRequest", "httpResponse")
_INSTEAD: Final = "(left out by cloudcrypt)"


class _Secrets(logging.Filter):
    """Takes out the bodies of requests that encrypt or decrypt, and the tokens of all."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record pass, without them."""
        facts = vars(record)
        for name in _EXCHANGES:
            exchange: Any = facts.get(name)
            if isinstance(exchange, dict):
                setattr(record, name, _without(record, cast("dict[str, Any]", exchange)))
        return True


_FILTER: Final = _Secrets()


def keep_secrets_out_of_logs() -> None:
    """Filter both loggers from now on. Idempotent."""
    for name in (_KMS, _AUTH):
        logging.getLogger(name).addFilter(_FILTER)


def _is_secret(record: logging.LogRecord, exchange: dict[str, Any]) -> bool:
    call = str(vars(record).get("rpcName", "")).lower()
    url = str(exchange.get("url", "")) + str(exchange.get("requestUrl", ""))
    return call.endswith(("encrypt", "decrypt")) or _SECRET_CALL.search(url) is not None


def _without(record: logging.LogRecord, exchange: dict[str, Any]) -> dict[str, Any]:
    hidden = _SECRET_FIELDS if _is_secret(record, exchange) else ()
    told = {name: _INSTEAD if name in hidden else value for name, value in exchange.items()}
    headers: object = told.get("headers")
    if isinstance(headers, dict):
        told["headers"] = _without_tokens(cast("dict[str, Any]", headers))
    return told


def _without_tokens(headers: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _INSTEAD if name.lower() in _SECRET_HEADERS else value
        for name, value in headers.items()
    }
