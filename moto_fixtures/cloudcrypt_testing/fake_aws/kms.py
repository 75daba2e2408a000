"""What KMS checks and moto does not: states and kinds of keys, and which key a blob is of.

moto encrypts with AES-GCM and the encryption context as associated data, as KMS does. It also
encrypts and decrypts by keys that are disabled or about to be deleted, and by asymmetric ones; its
answer is ``AccessDeniedException`` where a blob is of another key than the one that was asked for;
and it does not say which key material is the current one, which changes with each rotation, nor the
usage of a key that was made without one.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from moto.kms.models import kms_backends
from moto.kms.utils import KEY_ID_LEN

from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.world.layer import Answer

JSON_HEADERS: Final = [("Content-Type", "application/x-amz-json-1.1")]
_USES: Final = frozenset({"Decrypt", "Encrypt", "GenerateDataKey"})
_USAGE: Final = "ENCRYPT_DECRYPT"
_backends: Final[Any] = kms_backends  # has no types


def refused(account: str, region: str, action: str, body: bytes) -> EC2Error | None:
    """Return why KMS refuses a request that moto would take; None if it does not, or moto does."""
    if action not in _USES:
        return None
    asked: Mapping[str, Any] = json.loads(body or b"{}")
    backend = _backends[account][region]
    key = _key(backend, str(asked.get("KeyId") or ""))
    blob = _blob_key(backend, asked) if action == "Decrypt" else key
    if blob is None and action == "Decrypt":
        return EC2Error("InvalidCiphertextException", "")
    used = key or blob
    if used is None:
        return None  # moto says that it is not there
    unusable = _unusable(used, asked)
    if unusable is None and key is not None and blob is not key:
        message = (
            "The key ID in the request does not identify a CMK that can perform this operation."
        )
        return EC2Error("IncorrectKeyException", message)
    return unusable


def throttled() -> EC2Error:
    """Too many requests."""
    return EC2Error("ThrottlingException", "You have exceeded the rate at which you may call KMS.")


def completed(account: str, region: str, answer: Answer) -> Answer:
    """Return moto's answer to DescribeKey with what it does not say."""
    document = json.loads(answer.body)
    metadata = document["KeyMetadata"]
    metadata["KeyUsage"] = metadata.get("KeyUsage") or _USAGE
    if metadata["KeySpec"] == "SYMMETRIC_DEFAULT":
        key = _key(_backends[account][region], metadata["KeyId"])
        material = f"{key.id} {len(key.rotations)}".encode()
        metadata["CurrentKeyMaterialId"] = hashlib.sha256(material).hexdigest()
    headers = [pair for pair in answer.headers if pair[0].lower() != "content-length"]
    return Answer(answer.status, headers, json.dumps(document).encode())


def _unusable(key: Any, asked: Mapping[str, Any]) -> EC2Error | None:  # noqa: ANN401 - moto's
    if key.key_state == "Disabled":
        return EC2Error("DisabledException", f"{key.arn} is disabled.")
    if key.key_state != "Enabled":
        state = "pending deletion" if key.key_state == "PendingDeletion" else key.key_state
        return EC2Error("KMSInvalidStateException", f"{key.arn} is {state}.")
    algorithm = asked.get("EncryptionAlgorithm", "SYMMETRIC_DEFAULT")
    usage = key.key_usage or _USAGE
    if usage != _USAGE or algorithm not in (key.encryption_algorithms or ()):
        message = f"{key.arn} key usage is {usage} which is not valid for this operation."
        return EC2Error("InvalidKeyUsageException", message)
    return None


def _key(backend: Any, name: str) -> Any:  # noqa: ANN401 - moto's
    """Return the key of an id, an alias, or the ARN of either."""
    if "alias/" in name:
        name = backend.get_key_id_from_alias(backend.get_alias_name(name)) or ""
    return backend.keys.get(backend.get_key_id(name))


def _blob_key(backend: Any, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - moto's
    """Return the key that a blob says it is of; moto puts its id in front."""
    try:
        blob = base64.b64decode(str(asked.get("CiphertextBlob") or ""), validate=True)
        return backend.keys.get(blob[:KEY_ID_LEN].decode("ascii"))
    except (binascii.Error, UnicodeDecodeError):
        return None
