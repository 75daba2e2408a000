"""`VaultTransit`: data keys are wrapped by a key of Vault's transit secrets engine."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self, cast, final

from cloudcrypt.errors import KeyDenied, KeyServiceFailed, WrappedKeyRefused
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, WrappingKey, associated_data
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_vault._errors import Asked, unreadable
from cloudcrypt_vault._http import Http
from cloudcrypt_vault._tokens import Tokens
from cloudcrypt_vault._url import AUTH, JWT_PATH, Address, Login, parse

TYPES: Final = frozenset(
    {"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"}
)
"""The kinds of keys that encrypt with authentication and can be derived; the last is OpenBao's."""

_BLOB: Final = re.compile(rb"vault:v[1-9][0-9]{0,8}:([A-Za-z0-9+/]+={0,2})")


@final
class VaultTransit:
    """A key of a transit engine; implements `cloudcrypt.kms.KMS`. Safe for threads and forks.

    The key id is the *context* from which the engine derives the key that encrypts, so a blob under
    another id does not decrypt. That needs a key that was made with ``derived=true``: for any other
    the engine ignores the context, without a word. The key is therefore looked at before it is
    used, once, which takes the capability ``read`` on it.

    A blob is the engine's ciphertext, ``vault:v<version>:<Base64>``, in its one canonical form.
    """

    secret_parameters: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        host: str,
        mount: str,
        key: str,
        *,
        namespace: str | None = None,
        endpoint: str | None = None,
        ca: str | None = None,
        role: str | None = None,
        auth: str = AUTH,
        jwt_path: str = JWT_PATH,
        token_path: str | None = None,
        token: Secret | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: of Vault, with a port unless that is 8200.
            mount: where the engine is mounted.
            key: its name.
            namespace: of Vault Enterprise or OpenBao.
            endpoint: the base URL, if it is not HTTPS at ``host``.
            ca: a PEM file with the authorities of Vault's certificate; None for the public ones.
            role: to log in as, with a JSON Web Token of the workload.
            auth: where the method for that is mounted: Kubernetes, or one for any JWT.
            jwt_path: the file with the JWT; that of a Kubernetes pod by default.
            token_path: a file with a token of Vault, in the place of a login.
            token: a token of Vault; without any of these it is VAULT_TOKEN of the environment.
            timeout: seconds of a call, all of its attempts together.
            clock: what waits happen on.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        self._address = Address.of(
            host, mount, key, namespace=namespace, endpoint=endpoint, ca=ca, timeout=timeout
        )
        self._clock = clock
        self._http = Http(self._address)
        login = Login(role, auth, jwt_path, token_path)
        self._tokens = Tokens(login, token, self._http, clock)
        self._is_checked = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``vault-transit://HOST[:PORT]/MOUNT/KEY?role=&tokenPath=&ca=...``.

        Its parameters, all optional: ``namespace``, ``endpoint``, ``ca``, ``role``, ``auth``,
        ``jwtPath``, ``tokenPath`` and ``timeout``; see the constructor.

        Raises:
            KeyUriInvalid: it is not such a URL; it is not repeated.
        """
        address, login = parse(url)
        return cls(
            address.host,
            address.mount,
            address.key,
            namespace=address.namespace,
            endpoint=address.endpoint,
            ca=address.ca,
            role=login.role,
            auth=login.auth,
            jwt_path=login.jwt_path,
            token_path=login.token_path,
            timeout=address.timeout,
        )

    def __repr__(self) -> str:
        """Name the key, and no credentials."""
        return f"<VaultTransit {self._address.name}>"

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext`` wrapped; see `KMS.wrap`."""
        context = _base64(associated_data(key_id))
        asked = Asked(self._address.name, key_id, "encrypt")
        until = self._until(deadline)
        self._check(asked, until)
        answer = self._ask(
            asked,
            until,
            lambda client: client.secrets.transit.encrypt_data(
                self._address.key,
                plaintext=_base64(plaintext.reveal()),
                context=context,
                mount_point=self._address.mount,
            ),
        )
        text = _data(answer, asked).get("ciphertext")
        blob = text.encode(errors="replace") if isinstance(text, str) else b""
        if not _is_canonical(blob):
            raise unreadable(asked, "ciphertext")
        return blob

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what was wrapped by this key under ``key_id``; see `KMS.unwrap`.

        A version of the key below its ``min_decryption_version`` is `KeyServiceFailed`: the blob is
        good, and whoever may configure the key can let it be unwrapped.
        """
        context = _base64(associated_data(key_id))
        asked = Asked(self._address.name, key_id, "decrypt")
        until = self._until(deadline)
        if len(blob) > BLOB_MAX or not _is_canonical(blob):
            raise WrappedKeyRefused(key_id, "it is no ciphertext of Vault in canonical form")
        self._check(asked, until)
        answer = self._ask(
            asked,
            until,
            lambda client: client.secrets.transit.decrypt_data(
                self._address.key,
                ciphertext=blob.decode(),
                context=context,
                mount_point=self._address.mount,
            ),
        )
        text = _data(answer, asked).get("plaintext")
        value = _decoded(text) if isinstance(text, str) else None
        if not value:
            raise unreadable(asked, "plaintext")
        return Secret(value)

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return the key's name and latest version, having checked its kind."""
        asked = Asked(self._address.name, "the wrapping key", "read")
        data = self._looked_at(asked, self._until(deadline))
        version = data.get("latest_version")
        return WrappingKey(self._address.name, None if version is None else str(version))

    def close(self) -> None:
        """Give up connections; the token is left to its end. Idempotent."""
        self._http.close()

    def _until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``, or the one that a call has if nobody names one."""
        if deadline is None:
            return Deadline.after(self._address.timeout, clock=self._clock)
        if deadline.clock is not SYSTEM_CLOCK or self._clock is SYSTEM_CLOCK:
            return deadline
        return Deadline.after(
            deadline.remaining, clock=self._clock, cancellation=deadline.cancellation
        )

    def _check(self, asked: Asked, deadline: Deadline) -> None:
        """Look at the key, once; what is checked cannot be changed in a key that exists."""
        if not self._is_checked:
            self._looked_at(Asked(asked.service, asked.key_id, "read"), deadline)

    def _looked_at(self, asked: Asked, deadline: Deadline) -> Mapping[str, Any]:
        answer = self._ask(
            asked,
            deadline,
            lambda client: client.secrets.transit.read_key(
                self._address.key, mount_point=self._address.mount
            ),
        )
        data = _data(answer, asked)
        kind = data.get("type")
        if kind not in TYPES:
            reason = f"a key of type {kind} does not encrypt with authentication"
            raise KeyServiceFailed(asked.service, asked.key_id, "WrongKeyType", reason)
        if data.get("derived") is not True:
            reason = "Vault would ignore the key id: make a key with derived=true"
            raise KeyServiceFailed(asked.service, asked.key_id, "NotDerived", reason)
        self._is_checked = True
        return data

    def _ask(
        self, asked: Asked, deadline: Deadline, request: Callable[[Any], object]
    ) -> Mapping[str, Any]:
        """Send a request until it is answered, with a new token if Vault refuses the old one."""

        def attempt() -> Mapping[str, Any]:
            token, is_new = self._tokens.get(asked, deadline)
            try:
                return self._sent(asked, token, deadline, request)
            except KeyDenied:
                if is_new:
                    raise
                self._tokens.drop(token)
            token, _ = self._tokens.get(asked, deadline)
            return self._sent(asked, token, deadline, request)

        return retrying(attempt, deadline=deadline)

    def _sent(
        self, asked: Asked, token: Secret, deadline: Deadline, request: Callable[[Any], object]
    ) -> Mapping[str, Any]:
        return self._http.send(asked, bytes(token.reveal()).decode(), deadline, request)


def _data(answer: Mapping[str, Any], asked: Asked) -> Mapping[str, Any]:
    data: object = answer.get("data")
    if not isinstance(data, dict):
        raise unreadable(asked, "data")
    return cast("Mapping[str, Any]", data)


def _base64(value: bytes | memoryview) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _is_canonical(blob: bytes) -> bool:
    """Say whether ``blob`` is the one spelling of a ciphertext.

    Vault takes others too: v0 for v1, line breaks, and any last bits that Base64 has no use for.
    """
    found = _BLOB.fullmatch(blob)
    if found is None:
        return False
    value = _decoded(found[1].decode())
    return value is not None and base64.b64encode(value) == found[1]
