"""`AzureKeyVault`: data keys are wrapped by a key of Azure Managed HSM or of Azure Key Vault."""

from typing import ClassVar, Final, Self, final

from azure.core.credentials import TokenCredential

from cloudcrypt.errors import KeyServiceFailed, KeyUriInvalid
from cloudcrypt.kms import BLOB_MAX, TIMEOUT, WrappingKey, check_key_id
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline
from cloudcrypt_azure._keys_access import SECRET_PARAMETERS, Access
from cloudcrypt_azure._keys_errors import Asked
from cloudcrypt_azure._keys_hsm import GcmWrapping
from cloudcrypt_azure._keys_signed import SignedWrapping
from cloudcrypt_azure._keys_vault import NAME, Vault
from cloudcrypt_azure._keys_wrapping import KEY_MAX, Wrapping, malformed

SCHEME: Final = "azure-keyvault"
KIND: Final = "azure-keyvault://HOST/KEY"
"""What the URL is called in errors."""


@final
class AzureKeyVault:
    """A key of Managed HSM or Key Vault; implements `cloudcrypt.kms.KMS`. Safe to use from threads.

    A symmetric key, ``oct-HSM``, which only Managed HSM has, wraps by AES-256-GCM with the key id
    as associated data. An RSA key wraps only with a second key of the vault beside it, which signs:
    see `cloudcrypt_azure._keys_signed`. Which of the two it is, the caller says by ``sign_key``: no
    blob decides it.
    """

    secret_parameters: ClassVar[frozenset[str]] = SECRET_PARAMETERS

    def __init__(
        self,
        host: str,
        key: str,
        *,
        sign_key: str | None = None,
        credential: TokenCredential | None = None,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: Secret | None = None,
        authority: str | None = None,
        endpoint: str | None = None,
        ca: str | None = None,
        timeout: float = TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet.

        Args:
            host: of the vault or HSM, such as ``NAME.managedhsm.azure.net``.
            key: the name of the key that wraps.
            sign_key: the name of the key that signs, where ``key`` is an RSA key.
            credential: what tokens come from; None is as the following say.
            tenant_id: the directory of a static credential.
            client_id: its application.
            client_secret: its secret. Without it azure-identity finds a credential, that of the
                workload first.
            authority: who gives out tokens, if it is not the usual one of the cloud.
            endpoint: where to connect to, if it is not where ``host`` leads.
            ca: a file of the authorities whose certificates are taken, if not the usual ones.
            timeout: seconds of a call, all of its attempts together.
            clock: what waits happen on.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        access = Access(
            KIND,
            host.lower(),
            endpoint,
            ca,
            authority,
            timeout,
            tenant_id,
            client_id,
            client_secret,
        )
        for name in (key, sign_key):
            if name is not None and NAME.fullmatch(name) is None:
                raise KeyUriInvalid(KIND, "a key has a name of letters, digits and hyphens")
        if sign_key is not None and sign_key.lower() == key.lower():
            raise KeyUriInvalid(KIND, "signKey is a second key, which signs and nothing else")
        self._name = f"{SCHEME}://{access.host}/{key}"
        self._vault = Vault(access, self._name, credential, clock)
        self._wrapping: Wrapping = (
            GcmWrapping(self._vault, key)
            if sign_key is None
            else SignedWrapping(self._vault, key, sign_key)
        )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``azure-keyvault://HOST/KEY?signKey=&endpoint=&ca=&authority=&timeout=&...``.

        All but HOST and KEY are optional, ``tenantID=&clientID=&clientSecret=`` are given together;
        see the constructor.

        Raises:
            KeyUriInvalid: it is not such a URL; it is not repeated.
        """
        head, _, text = url.partition("?")
        scheme, _, rest = head.partition("://")
        host, slash, key = rest.partition("/")
        if scheme != SCHEME or not slash or "#" in text:
            raise KeyUriInvalid(KIND, "a host and the name of a key, then parameters only")
        query = Query(KIND, text)
        access = Access.take(query, host.lower())
        sign_key = query.get("signKey")
        query.finish()
        return cls(
            access.host,
            key,
            sign_key=sign_key,
            tenant_id=access.tenant_id,
            client_id=access.client_id,
            client_secret=access.client_secret,
            authority=access.authority,
            endpoint=access.endpoint,
            ca=access.ca,
            timeout=access.timeout,
        )

    def __repr__(self) -> str:
        """Name the key, and no credentials."""
        return f"<AzureKeyVault {self._name}>"

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext`` wrapped by the current version of the key; see `KMS.wrap`."""
        asked = Asked(self._name, check_key_id(key_id), "wrap")
        if not 1 <= len(plaintext) <= KEY_MAX:
            reason = f"1 to {KEY_MAX} bytes can be wrapped"
            raise KeyServiceFailed(self._name, key_id, "BadParameter", reason)
        return self._wrapping.wrap(plaintext, asked, self._vault.until(deadline))

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what this key has wrapped under ``key_id``; see `KMS.unwrap`."""
        asked = Asked(self._name, check_key_id(key_id), "unwrap")
        if len(blob) > BLOB_MAX:
            raise malformed(asked)
        return self._wrapping.unwrap(blob, asked, self._vault.until(deadline))

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return the key's id, and the version that wraps now; ``+`` and the one that signs."""
        asked = Asked(self._name, "the wrapping key", "get")
        return self._wrapping.key(asked, self._vault.until(deadline))

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._vault.close()
