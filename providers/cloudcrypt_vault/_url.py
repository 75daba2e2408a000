"""The URL of a key of Vault's transit engine: ``vault-transit://HOST[:PORT]/MOUNT/KEY``."""

import re
from pathlib import Path
from typing import Final, Self

import attrs

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.kms import TIMEOUT
from cloudcrypt.urls import Query, check_endpoint, check_seconds

SCHEME: Final = "vault-transit"
KIND: Final = "vault-transit://HOST[:PORT]/MOUNT/KEY"
"""What the URL is called in errors."""

PORT: Final = 8200
"""Vault's own port (Vault documentation, "Ports explained")."""

AUTH: Final = "kubernetes"
"""Where the method is mounted by which a pod logs in, unless somebody says otherwise."""

JWT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"
"""Where Kubernetes puts the token of a pod's service account."""

_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII
)
_NAME: Final = re.compile(r"\w(?:[\w.-]{0,126}\w)?", re.ASCII)  # as Vault's GenericNameRegex
_PATH: Final = re.compile(r"[\w-][\w.-]{0,63}(?:/[\w-][\w.-]{0,63}){0,7}", re.ASCII)


@attrs.frozen
class Login:
    """How a token is come by: the first of these that is there.

    ``role`` logs in with the JSON Web Token in the file ``jwt_path`` at the method that is mounted
    at ``auth``: of Kubernetes, or any other that takes a role and a JWT. ``token_path`` is a file
    with a token, such as Vault Agent's. Without either it is VAULT_TOKEN of the environment.
    """

    role: str | None = None
    auth: str = AUTH
    jwt_path: str = JWT_PATH
    token_path: str | None = None

    def __attrs_post_init__(self) -> None:
        """Check all parts.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        if _PATH.fullmatch(self.auth) is None:
            raise KeyUriInvalid(KIND, "auth is where a method of authentication is mounted")
        if self.role is not None and self.token_path is not None:
            raise KeyUriInvalid(KIND, "role and tokenPath are two ways: give one")
        if self.role is None and (self.auth, self.jwt_path) != (AUTH, JWT_PATH):
            raise KeyUriInvalid(KIND, "auth and jwtPath go with role")

    @classmethod
    def take(cls, query: Query) -> Self:
        """Take ``role``, ``auth``, ``jwtPath`` and ``tokenPath``."""
        return cls(
            query.get("role"),
            query.get("auth") or AUTH,
            query.get("jwtPath") or JWT_PATH,
            query.get("tokenPath"),
        )


@attrs.frozen
class Address:
    """A key of a transit engine, and how its Vault is reached.

    ``host`` has a port. ``endpoint`` is the base URL, ``ca`` a PEM file with the authorities of its
    certificate, None for the public ones. ``timeout`` is in seconds.
    """

    host: str
    mount: str
    key: str
    namespace: str | None = None
    endpoint: str = ""
    ca: str | None = None
    timeout: float = TIMEOUT

    def __attrs_post_init__(self) -> None:
        """Check all parts.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        if _HOST.fullmatch(self.host) is None:
            raise KeyUriInvalid(KIND, "HOST[:PORT] is missing, or not one")
        if _PATH.fullmatch(self.mount) is None or _NAME.fullmatch(self.key) is None:
            raise KeyUriInvalid(KIND, "MOUNT and KEY are missing, or not names")
        if self.namespace is not None and _PATH.fullmatch(self.namespace) is None:
            raise KeyUriInvalid(KIND, "namespace is the path of one")
        if self.ca is not None and not Path(self.ca).is_file():
            raise KeyUriInvalid(KIND, "ca is a PEM file")
        check_endpoint(KIND, self.endpoint)
        check_seconds(KIND, "timeout", self.timeout)

    @classmethod
    def of(
        cls,
        host: str,
        mount: str,
        key: str,
        *,
        namespace: str | None = None,
        endpoint: str | None = None,
        ca: str | None = None,
        timeout: float = TIMEOUT,
    ) -> Self:
        """Return the address of a key; ``endpoint`` None is HTTPS at ``host``.

        Raises:
            KeyUriInvalid: there cannot be one.
        """
        host = host if re.search(r":[0-9]+\Z", host) else f"{host}:{PORT}"
        return cls(
            host,
            mount.strip("/"),
            key,
            None if namespace is None else namespace.strip("/"),
            endpoint or f"https://{host}",
            ca,
            timeout,
        )

    @property
    def name(self) -> str:
        """The complete name of the key, in the form of a URL."""
        namespace = "" if self.namespace is None else f"?namespace={self.namespace}"
        return f"{SCHEME}://{self.host}/{self.mount}/{self.key}{namespace}"


def parse(url: str) -> tuple[Address, Login]:
    """Return what ``url`` says.

    Raises:
        KeyUriInvalid: it is not one; it is not repeated.
    """
    head, _, text = url.partition("?")
    scheme, _, path = head.partition("://")
    if scheme != SCHEME or "#" in text:
        raise KeyUriInvalid(KIND, "scheme, host, mount and key, then parameters only")
    host, _, rest = path.partition("/")
    mount, _, key = rest.rpartition("/")
    query = Query(KIND, text)
    login = Login.take(query)
    address = Address.of(
        host,
        mount,
        key,
        namespace=query.get("namespace"),
        endpoint=query.endpoint(),
        ca=query.get("ca"),
        timeout=query.seconds("timeout", TIMEOUT),
    )
    query.finish()
    return address, login
