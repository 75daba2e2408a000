"""`FakeAzureKeys`: all services behind one TLS server on loopback."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from cloudcrypt_testing.fake_azure_keys.accounts import Account
from cloudcrypt_testing.fake_azure_keys.certificates import certificates
from cloudcrypt_testing.fake_azure_keys.layer import KeysLayer
from cloudcrypt_testing.fake_azure_keys.tokens import CLIENT, TENANT, Credential
from cloudcrypt_testing.fake_azure_keys.vaults import Key, KeyVersion
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.exchange import RequestLog
from cloudcrypt_testing.world.faults import FaultSchedule
from cloudcrypt_testing.world.layer import Hook
from cloudcrypt_testing.world.server import Server

_NAMES: Final = (
    *(f"*.{kind}.azure.{end}" for kind in ("vault", "managedhsm") for end in ("net", "cn")),
    *(f"*.{kind}.usgovcloudapi.net" for kind in ("vault", "managedhsm")),
    "*.blob.core.windows.net",
    "*.blob.core.chinacloudapi.cn",
    "*.blob.core.usgovcloudapi.net",
    "localhost",
)


class FakeAzureKeys:
    """Managed HSM, Key Vault, Blob Storage and Microsoft Entra ID; see the package.

    Use it as a context manager: within the block it answers at `endpoint`.
    """

    def __init__(self, *, clock: FakeClock | None = None) -> None:
        """Begin with nothing in it; nothing listens yet.

        Args:
            clock: the time of keys and blobs; a new one if it is None. Tokens and certificates are
                good by the clock of the host.
        """
        self._stack = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="fake-azure-keys-"))
        self._layer = KeysLayer(clock or FakeClock())
        made = certificates(self._folder, _NAMES, "127.0.0.1")
        self.ca = made.authority
        """The file of the authority that clients have to trust."""
        self._server = Server(self._layer, made.context)
        self.credential: Final = Credential(self._layer.tokens)
        """A `TokenCredential` for clients that are made in Python."""

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._stack.enter_context(self._server.running())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Break off all connections."""
        self._stack.close()
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def endpoint(self) -> str:
        """Where it listens: ``https://127.0.0.1:PORT``."""
        return self._server.endpoint

    @property
    def secret(self) -> str:
        """The secret of the client that is in the URLs."""
        return self._layer.tokens.secret

    @property
    def clock(self) -> FakeClock:
        """The time of keys and blobs."""
        return self._layer.clock

    @property
    def faults(self) -> FaultSchedule:
        """What goes wrong."""
        return self._layer.faults

    @property
    def requests(self) -> RequestLog:
        """What was asked for."""
        return self._layer.requests

    @property
    def hooks(self) -> list[Hook]:
        """What is called around each request."""
        return self._layer.hooks

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
