"""What keys do: the algorithms of a vault, on real keys."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cloudcrypt_testing.fake_azure_keys.errors import ServiceError

Material = bytes | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_IV: Final = 12
_TAG: Final = 16
_P256: Final = 32  # bytes of either number of a signature
_SHA256: Final = 32
_DIGEST: Final = utils.Prehashed(hashes.SHA256())


def new_material(kind: str, curve: str) -> Material:
    """Return a new key of this ``kind``.

    Raises:
        ServiceError: there is no such kind.
    """
    curves: Mapping[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
    match kind.removesuffix("-HSM"):
        case "oct":
            return os.urandom(32)
        case "RSA":
            return rsa.generate_private_key(65537, 2048)
        case "EC" if curve in curves:
            return ec.generate_private_key(curves[curve])
        case _:
            raise incorrect()


def incorrect() -> ServiceError:
    """Return what a vault says of everything that it cannot compute."""
    return ServiceError(400, "BadParameter", "The parameter is incorrect.\r\n")


def encrypt(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Encrypt ``value``, and return what the answer has beside the key's id."""
    if not isinstance(key, bytes) or algorithm != "A256GCM":
        raise incorrect()
    iv, data = os.urandom(_IV), more.get("aad", b"")
    sealed = AESGCM(key).encrypt(iv, value, data)
    return {"value": sealed[:-_TAG], "iv": iv, "tag": sealed[-_TAG:], "aad": data}


def decrypt(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Decrypt ``value``."""
    if not isinstance(key, bytes) or algorithm != "A256GCM":
        raise incorrect()
    iv, tag, data = more.get("iv", b""), more.get("tag", b""), more.get("aad", b"")
    if len(iv) != _IV or len(tag) != _TAG:
        raise incorrect()
    try:
        return {"value": AESGCM(key).decrypt(iv, value + tag, data)}
    except InvalidTag:
        raise incorrect() from None


def wrap(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Wrap ``value``."""
    del more
    if not isinstance(key, rsa.RSAPrivateKey) or algorithm != "RSA-OAEP-256":
        raise incorrect()
    try:
        return {"value": key.public_key().encrypt(value, _OAEP)}
    except ValueError:
        raise incorrect() from None


def unwrap(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Unwrap ``value``."""
    del more
    if not isinstance(key, rsa.RSAPrivateKey) or algorithm != "RSA-OAEP-256":
        raise incorrect()
    try:
        return {"value": key.decrypt(value, _OAEP)}
    except ValueError:
        raise incorrect() from None


def sign(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Sign the digest ``value``."""
    del more
    if len(value) != _SHA256:
        raise incorrect()
    if isinstance(key, rsa.RSAPrivateKey) and algorithm == "PS256":
        return {"value": key.sign(value, _PSS, _DIGEST)}
    if isinstance(key, ec.EllipticCurvePrivateKey) and _curve(key) == algorithm:
        r, s = utils.decode_dss_signature(key.sign(value, ec.ECDSA(_DIGEST)))
        return {"value": r.to_bytes(_P256, "big") + s.to_bytes(_P256, "big")}
    raise incorrect()


def verify(key: Material, algorithm: str, value: bytes, more: Mapping[str, bytes]) -> Any:  # noqa: ANN401 - JSON
    """Verify a signature, which is ``value``, of the digest among ``more``."""
    digest = more.get("digest", b"")
    try:
        if isinstance(key, rsa.RSAPrivateKey) and algorithm == "PS256":
            key.public_key().verify(value, digest, _PSS, _DIGEST)
        elif isinstance(key, ec.EllipticCurvePrivateKey) and _curve(key) == algorithm:
            r, s = (int.from_bytes(half, "big") for half in (value[:_P256], value[_P256:]))
            encoded = utils.encode_dss_signature(r, s)
            key.public_key().verify(encoded, digest, ec.ECDSA(_DIGEST))
        else:
            raise incorrect()
    except InvalidSignature:
        return {"value": False}
    return {"value": True}


OPERATIONS: Final[Mapping[str, tuple[str, Callable[..., Any]]]] = {
    "encrypt": ("encrypt", encrypt),
    "decrypt": ("decrypt", decrypt),
    "wrapkey": ("wrapKey", wrap),
    "unwrapkey": ("unwrapKey", unwrap),
    "sign": ("sign", sign),
    "verify": ("verify", verify),
}
"""What a path asks for: its name among the operations of a key, and what does it."""


def _curve(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the one algorithm of a key that is computed here."""
    return "ES256" if key.curve.name == "secp256r1" else ""
