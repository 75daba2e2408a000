"""Where gRPC meets the desk of the key service: its one method, and the handshakes."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import grpc  # type: ignore[import-untyped]

from cloudcrypt.errors import CloudcryptError
from cloudcrypt.keyservice.callers import caller_of
from cloudcrypt.keyservice.certificates import Pem
from cloudcrypt.keyservice.desk import Desk, Refusal
from cloudcrypt.keyservice.messages import METHOD, PUSHBACK, SERVICE
from cloudcrypt.keyservice.watching import Watched


def handlers(desk: Desk) -> grpc.GenericRpcHandler:
    """Return what gRPC calls for ``/kms.API/GetDataKey``: bytes come in and go out as they are."""

    def get_data_key(data: bytes, context: grpc.ServicerContext) -> bytes:
        refusal = Refusal("INTERNAL", "the key service failed")
        try:
            # Each property has a list of values, whatever the type stubs of gRPC say.
            properties = cast("Mapping[str, Iterable[bytes]]", context.auth_context())
            return desk.answer(caller_of(properties, context.peer()), data)
        except Refusal as error:
            refusal = error
        except Exception:  # noqa: BLE001, S110  # gRPC would send and log its text; it may hold a key
            pass
        if refusal.wait is not None:
            pause = str(math.ceil(1000 * refusal.wait))
            context.set_trailing_metadata(((PUSHBACK, pause),))
        context.set_code(grpc.StatusCode[refusal.code])
        context.set_details(refusal.told)
        return b""

    make: Callable[..., Any] = grpc.unary_unary_rpc_method_handler
    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: make(get_data_key)})


def credentials(tls: Watched[Pem]) -> grpc.ServerCredentials:
    """Return credentials for mutual TLS: each handshake has the certificates of that moment.

    Connections that exist go on with those that they began with.
    """
    shown = tls.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal shown
        try:
            pem = tls.current()
        except CloudcryptError:  # the log cannot be written: no new certificates, no new keys
            return None
        if pem is shown:
            return None
        shown = pem
        return _configuration(pem)

    make: Callable[..., Any] = grpc.dynamic_ssl_server_credentials
    return make(_configuration(shown), fetch, require_client_authentication=True)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    pair: Any = (pem.key, pem.certificate)
    return grpc.ssl_server_certificate_configuration([pair], pem.ca)
