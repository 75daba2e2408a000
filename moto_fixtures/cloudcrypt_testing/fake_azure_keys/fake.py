"""`FakeAzureKeys`: all services behind one TLS server on loopback."""

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import quote

from cloudcrypt_testing.fake_azure_keys.accounts import Account
from cloudcrypt_testing.fake_azure_keys.certificates import certificates
from cloudcrypt_testing.fake_azure_keys.layer import KeysLayer
from cloudcrypt_testing.fake_azure_keys.tokens import CLIENT, TENANT, Credential
from cloudcrypt_testing.fake_azure_keys.vaults import Key, KeyVersion
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served

_NAMES: Final = (
    *(f"*.{kind}.azure.{end}" for kind in ("vault", "managedhsm") for end in ("net", "cn")),
    *(f"*.{kind}.usgovcloudapi.net" for kind in ("vault", "managedhsm")),
    "*.blob.core.windows.net",
    "*.blob.core.chinacloudapi.cn",
    "*.blob.core.usgovcloudapi.net",
    "localhost",
)


class FakeAzureKeys(Served[KeysLayer]):
    """Managed HSM, Key Vault, Blob Storage and Microsoft Entra ID; see the package.

    Use it as a context manager: within the block it answers at `endpoint`.
    """

    def __init__(self, *, clock: FakeClock | None = None) -> None:
        """Begin with nothing in it; nothing listens yet.

        Args:
            clock: the time of keys and blobs; a new one if it is None. Tokens and certificates are
                good by the clock of the host.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="fake-azure-keys-"))
        made = certificates(self._folder, _NAMES, "127.0.0.1")
        self.ca = made.authority
        """The file of the authority that clients have to trust."""
        super().__init__(KeysLayer(clock or FakeClock()), made.context)
        self.credential: Final = Credential(self._layer.tokens)
        """A `TokenCredential` for clients that are made in Python."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, in the process that started it, and delete the certificates."""
        super().__exit__(kind, error, trace)
        if os.getpid() == self._owner:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def secret(self) -> str:
        """The secret of the client that is in the URLs."""
        return self._layer.tokens.secret

    def url(self, url: str) -> str:
        """Return ``url`` of a KMS or of a store with all that leads it here, a secret among it."""
        values = {
            "endpoint": self.endpoint,
            "ca": str(self.ca),
            "authority": self.endpoint,
            "tenantID": TENANT,
            "clientID": CLIENT,
            "clientSecret": self.secret,
        }
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def service_url(self, kms: str, store: str) -> str:
        """Return the URL of the key service that a KMS and a store make, which leads here."""
        return f"{self.url(kms)}&store={quote(self.url(store), safe='')}"

    def workload(self) -> dict[str, str]:
        """Return the environment of a workload with an identity, as Kubernetes gives it on Azure.

        A URL then needs ``endpoint`` and ``ca`` alone.
        """
        file = self._folder / "token"
        file.write_text(self._layer.tokens.assertion)
        return {
            "AZURE_AUTHORITY_HOST": self.endpoint,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_FEDERATED_TOKEN_FILE": str(file),
            "AZURE_TENANT_ID": TENANT,
        }

    def create_key(self, host: str, name: str, kind: str, curve: str = "P-256") -> KeyVersion:
        """Create a key, or a new version of it.

        Args:
            host: of the vault or HSM.
            name: of the key.
            kind: ``oct-HSM``, ``RSA``, ``RSA-HSM``, ``EC`` or ``EC-HSM``.
            curve: of an EC key, ``P-256`` or ``P-384``.
        """
        with self._layer.lock:
            return self._layer.vaults.create(host, name, kind, curve)

    def key(self, host: str, name: str) -> Key:
        """Return a key; what is changed in it counts for the next request."""
        return self._layer.vaults.key(host, name)

    def account(self, name: str, *containers: str) -> Account:
        """Return a storage account, with these containers at least."""
        with self._layer.lock:
            account = self._layer.storage.account(name)
            for container in containers:
                account.containers.setdefault(container, {})
            return account

    def set_page(self, size: int) -> None:
        """Let a page of a list have at most ``size`` blobs."""
        self._layer.storage.page = size

    def set_retry_after(self, seconds: int | None) -> None:
        """Say what who is throttled is told; None is nothing."""
        self._layer.retry_after = seconds

    def set_resource(self, resource: str | None) -> None:
        """Let vaults ask for tokens for another ``resource`` than their own; None ends that."""
        self._layer.vaults.resource = resource

    def revoke_tokens(self) -> None:
        """Let no token that was given out be good any more."""
        self._layer.tokens.revoke()
