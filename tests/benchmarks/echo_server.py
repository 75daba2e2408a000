"""The yardstick of the key service: a server of grpcio that answers the same bytes, and no more."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc  # type: ignore[import-untyped]

ANSWER = b"\x0a\x20" + bytes(32)


def answer(_request: bytes, _context: object) -> bytes:
    return ANSWER


def main(ca: str, certificate: str, key: str, workers: str) -> None:
    """Serve until killed; without certificates in plain text. Prints the port."""
    server = grpc.server(ThreadPoolExecutor(int(workers)), options=[("grpc.so_reuseport", 0)])
    method = grpc.unary_unary_rpc_method_handler(answer)
    handler = grpc.method_handlers_generic_handler("kms.API", {"GetDataKey": method})
    server.add_generic_rpc_handlers((handler,))
    if ca:
        pair = Path(key).read_bytes(), Path(certificate).read_bytes()
        credentials = grpc.ssl_server_credentials(
            [pair], Path(ca).read_bytes(), require_client_auth=True
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
