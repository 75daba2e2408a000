"""A threaded HTTP/1.1 server on loopback that keeps connections, and can break them off."""

import io
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from cloudcrypt_testing.world.exchange import ConnectionDropped

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_POLL = 0.05  # seconds that stopping takes at most
_HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """Reads a request to its end and writes its answer at once, so that another can follow."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    @property
    def _server(self) -> "Server":
        assert isinstance(self.server, Server)
        return self.server

    def setup(self) -> None:
        """Let the server know of the connection."""
        super().setup()
        self._server.connections.add(self.connection)

    def finish(self) -> None:
        """Let the server forget the connection."""
        self._server.connections.discard(self.connection)
        with suppress(OSError):  # the client has gone, and its answer is still to be written
            super().finish()

    def run_wsgi(self) -> None:
        """Answer one request."""
        self.environ = environ = self.make_environ()
        body = environ["wsgi.input"].read(self._length(environ))
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        written: list[bytes] = []

        def start(
            status: str, headers: list[tuple[str, str]], *_exc_info: object
        ) -> Callable[[bytes], object]:
            begun.append((status, headers))
            return written.append

        try:
            written.extend(self.server.app(environ, start))
        except ConnectionDropped:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        except Exception:  # noqa: BLE001 - a bug of the fake: say so, here and to the client
            traceback.print_exc()
            self._write("500 Internal Server Error", [], b"")
        else:
            self._write(*begun[-1], b"".join(written))

    def handle_expect_100(self) -> bool:
        """Let a client that asks first send its body, now and not with the answer."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""

    @staticmethod
    def _length(environ: "dict[str, Any]") -> int:
        """Return how many bytes to read; -1 where the chunks say it."""
        if environ.get("wsgi.input_terminated"):
            return -1
        return int(environ.get("CONTENT_LENGTH") or 0)

    def _write(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        code, _, reason = status.partition(" ")
        given = {name.lower() for name, _ in headers}
        usual = {
            "Server": self.version_string(),
            "Date": self.date_time_string(),  # unless a cloud has a clock of its own
            "Content-Length": str(len(body)),
        }
        self.send_response_only(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        for name, value in usual.items():
            if name.lower() not in given:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


class Server(ThreadedWSGIServer):
    """Serves one WSGI application, on a port that is free."""

    def __init__(self, app: "WSGIApplication", tls: ssl.SSLContext | None = None) -> None:
        """Listen, on loopback only; with ``tls``, for those who take its certificate."""
        super().__init__(_HOST, 0, app, _Handler, ssl_context=tls)
        self.connections: set[socket.socket] = set()
        self._scheme = "http" if tls is None else "https"

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"{self._scheme}://{_HOST}:{self.port}"

    @contextmanager
    def running(self) -> Generator[None]:
        """Serve within the block; at its end, break off what is still connected."""
        thread = threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            for connection in tuple(self.connections):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster
