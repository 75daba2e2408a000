"""Key Vault and Managed HSM: keys with versions, and what is asked of them."""

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast

import attrs
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cloudcrypt_testing.fake_azure_keys import ciphers
from cloudcrypt_testing.fake_azure_keys.errors import ServiceError, json_answer
from cloudcrypt_testing.fake_azure_keys.incoming import Incoming
from cloudcrypt_testing.fake_azure_keys.tokens import TENANT, Tokens
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.layer import Answer

_PAGE: Final = 25  # versions on one page, as the service has it
_BEYOND_ITS_TIME: Final = frozenset({"decrypt", "unwrapkey", "verify"})
"""What a key does that is not yet, or not any more, in force ("About keys": date-time controlled
operations)."""
_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "oct": ("encrypt", "decrypt", "wrapKey", "unwrapKey"),
    "RSA": ("encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"),
    "EC": ("sign", "verify"),
}


@attrs.define
class KeyVersion:
    """One version of a key; its attributes may be changed at any time."""

    version: str
    kind: str
    material: ciphers.Material = attrs.field(repr=False)
    created: datetime
    operations: tuple[str, ...]
    enabled: bool = True
    not_before: datetime | None = None
    expires: datetime | None = None

    def public(self) -> dict[str, object]:
        """Return what of the key everybody may see, as a JSON Web Key without its id."""
        about: dict[str, object] = {"kty": self.kind, "key_ops": list(self.operations)}
        match self.material:
            case rsa.RSAPrivateKey():
                numbers = self.material.public_key().public_numbers()
                about |= {"n": _number(numbers.n), "e": _number(numbers.e)}
            case ec.EllipticCurvePrivateKey():
                point = self.material.public_key().public_numbers()
                size = self.material.curve.key_size // 8
                about |= {"crv": f"P-{self.material.curve.key_size}"}
                about |= {"x": _number(point.x, size), "y": _number(point.y, size)}
            case _:
                pass
        return about

    def attributes(self) -> dict[str, object]:
        """Return the attributes, times in seconds since 1970."""
        times = {"nbf": self.not_before, "exp": self.expires, "created": self.created}
        times["updated"] = self.created
        about = {name: int(time.timestamp()) for name, time in times.items() if time is not None}
        return {"enabled": self.enabled, "recoveryLevel": "Recoverable+Purgeable", **about}


@attrs.define
class Key:
    """A key: its versions, oldest first."""

    versions: list[KeyVersion] = attrs.field(factory=list[KeyVersion])
    is_deleted: bool = False
    """Soft-deleted: it is not found, and can be recovered."""


class Vaults:
    """All vaults and HSMs. Not thread-safe: whoever owns them holds a lock."""

    def __init__(self, clock: FakeClock, tokens: Tokens) -> None:
        """Begin without keys."""
        self._clock = clock
        self._tokens = tokens
        self.keys: dict[tuple[str, str], Key] = {}
        self.resource: str | None = None
        """What the challenges say that a token is to be for; None is the truth."""

    def key(self, host: str, name: str) -> Key:
        """Return a key, deleted or not; ``KeyError`` if there is none."""
        return self.keys[host.lower(), name.lower()]

    def create(self, host: str, name: str, kind: str, curve: str = "P-256") -> KeyVersion:
        """Add a version to a key, which begins with it if there is none of this name."""
        version = KeyVersion(
            secrets.token_hex(16),
            kind,
            ciphers.new_material(kind, curve),
            self._clock.now(),
            _OPERATIONS[kind.removesuffix("-HSM")],
        )
        self.keys.setdefault((host.lower(), name.lower()), Key()).versions.append(version)
        return version

    def answer(self, incoming: Incoming) -> Answer:
        """Answer one request."""
        if not self._tokens.is_good(incoming.headers, f"https://{incoming.domain}"):
            raise _challenge(self.resource or f"https://{incoming.domain}")
        if "api-version" not in incoming.query:
            raise ServiceError(400, "BadParameter", "api-version must be specified")
        if not incoming.action:
            raise ServiceError(404, "NotFound", "There is no such operation.")
        name = incoming.path[1]
        key = self.keys.get((incoming.host, name.lower()))
        if key is None or key.is_deleted:
            raise _not_found(name)
        if incoming.action == "versions":
            return _listed(incoming, key)
        if incoming.action == "rotate":
            newest = key.versions[-1]
            curve = str(newest.public().get("crv", ""))
            return _described(incoming, self.create(incoming.host, name, newest.kind, curve))
        version = _version(key, name, incoming.path[2] if len(incoming.path) > 2 else "")
        if incoming.action == "get":
            return _described(incoming, version)
        return self._used(incoming, version)

    def _used(self, incoming: Incoming, version: KeyVersion) -> Answer:
        """Do with a key what is asked for, if it may."""
        operation, run = ciphers.OPERATIONS[incoming.action]
        if not version.enabled:
            text = f"Operation {operation} is not allowed on a disabled key."
            raise ServiceError(403, "KeyDisabled", text)
        if not self._is_in_force(version) and incoming.action not in _BEYOND_ITS_TIME:
            text = f"Operation {operation} is not allowed on an expired or not yet valid key."
            raise ServiceError(403, "Forbidden", text)
        if operation not in version.operations:
            text = f"Operation {operation} is not permitted on this key."
            raise ServiceError(403, "KeyOperationForbidden", text)
        fields = _fields(incoming.body)
        value = fields.pop("value", b"")
        algorithm = fields.pop("alg", b"").decode()
        result = run(version.material, algorithm, value, fields)
        return json_answer(
            {"kid": _id(incoming, version)}
            | {
                name: base64url(part) if isinstance(part, bytes) else part
                for name, part in result.items()
            }
        )

    def _is_in_force(self, version: KeyVersion) -> bool:
        now = self._clock.now()
        has_begun = version.not_before is None or version.not_before <= now
        return has_begun and (version.expires is None or now < version.expires)


def base64url(value: bytes) -> str:
    """Return ``value`` as vaults write bytes."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _fields(body: bytes) -> dict[str, bytes]:
    """Return what a body has: the algorithm as it is, everything else as bytes."""
    try:
        document = cast("dict[str, Any]", json.loads(body))
        return {
            name: text.encode()
            if name == "alg"
            else base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            for name, text in document.items()
            if text is not None
        }
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise ciphers.incorrect() from None


def _version(key: Key, name: str, version: str) -> KeyVersion:
    if not version:
        return key.versions[-1]
    found = next((one for one in key.versions if one.version == version), None)
    if found is None:
        raise _not_found(f"{name}/{version}")
    return found


def _described(incoming: Incoming, version: KeyVersion) -> Answer:
    key = {"kid": _id(incoming, version), **version.public()}
    return json_answer({"key": key, "attributes": version.attributes()})


def _listed(incoming: Incoming, key: Key) -> Answer:
    start = int(incoming.query.get("$skiptoken", "0"))
    some = key.versions[start : start + _PAGE]
    items = [{"kid": _id(incoming, one), "attributes": one.attributes()} for one in some]
    link = None
    if start + _PAGE < len(key.versions):
        base = f"https://{incoming.host}/{'/'.join(incoming.path)}"
        version = incoming.query["api-version"]
        link = f"{base}?api-version={version}&$skiptoken={start + _PAGE}"
    return json_answer({"value": items, "nextLink": link})


def _id(incoming: Incoming, version: KeyVersion) -> str:
    return f"https://{incoming.host}/keys/{incoming.path[1]}/{version.version}"


def _not_found(name: str) -> ServiceError:
    text = (
        f"A key with (name/id) {name} was not found in this key vault. If you recently deleted "
        "this key you may be able to recover it using the correct recovery command."
    )
    return ServiceError(404, "KeyNotFound", text)


def _challenge(resource: str) -> ServiceError:
    who = f"https://login.microsoftonline.com/{TENANT}"
    header = f'Bearer authorization="{who}", resource="{resource}"'
    text = "AKV10000: Request is missing a Bearer or PoP token."
    return ServiceError(401, "Unauthorized", text, headers={"WWW-Authenticate": header})


def _number(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
