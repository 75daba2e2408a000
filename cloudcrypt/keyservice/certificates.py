"""Certificates and keys of both ends, read from PEM files and checked before they are used."""

from pathlib import Path

import attrs
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificates

from cloudcrypt.errors import CloudcryptError, InvalidRequest

_FILE_MAX = 1024 * 1024


@attrs.frozen
class Pem:
    """What gRPC is given: a chain and its key, and the authorities that the other end is held to.

    The key is no `Secret`: gRPC takes ``bytes`` and copies them.
    """

    ca: bytes
    certificate: bytes | None = None
    key: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class TlsFiles:
    """Where the certificates are: PEM files.

    ``ca`` has the authorities that the other end's certificate must come from. A server has a
    ``certificate``, with its chain, and the ``key`` of it; a client may.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        files = (self.ca, self.certificate, self.key)
        return tuple(file for file in files if file is not None)

    def load(self) -> Pem:
        """Return what the files hold.

        Raises:
            InvalidRequest: one cannot be read or is not what it should be, or the key is not that
                of the certificate. No content is repeated.
        """
        ca = _read(self.ca)
        _check_certificates(self.ca, ca)
        if self.certificate is None and self.key is None:
            return Pem(ca)
        if self.certificate is None or self.key is None:
            raise InvalidRequest("certificate", None, "given together with its key")
        certificate, key = _read(self.certificate), _read(self.key)
        if _check_certificates(self.certificate, certificate) != _public_key(self.key, key):
            raise InvalidRequest("key", str(self.key), "the private key of the certificate")
        return Pem(ca, certificate, key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_MAX)
    except OSError as error:
        rule = f"a readable file: {error.strerror or 'it is not'}"
        raise InvalidRequest("PEM file", str(path), rule) from error
    except ValueError as error:  # a NUL byte
        raise InvalidRequest("PEM file", str(path), "a path") from error


def _check_certificates(path: Path, pem: bytes) -> bytes:
    """Return the public key of the first certificate."""
    try:
        return _encoded(load_pem_x509_certificates(pem)[0].public_key())
    except ValueError:
        refusal = InvalidRequest("certificate", str(path), "certificates in PEM")
    raise refusal


def _public_key(path: Path, pem: bytes) -> bytes:
    refusal: CloudcryptError
    try:
        return _encoded(load_pem_private_key(pem, password=None).public_key())
    except TypeError:
        refusal = InvalidRequest("key", str(path), "a private key that is not encrypted")
    except ValueError:
        refusal = InvalidRequest("key", str(path), "a private key in PEM")
    raise refusal


def _encoded(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
