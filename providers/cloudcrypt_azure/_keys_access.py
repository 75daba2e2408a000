"""What the URLs of Key Vault and Blob Storage have in common: where to ask, how long, as whom."""

import re
from typing import Final, Self

import attrs

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.kms import TIMEOUT
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query, check_endpoint, check_seconds

SECRET_PARAMETERS: Final = frozenset({"clientSecret"})
"""The parameters whose values are secrets."""

_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}\.){2,8}[a-z0-9-]{1,62}", re.ASCII)
_TENANT: Final = re.compile(r"[0-9A-Za-z.-]{1,253}", re.ASCII)


@attrs.frozen
class Access:
    """Where a service of Azure is, how it is reached, and as whom.

    The service is known by its name, ``host``: that is in its certificate, in the challenge with
    which it asks for a token, and in what it signs. ``endpoint`` says where to connect to instead
    of where the name leads, and changes nothing else: a private endpoint without a name of its own,
    or a fake. ``ca`` is a file of the authorities whose certificates are taken, ``authority`` who
    gives out tokens. Without a ``client_secret`` the credential is that which azure-identity finds,
    the identity of the workload first.
    """

    kind: str
    host: str
    endpoint: str | None = None
    ca: str | None = None
    authority: str | None = None
    timeout: float = TIMEOUT
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None

    def __attrs_post_init__(self) -> None:
        """Check all parts.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        if _HOST.fullmatch(self.host) is None:
            raise KeyUriInvalid(self.kind, "the host is a full name, such as NAME.vault.azure.net")
        check_seconds(self.kind, "timeout", self.timeout)
        for name in ("endpoint", "authority"):
            self._check_base(name, getattr(self, name))
        given = [value is not None for value in self._static]
        if any(given) and not all(given):
            raise KeyUriInvalid(self.kind, f"{', '.join(_STATIC)} are given together, or none")
        for name, value in zip(_STATIC, self._static[:2], strict=False):
            if value is not None and _TENANT.fullmatch(str(value)) is None:
                raise KeyUriInvalid(self.kind, f"{name} is an id, or a name of the directory")

    @classmethod
    def take(cls, query: Query, host: str) -> Self:
        """Take the parameters that are in the URL of any service.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        tenant, client, secret = query.together(*_STATIC) or (None, None, None)
        return cls(
            query.kind,
            host,
            query.endpoint(),
            query.get("ca"),
            query.endpoint("authority"),
            query.seconds("timeout", TIMEOUT),
            tenant,
            client,
            None if secret is None else Secret(secret.encode()),
        )

    @property
    def _static(self) -> tuple[str | Secret | None, ...]:
        return self.tenant_id, self.client_id, self.client_secret

    def _check_base(self, name: str, url: str | None) -> None:
        if url is None:
            return
        check_endpoint(self.kind, url, name)
        scheme, _, rest = url.partition("://")
        if scheme != "https" or "/" in rest.rstrip("/"):
            # The SDKs of Azure do not send a token in plain text, wherever that goes.
            raise KeyUriInvalid(self.kind, f"{name} is https://HOST:PORT, on loopback as well")


_STATIC: Final = ("tenantID", "clientID", "clientSecret")
