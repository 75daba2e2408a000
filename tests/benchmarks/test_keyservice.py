"""GetDataKey at 64 concurrent clients, against a bare server of grpcio, and 100,000 calls."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import attrs
import grpc  # type: ignore[import-untyped]
import pytest

from cloudcrypt.keyservice.messages import Request, encode_request
from cloudcrypt.keyservice.server import WORKERS
from tests.unit.key_servers import GET, ZERO_ID, ZERO_KEY, Authority, master_secret_json

CLIENTS = 64
ROUNDS = 5
CALLS = int(os.environ.get("CLOUDCRYPT_BENCH_CALLS", "100000"))
LEAST = 0.5  # of the throughput of the bare server
REQUEST = encode_request(Request(ZERO_ID, 32))

pytestmark = pytest.mark.benchmark


@attrs.define
class Tally:
    """What a server did in all rounds."""

    seconds: float = 0.0
    cpu: float = 0.0
    pauses: list[float] = attrs.field(factory=list)
    errors: list[str] = attrs.field(factory=list)

    @property
    def rate(self) -> float:
        return len(self.pauses) / self.seconds

    @property
    def p99(self) -> float:
        return sorted(self.pauses)[len(self.pauses) * 99 // 100]


@attrs.frozen
class Served:
    """A server process, and a channel for each client."""

    pid: int
    channels: list[Any]


@contextlib.contextmanager
def served(pid: int, address: str, authority: Authority | None) -> Generator[Served]:
    options = [("grpc.use_local_subchannel_pool", 1)]  # a connection each
    if authority is None:
        channels = [grpc.insecure_channel(address, options) for _ in range(CLIENTS)]
    else:
        certificate, key = authority.issue("client", uris=["spiffe://test/client"])
        credentials = grpc.ssl_channel_credentials(
            authority.file.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )
        channels = [grpc.secure_channel(address, credentials, options) for _ in range(CLIENTS)]
    try:
        yield Served(pid, channels)
    finally:
        for channel in channels:
            channel.close()


@contextlib.contextmanager
def key_server(folder: Path, authority: Authority | None) -> Generator[Served]:
    secret, log = folder / "secret.json", folder / "audit.log"
    secret.write_text(master_secret_json())
    command = [sys.executable, "-m", "cloudcrypt", "keyservice", "--listen", "127.0.0.1:0"]
    command += ["--master-secret", str(secret), "--audit-log", str(log)]
    command += ["--rate", "1e9", "--total-rate", "1e9"]
    if authority is None:
        command.append("--plaintext")
    else:
        tls = authority.server()
        command += ["--certificate", str(tls.certificate), "--key", str(tls.key)]
        command += ["--client-ca", str(tls.ca)]
    with subprocess.Popen(command) as process:
        try:
            while not (log.exists() and log.read_text()):
                assert process.poll() is None
                time.sleep(0.05)
            address = json.loads(log.read_text().splitlines()[0])["listen"]
            with served(process.pid, address, authority) as server:
                yield server
        finally:
            process.kill()


@contextlib.contextmanager
def echo_server(authority: Authority | None) -> Generator[Served]:
    files = ["", "", ""]
    if authority is not None:
        tls = authority.server()
        files = [str(tls.ca), str(tls.certificate), str(tls.key)]
    script = Path(__file__).with_name("echo_server.py")
    command = [sys.executable, str(script), *files, str(WORKERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = f"127.0.0.1:{process.stdout.readline().strip()}"
            with served(process.pid, address, authority) as server:
                yield server
        finally:
            process.kill()


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(server: Served, calls: int, expected: bytes, tally: Tally) -> None:
    """Make so many calls from all clients at once."""
    gate = threading.Barrier(CLIENTS + 1)
    lock = threading.Lock()

    def client(channel: Any, count: int) -> None:
        call, pauses, errors = channel.unary_unary(GET), [], []
        gate.wait()
        for _ in range(count):
            begin = time.perf_counter()
            try:
                answer = call(REQUEST, timeout=60)
            except grpc.RpcError as error:
                errors.append(str(error.code()))
            else:
                if answer != expected:
                    errors.append("another answer")
            pauses.append(time.perf_counter() - begin)
        with lock:
            tally.pauses.extend(pauses)
            tally.errors.extend(errors)

    share, rest = divmod(calls, CLIENTS)
    threads = [
        threading.Thread(target=client, args=(channel, share + (number < rest)))
        for number, channel in enumerate(server.channels)
    ]
    for thread in threads:
        thread.start()
    cpu = cpu_of(server.pid)
    gate.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    tally.seconds += time.perf_counter() - begin
    tally.cpu += cpu_of(server.pid) - cpu


@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "mutual TLS"])
def test_get_data_key_at_64_clients(tmp_path: Path, *, secure: bool) -> None:
    authority = Authority(tmp_path) if secure else None
    ours, bare = Tally(), Tally()
    calls = CALLS // ROUNDS // (10 if secure else 1)
    with key_server(tmp_path, authority) as key, echo_server(authority) as echo:
        for server in (key, echo):  # connections are made before the clock runs
            drive(server, 2 * CLIENTS, b"", Tally())
        for _ in range(ROUNDS):  # in turns, so that both see the same host
            drive(echo, calls, b"\x0a\x20" + bytes(32), bare)
            drive(key, calls, b"\x0a\x20" + ZERO_KEY, ours)
    name = "mutual TLS" if secure else "plaintext"
    print(f"\nGetDataKey, {CLIENTS} clients, {name}, {len(ours.pauses)} calls each")
    for what, tally in (("cloudcrypt", ours), ("bare grpcio", bare)):
        print(
            f"  {what:<12} {tally.rate:8.0f} calls/s   p99 {1000 * tally.p99:7.1f} ms   "
            f"{1e6 * tally.cpu / len(tally.pauses):6.0f} us of processor a call"
        )
    print(
        f"  {'ratio':<12} {ours.rate / bare.rate:8.2f} {'p99':>13} {ours.p99 / bare.p99:7.2f}      "
        f"{ours.cpu / bare.cpu:6.2f}"
    )
    assert ([], []) == (ours.errors, bare.errors)
    assert ours.rate >= LEAST * bare.rate
