"""``cloudcrypt keyservice`` as a process, and the commands that ask one."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from cloudcrypt.cli import main
from cloudcrypt.errors import KeyDenied
from cloudcrypt.keyservice.client import ConstellationKeyService
from cloudcrypt.secret import Secret
from tests.unit.key_servers import (
    ZERO_ID,
    ZERO_KEY,
    Authority,
    master_secret_json,
    running,
    zero_keys,
)

MASTER, SALT = b"\x91" * 32, b"\xa7" * 32


@attrs.frozen
class Process:
    """A ``cloudcrypt keyservice`` that runs."""

    popen: "subprocess.Popen[bytes]"
    log: Path
    errors: Path
    authority: Authority

    @property
    def address(self) -> str:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.log.exists() and (started := _lines(self.log, "started")):
                address: str = started[0]["listen"]
                return address
            assert self.popen.poll() is None, self.errors.read_text()
            time.sleep(0.02)
        raise AssertionError(self.errors.read_text())

    def client(self, name: str = "node-1") -> ConstellationKeyService:
        certificate, key = self.authority.issue(name, uris=[f"spiffe://test/{name}"])
        query = f"ca={self.authority.file}&certificate={certificate}&key={key}&timeout=60"
        return ConstellationKeyService.from_url(f"constellation://{self.address}?{query}")


def _lines(log: Path, event: str) -> list[dict[str, Any]]:
    lines = map(json.loads, log.read_text().splitlines())
    return [line for line in lines if line["event"] == event]


@contextlib.contextmanager
def process(folder: Path, *words: str, to_file: bool = True) -> Generator[Process]:
    """Yield the real program, with mutual TLS and a policy."""
    authority = Authority(folder)
    files = authority.server()
    (folder / "secret.json").write_text(master_secret_json(MASTER, SALT))
    (folder / "policy.json").write_text('{"callers": {"*": ["@volumes"]}}')
    log, errors = folder / "audit.log", folder / "stderr"
    command = [sys.executable, "-m", "cloudcrypt", "keyservice", "--listen", "127.0.0.1:0"]
    command += ["--master-secret", str(folder / "secret.json")]
    command += ["--certificate", str(files.certificate), "--key", str(files.key)]
    command += ["--client-ca", str(files.ca), "--policy", str(folder / "policy.json")]
    command += ["--audit-log", str(log)] if to_file else []
    with (
        errors.open("wb") as stderr,
        subprocess.Popen([*command, *words], stdout=stderr, stderr=stderr) as popen,
    ):
        try:
            yield Process(popen, log if to_file else errors, errors, authority)
        finally:
            popen.kill()


def _forms(secret: bytes) -> list[bytes]:
    return [
        secret,
        secret.hex().encode(),
        base64.b64encode(secret)[:40],
        base64.urlsafe_b64encode(secret)[:40],
        repr(secret).encode()[2:-1],
    ]


def test_the_program_serves_and_ends_with_no_trace_of_a_secret(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        with server.client() as client:
            key = client.get_data_key(ZERO_ID, 32)
            with pytest.raises(KeyDenied):
                client.get_data_key("measurementSecret", 32)
        proc = Path(f"/proc/{server.popen.pid}")
        seen = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
        assert re.search(rb"(?m)^Max core file size +0 +0 ", (proc / "limits").read_bytes())
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(60) == 0
    assert ["OK", "PERMISSION_DENIED"] == [
        line["outcome"] for line in _lines(server.log, "GetDataKey")
    ]
    assert 1 == len(_lines(server.log, "stopped"))
    seen += server.log.read_bytes() + server.errors.read_bytes()
    for secret in (MASTER, SALT, bytes(key.reveal())):
        for form in _forms(secret):
            assert form not in seen


def test_a_hangup_reads_policy_and_certificates_again(tmp_path: Path) -> None:
    with process(tmp_path) as server, server.client() as client:
        with pytest.raises(KeyDenied):
            client.get_data_key("clusterID", 32)
        (tmp_path / "policy.json").write_text('{"callers": {"*": ["clusterID"]}}')
        server.authority.issue("server", dns=["localhost"])
        server.popen.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while len(_lines(server.log, "reloaded")) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert len(client.get_data_key("clusterID", 32)) == 32
        with server.client("node-2") as other:  # a handshake with the new certificate
            assert len(other.get_data_key("clusterID", 32)) == 32
        server.popen.send_signal(signal.SIGINT)
        assert server.popen.wait(60) == 0


def test_without_a_file_the_log_is_standard_error_and_nothing_else_is(tmp_path: Path) -> None:
    with process(tmp_path, to_file=False) as server:
        with server.client() as client:
            client.get_data_key(ZERO_ID, 32)
        stranger = Authority(tmp_path, "stranger")
        certificate, key = stranger.issue("stranger")
        query = f"ca={server.authority.file}&certificate={certificate}&key={key}&timeout=1"
        url = f"constellation://{server.address}?{query}"
        with (
            contextlib.suppress(Exception),
            ConstellationKeyService.from_url(url) as refused,
        ):
            refused.get_data_key(ZERO_ID, 32)
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(60) == 0
    events = [json.loads(line)["event"] for line in server.errors.read_text().splitlines()]
    assert events == ["started", "GetDataKey", "stopped"]


def test_a_command_line_in_this_process_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    secret, log = tmp_path / "secret.json", tmp_path / "log"
    secret.write_text(master_secret_json())
    me = threading.get_ident()
    keys: list[Secret] = []

    def ask_and_end() -> None:
        end = time.monotonic() + 60
        while not (log.exists() and log.read_text()) and time.monotonic() < end:
            time.sleep(0.01)
        address = _lines(log, "started")[0]["listen"]
        url = f"constellation://{address}?plaintext=1&timeout=60"
        with ConstellationKeyService.from_url(url) as client:
            keys.append(client.get_data_key(ZERO_ID, 32))
        signal.pthread_kill(me, signal.SIGHUP)
        while not _lines(log, "reloaded") and time.monotonic() < end:
            time.sleep(0.01)
        signal.pthread_kill(me, signal.SIGTERM)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    asking = threading.Thread(target=ask_and_end)
    # The signals must find the mask of the command, or a test would end the whole run.
    with blocked(signal.SIGTERM, signal.SIGHUP):
        asking.start()
        command = ["keyservice", "--master-secret", str(secret), "--listen", "127.0.0.1:0"]
        result = CliRunner().invoke(main, [*command, "--plaintext", "--audit-log", str(log)])
        asking.join(60)
    assert result.exit_code == 0, result.output
    assert keys == [Secret(ZERO_KEY)]
    assert before == signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert 1 == len(_lines(log, "stopped"))


@contextlib.contextmanager
def blocked(*signals: signal.Signals) -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- what is refused ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "all three"),
        (("--plaintext",), "one of --master-secret and --key-service"),
        (("--key-service", "kms://cluster-kms?key=SECRET&salt=SECRET"), "--plaintext is without"),
        (("--plaintext", "--key-service", "kms://cluster-kms?key=SECRET"), "command line"),
        (("--plaintext", "--certificate", "c.pem", "--master-secret", "x"), "absent"),
        (("--certificate", "c.pem", "--key", "k.pem", "--master-secret", "x"), "all three"),
        (("--plaintext", "--master-secret", "FILE", "--rate", "0"), "above 0"),
        (("--plaintext", "--master-secret", "FILE", "--listen", "nowhere"), "listen"),
        (("--plaintext", "--master-secret", "FILE", "--policy", "/none"), "policy file"),
        (("--plaintext", "--master-secret", "FILE", "--audit-log", "/"), "audit log"),
        (("--plaintext", "--master-secret", "/none"), "master secret"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    (tmp_path / "secret.json").write_text(master_secret_json())
    given = [word.replace("FILE", str(tmp_path / "secret.json")) for word in words]
    result = CliRunner().invoke(main, ["keyservice", *given])
    assert result.exit_code != 0
    assert told in result.output
    assert "SECRET" not in result.output


# --- commands that ask ---


def test_a_volume_is_formatted_and_opened_with_keys_of_a_server(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    with running(tmp_path, keys=zero_keys()) as here:
        common = [str(image), "--volume-id", "vol-1", "--key-service", here.url(timeout="60")]
        for verb in ("format", "verify"):
            result = CliRunner().invoke(main, ["luks", verb, *common])
            assert result.exit_code == 0, result.output
        asked = {line["id"] for line in here.lines()}
    assert asked == {"cloudcrypt/v1/vol-1"}
    # Offline, it is the same key as that of the master secret.
    secret = tmp_path / "secret.json"
    secret.write_text(master_secret_json())
    words = ["luks", "verify", str(image), "--volume-id", "vol-1", "--master-secret", str(secret)]
    assert CliRunner().invoke(main, words).exit_code == 0


def test_a_key_service_that_denies_is_exit_code_4(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(24 << 20)
    (tmp_path / "policy.json").write_text('{"callers": {}}')
    with running(tmp_path, policy=tmp_path / "policy.json") as here:
        words = [str(image), "--volume-id", "v", "--key-service", here.url(), "--json"]
        result = CliRunner().invoke(main, ["luks", "format", *words])
    assert (4, "KeyDenied") == (result.exit_code, json.loads(result.stderr)["error"]["type"])


def test_the_environment_may_name_the_key_service(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        environment = {"CLOUDCRYPT_KEY_SERVICE": here.url(timeout="60")}
        words = ["--volume-id", "v", "--policy", "constellation", "--uuid", ZERO_ID]
        reading, writing = os.pipe()
        result = CliRunner().invoke(
            main, ["luks", "passphrase", *words, "--output-fd", str(writing)], env=environment
        )
        assert result.exit_code == 0, result.output
        assert os.read(reading, 64) == ZERO_KEY
        for fd in (reading, writing):
            os.close(fd)


def test_a_command_without_keys_says_what_is_needed() -> None:
    result = CliRunner().invoke(main, ["luks", "verify", "disk.img", "--volume-id", "v"])
    assert result.exit_code == 2
    assert "one of --master-secret and --key-service" in result.output


def test_the_command_line_does_not_load_grpc_until_it_is_needed(tmp_path: Path) -> None:
    code = "import cloudcrypt.cli, sys; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0
