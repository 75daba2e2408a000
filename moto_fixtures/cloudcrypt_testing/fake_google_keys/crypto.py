"""The methods of Cloud KMS that use a key: encrypt, decrypt, and get."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import google_crc32c

from cloudcrypt_testing.fake_google_keys import errors
from cloudcrypt_testing.fake_google_keys.cloud import Cloud
from cloudcrypt_testing.fake_google_keys.incoming import Incoming
from cloudcrypt_testing.fake_google_keys.keys import ENCRYPT_DECRYPT, Key

_VERSION: Final = "/cryptoKeyVersions/"
_LIBRARY: Final[Any] = google_crc32c  # has no whole types
PLAINTEXT_MAX: Final = 64 * 1024
"""Most bytes of a plaintext, and of what is authenticated along ("EncryptRequest")."""


def encrypt(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Encrypt with the primary version, or with the version that is named."""
    name, _, version = incoming.in_path["name"].partition(_VERSION)
    key = _key(cloud, name, "cloudkms.cryptoKeyVersions.useToEncrypt")
    body = incoming.body or {}
    plaintext, context = _field(body, "plaintext"), _field(body, "additionalAuthenticatedData")
    if not plaintext or max(len(plaintext), len(context)) > PLAINTEXT_MAX:
        message = f"plaintext must have 1 to {PLAINTEXT_MAX} bytes."
        raise errors.kms("INVALID_ARGUMENT", message)
    used, ciphertext = key.encrypt(int(version) if version else None, plaintext, context)
    return {
        "name": used,
        "ciphertext": base64.b64encode(ciphertext).decode(),
        "ciphertextCrc32c": _checksum(ciphertext),
        "verifiedPlaintextCrc32c": "plaintextCrc32c" in body,
        "verifiedAdditionalAuthenticatedDataCrc32c": "additionalAuthenticatedDataCrc32c" in body,
        "protectionLevel": "SOFTWARE",
    }


def decrypt(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Decrypt with the version that encrypted."""
    key = _key(cloud, incoming.in_path["name"], "cloudkms.cryptoKeyVersions.useToDecrypt")
    body = incoming.body or {}
    context = _field(body, "additionalAuthenticatedData")
    plaintext, is_primary = key.decrypt(_field(body, "ciphertext"), context)
    return {
        "plaintext": base64.b64encode(plaintext).decode(),
        "plaintextCrc32c": _checksum(plaintext),
        "usedPrimary": is_primary,
        "protectionLevel": "SOFTWARE",
    }


def get(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Describe a key, and its primary version."""
    name = incoming.in_path["name"]
    cloud.check(cloud.kms_denied("cloudkms.cryptoKeys.get", name))
    return _found(cloud, name).describe()


def _key(cloud: Cloud, name: str, permission: str) -> Key:
    cloud.check(cloud.kms_denied(permission, name))
    key = _found(cloud, name)
    if key.purpose != ENCRYPT_DECRYPT:
        message = f"{name} is not of purpose {ENCRYPT_DECRYPT}, but {key.purpose}."
        raise errors.kms("FAILED_PRECONDITION", message)
    return key


def _found(cloud: Cloud, name: str) -> Key:
    key = cloud.keys.get(name)
    if key is None:
        raise errors.kms("NOT_FOUND", f"CryptoKey {name} not found.")
    return key


def _field(body: Mapping[str, Any], name: str) -> bytes:
    """Return bytes of a request, which have arrived as they were sent."""
    value = base64.b64decode(body.get(name, ""), altchars=b"-_")
    told = body.get(f"{name}Crc32c")
    if told is not None and told != _checksum(value):
        raise errors.bad_checksum(_snake(name))
    return value


def _snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name)


def _checksum(value: bytes) -> str:
    return str(_LIBRARY.value(value))
