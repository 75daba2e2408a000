"""Key services on loopback: certificates made for the occasion, servers, and raw clients."""

import base64
import contextlib
import json
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import grpc  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.keyservice.audit import AuditLog
from cloudcrypt.keyservice.certificates import TlsFiles
from cloudcrypt.keyservice.server import KeyServer

ZERO = bytes(32)
ZERO_ID = "00000000-0000-0000-0000-000000000000"
ZERO_KEY = bytes.fromhex("2b5c829f691bfd4232f8aac464bccc07e605c7c8e82cbca09837e86d0b6d0665")
GET = "/kms.API/GetDataKey"

# Master secret, salt, id and key: HKDF-SHA256(secret, salt, "key-" + id, 32).
VECTORS = [
    (bytes(32), bytes(32), ZERO_ID, ZERO_KEY),
    (
        b"\xff" * 32,
        b"\xff" * 32,
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        bytes.fromhex("1484aa39d3415e906e07940ff215d8b1eee705d3027dba93306af4abff4f70be"),
    ),
    (
        bytes(range(0x20)),
        bytes(range(0x20, 0x40)),
        "clusterID",
        bytes.fromhex("128c164378fe8767f998fbdfe4b4d6463ec5ae1b664ea5999bc27417607ae9b6"),
    ),
    (
        bytes(range(0x40, 0x60)),
        bytes(range(0x60, 0x80)),
        "measurementSecret",
        bytes.fromhex("4790578891f3fe6cc22cb661ecdc1b7e33121b1287546a52ba33a9136719c213"),
    ),
]


def master_secret_json(key: bytes = ZERO, salt: bytes = ZERO) -> str:
    fields = {"key": base64.b64encode(key).decode(), "salt": base64.b64encode(salt).decode()}
    return json.dumps(fields)


def master_secret_uri(key: bytes = ZERO, salt: bytes = ZERO) -> str:
    key64, salt64 = (base64.urlsafe_b64encode(value).decode() for value in (key, salt))
    return f"kms://cluster-kms?key={key64}&salt={salt64}"


def zero_keys() -> MasterSecretKeyService:
    return MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(32)))


class Authority:
    """A certificate authority whose certificates are files of one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        builder = _builder(self._name, self._name, self._key)
        certificate = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).sign(self._key, hashes.SHA256())
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(
        self, name: str, *, uris: Iterable[str] = (), dns: Iterable[str] = (), days: int = 1
    ) -> tuple[Path, Path]:
        """Return the files of a certificate and its key; files of that name are replaced."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.IPAddress(ip_address("127.0.0.1"))]
        names += [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName(each) for each in dns]
        certificate = (
            _builder(_common_name(name), self._name, key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def server(self) -> TlsFiles:
        """Return what a server on loopback needs for callers of this authority."""
        return TlsFiles(self.file, *self.issue("server", dns=["localhost"]))


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
    )


@attrs.frozen
class Running:
    """A server that runs, its authority and its audit log."""

    server: KeyServer
    authority: Authority | None
    log: Path

    def url(self, name: str = "node-1", **parameters: str) -> str:
        """Return the URL for a client that has the certificate of ``name``."""
        if self.authority is None:
            given = {"plaintext": "1"}
        else:
            certificate, key = self.authority.issue(name, uris=[f"spiffe://test/{name}"])
            given = {
                "ca": str(self.authority.file),
                "certificate": str(certificate),
                "key": str(key),
            }
        query = "&".join(f"{key}={value}" for key, value in {**given, **parameters}.items())
        return f"constellation://{self.server.address}?{query}"

    def lines(self, event: str = "GetDataKey") -> list[dict[str, Any]]:
        """Return the lines of the audit log about an event."""
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] == event]


@contextlib.contextmanager
def running(
    folder: Path, *, secure: bool = True, keys: Any = None, listen: str = "", **options: Any
) -> Generator[Running]:
    """Yield a server on loopback."""
    authority = Authority(folder) if secure else None
    log = folder / "audit.log"
    with contextlib.closing(AuditLog(log)) as audit:
        server = KeyServer(
            zero_keys() if keys is None else keys,
            listen or "127.0.0.1:0",
            tls=None if authority is None else authority.server(),
            audit=audit,
            **options,
        )
        with server:
            yield Running(server, authority, log)


Answer = Callable[[bytes, Any], bytes]


def giving(answer: bytes) -> Answer:
    """Return what a foreign server does that always gives the same answer."""

    def give(_data: bytes, _context: object) -> bytes:
        return answer

    return give


@contextlib.contextmanager
def foreign_server(answer: Answer, *, port: int = 0, workers: int = 4) -> Generator[str]:
    """Yield the address of a server that is not ours; ``answer`` gets bytes and a context."""
    with ThreadPoolExecutor(workers) as pool:
        server = grpc.server(pool)
        method = grpc.unary_unary_rpc_method_handler(answer)
        handler = grpc.method_handlers_generic_handler("kms.API", {"GetDataKey": method})
        server.add_generic_rpc_handlers((handler,))
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield f"127.0.0.1:{bound}"
        finally:
            server.stop(0).wait()


@contextlib.contextmanager
def raw_channel(running_: Running, name: str | None = "node-1") -> Generator[Any]:
    """Yield a channel of grpcio itself, with the certificate of ``name`` or without."""
    authority = running_.authority
    if authority is None:
        channel = grpc.insecure_channel(running_.server.address)
    else:
        pair: tuple[bytes | None, bytes | None] = (None, None)
        if name is not None:
            certificate, key = authority.issue(name, uris=[f"spiffe://test/{name}"])
            pair = key.read_bytes(), certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes(), *pair)
        channel = grpc.secure_channel(running_.server.address, credentials)
    try:
        yield channel
    finally:
        channel.close()
