"""What changes while server and client run: certificates, authorities, policy, the log."""

import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from cloudcrypt.errors import CloudcryptError, InvalidRequest, KeyDenied, KeyServiceUnavailable
from cloudcrypt.keyservice.certificates import TlsFiles
from cloudcrypt.keyservice.client import ConstellationKeyService
from cloudcrypt.keyservice.server import KeyServer
from cloudcrypt.keyservice.watching import LOOK, Watched
from cloudcrypt.secret import Secret
from tests.unit.clocks import FakeClock
from tests.unit.key_servers import ZERO_ID, ZERO_KEY, Authority, Running, running, zero_keys


def served_certificate(here: Running) -> str:
    """Return the certificate that the server shows in a handshake of its own."""
    host, port = here.server.address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert here.authority is not None
    context.load_cert_chain(*here.authority.issue("looker"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain) as secure,
    ):
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"")


def until(condition: Callable[[], bool]) -> None:
    """Look until it holds; the server looks at its files once a second."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came true"


def ask(here: Running, name: str = "node-1", **parameters: str) -> Secret:
    with ConstellationKeyService.from_url(here.url(name, **parameters)) as client:
        return client.get_data_key(ZERO_ID, 32)


# --- certificates of the server ---


def test_a_renewed_certificate_is_shown_at_the_next_handshake(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        assert here.authority is not None
        first = (tmp_path / "server.crt").read_text()
        assert first == served_certificate(here)
        here.authority.issue("server", dns=["localhost"])
        second = (tmp_path / "server.crt").read_text()
        assert first != second
        until(lambda: served_certificate(here) == second)
        assert Secret(ZERO_KEY) == ask(here)
        assert "certificates" in {line["what"] for line in here.lines("reloaded")}


def test_a_reload_that_is_asked_for_is_done_at_once(tmp_path: Path) -> None:
    with running(tmp_path, clock=FakeClock()) as here:  # no second passes
        assert here.authority is not None
        here.authority.issue("server", dns=["localhost"])
        assert served_certificate(here) != (tmp_path / "server.crt").read_text()
        here.server.reload()
        assert served_certificate(here) == (tmp_path / "server.crt").read_text()


def test_a_half_written_pair_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    with running(tmp_path, clock=FakeClock()) as here:
        assert here.authority is not None
        first = served_certificate(here)
        kept = (tmp_path / "server.key").read_bytes()
        here.authority.issue("server", dns=["localhost"])
        renewed = (tmp_path / "server.key").read_bytes()
        (tmp_path / "server.key").write_bytes(kept)
        here.server.reload()
        assert first == served_certificate(here)
        (failure,) = here.lines("reload failed")
        assert "the private key of the certificate" in failure["reason"]
        (tmp_path / "server.key").write_bytes(renewed)
        here.server.reload()
        assert first != served_certificate(here)


def test_callers_of_a_new_authority_get_in_and_those_of_the_old_do_not(tmp_path: Path) -> None:
    with running(tmp_path, clock=FakeClock()) as here:
        assert here.authority is not None
        other = Authority(tmp_path, "another")
        certificate, key = other.issue("stranger")
        theirs = {"certificate": str(certificate), "key": str(key), "timeout": "2"}
        with pytest.raises(KeyServiceUnavailable):
            ask(here, **theirs)
        ca = tmp_path / "authority.pem"
        shutil.copy(ca, tmp_path / "authority-of-the-server.pem")
        ca.write_bytes(other.file.read_bytes())
        here.server.reload()
        trusted = str(tmp_path / "authority-of-the-server.pem")
        assert Secret(ZERO_KEY) == ask(here, ca=trusted, certificate=str(certificate), key=str(key))
        with pytest.raises(KeyServiceUnavailable):
            ask(here, ca=trusted, timeout="2")


# --- policy ---


def test_a_changed_policy_counts_for_connections_that_exist(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[callers]\n"*" = ["@volumes"]\n')
    with (
        running(tmp_path, policy=policy) as here,
        ConstellationKeyService.from_url(here.url()) as client,
    ):
        assert Secret(ZERO_KEY) == client.get_data_key(ZERO_ID, 32)
        policy.write_text('{"callers": {"*": ["clusterID"]}}')

        def is_refused() -> bool:
            try:
                client.get_data_key(ZERO_ID, 32)
            except KeyDenied:
                return True
            return False

        until(is_refused)
        assert len(client.get_data_key("clusterID", 32)) == 32


@pytest.mark.parametrize("content", [None, "", "[callers", '{"callers": {"me": ["*"]}}'])
def test_a_policy_that_is_gone_or_bad_leaves_the_old_one_in_force(
    tmp_path: Path, content: str | None
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[callers]\n"*" = ["@volumes"]\n')
    with running(tmp_path, policy=policy) as here:
        if content is None:
            policy.unlink()
        else:
            policy.write_text(content)
        here.server.reload()
        assert Secret(ZERO_KEY) == ask(here)
        assert ["policy"] == [line["what"] for line in here.lines("reload failed")]


def test_a_bad_policy_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="policy file"), running(tmp_path, policy=tmp_path):
        pass


# --- the log ---


def test_a_log_that_was_renamed_is_begun_anew(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        here.log.rename(tmp_path / "audit.log.1")
        here.server.reload()
        ask(here)
        assert 1 == len(here.lines())
    assert "GetDataKey" not in (tmp_path / "audit.log.1").read_text()


def test_a_log_that_cannot_be_opened_anew_goes_on_where_it_was(tmp_path: Path) -> None:
    with running(tmp_path) as here:
        here.log.rename(tmp_path / "audit.log.1")
        here.log.mkdir()
        here.server.reload()
        ask(here)
    text = (tmp_path / "audit.log.1").read_text()
    assert all(word in text for word in ("GetDataKey", "reload failed", "audit log"))


# --- certificates of the client ---


def test_a_client_takes_up_a_renewed_certificate(tmp_path: Path) -> None:
    clock = FakeClock()
    with running(tmp_path) as here:
        assert here.authority is not None
        url = here.url("node-1")
        client = ConstellationKeyService.from_url(url)
        watched = client._connections._tls
        assert watched is not None
        watched._clock, watched._next = clock, clock.monotonic()
        with client:
            client.get_data_key(ZERO_ID, 32)
            here.authority.issue("node-1", uris=["spiffe://test/renewed"])
            clock.passed += LOOK
            client.get_data_key(ZERO_ID, 32)
    callers = [line["caller"] for line in here.lines()]
    assert callers == ["URI:spiffe://test/node-1", "URI:spiffe://test/renewed"]


def test_calls_in_flight_end_on_the_connection_that_they_began_on(tmp_path: Path) -> None:
    clock = FakeClock()
    entered, go_on = threading.Semaphore(0), threading.Event()

    class Slow:
        def get_data_key(self, key_id: str, length: int) -> Secret:
            entered.release()
            assert go_on.wait(60)
            return zero_keys().get_data_key(key_id, length)

    with running(tmp_path, keys=Slow()) as here, ThreadPoolExecutor(3) as pool:
        assert here.authority is not None
        with ConstellationKeyService.from_url(here.url("node-1", timeout="60")) as client:
            watched = client._connections._tls
            assert watched is not None
            watched._clock, watched._next = clock, clock.monotonic()
            calls = [pool.submit(client.get_data_key, ZERO_ID, 32) for _ in range(2)]
            for _ in calls:
                assert entered.acquire(timeout=60)
            old = client._connections._connection
            assert old is not None
            here.authority.issue("node-1", uris=["spiffe://test/renewed"])
            clock.passed += LOOK
            calls.append(pool.submit(client.get_data_key, ZERO_ID, 32))
            assert entered.acquire(timeout=60)
            assert (2, True) == (old.users, old.retired)
            go_on.set()
            assert all(Secret(ZERO_KEY) == call.result(timeout=60) for call in calls)
            assert old is not client._connections._connection
            with pytest.raises(ValueError, match="closed"):
                old.call(b"", timeout=60)


# --- the watching itself ---


def test_files_are_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "file"
    file.write_text("1")
    told: list[CloudcryptError | None] = []
    watched = Watched([file], file.read_text, changed=told.append, clock=clock)
    file.write_text("22")
    clock.passed += LOOK / 2
    assert watched.current() == "1"
    clock.passed += LOOK / 2
    assert (watched.current(), told) == ("22", [None])
    clock.passed += LOOK
    assert (watched.current(), told) == ("22", [None])


def test_a_file_of_the_same_size_and_time_is_another_one(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "file"
    file.write_text("1")
    watched = Watched([file], file.read_text, clock=clock)
    (tmp_path / "new").write_text("2")
    os.utime(tmp_path / "new", ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    (tmp_path / "new").rename(file)
    clock.passed += LOOK
    assert watched.current() == "2"


def test_a_change_while_loading_is_not_missed(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "file"
    file.write_text("1")

    def load() -> str:
        text = file.read_text()
        if text == "1":
            file.write_text("22")
        return text

    watched = Watched([file], load, clock=clock)
    assert watched.current() == "1"
    clock.passed += LOOK
    assert watched.current() == "22"


# --- certificates that are none ---


@pytest.mark.parametrize("which", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [None, b"", b"SECRET", b"-----BEGIN CERTIFICATE-----\nQQ==\n"])
def test_a_file_that_is_not_what_it_should_be_is_named_and_not_repeated(
    tmp_path: Path, which: str, content: bytes | None
) -> None:
    tls = Authority(tmp_path).server()
    file = getattr(tls, which)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest) as refusal:
        tls.load()
    assert str(file) == refusal.value.value
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.__context__ is None or content is None


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    tls = Authority(tmp_path).server()
    assert tls.key is not None
    key = load_pem_private_key(tls.key.read_bytes(), None)
    sealed = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    tls.key.write_bytes(sealed)
    with pytest.raises(InvalidRequest, match="not encrypted"):
        tls.load()


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("node")
    for tls in (TlsFiles(authority.file, certificate), TlsFiles(authority.file, None, key)):
        with pytest.raises(InvalidRequest, match="together"):
            tls.load()


def test_a_path_that_is_none_and_a_server_without_a_certificate_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidRequest, match="a path"):
        TlsFiles(Path("a\0b")).load()
    with pytest.raises(InvalidRequest, match="a server has one"):
        KeyServer(zero_keys(), "127.0.0.1:0", tls=TlsFiles(Authority(tmp_path).file))


def test_the_key_is_not_in_the_repr(tmp_path: Path) -> None:
    assert "PRIVATE" not in repr(Authority(tmp_path).server().load())
