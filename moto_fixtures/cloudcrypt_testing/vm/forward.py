"""A port of the guest's loopback that leads to the same port of the host's; runs in the guest."""

import contextlib
import socket
import sys
import threading
from typing import Final

HOST: Final = "10.0.2.2"  # where QEMU's user network has the host's loopback
_CHUNK: Final = 65536
_WAITING: Final = 64


def serve(port: int, host: str = HOST) -> None:
    """Serve until killed, leading to ``host``; say so once it has begun."""
    with socket.create_server(("127.0.0.1", port), backlog=_WAITING) as server:
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        while True:
            near, _ = server.accept()
            threading.Thread(target=_join, args=(near, (host, port)), daemon=True).start()


def _join(near: socket.socket, address: tuple[str, int]) -> None:
    with near, contextlib.suppress(OSError), socket.create_connection(address) as far:
        back = threading.Thread(target=_pass, args=(far, near), daemon=True)
        back.start()
        _pass(near, far)
        back.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
