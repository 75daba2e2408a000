"""The fake Vault as tests use it."""

from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from cloudcrypt_testing.fake_vault.access import Role
from cloudcrypt_testing.fake_vault.layer import VaultLayer
from cloudcrypt_testing.fake_vault.transit import TransitKey
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.served import Served


class FakeVault(Served[VaultLayer]):
    """Vault on loopback, over plain HTTP: one transit engine, logins with a JWT, and tokens.

        with FakeVault() as vault:
            vault.create_key("disks")
            url = vault.url("disks", tokenPath=vault.token_file(folder))

    It encrypts really, as Vault does. Nobody but root may do what `deny` names; every other token
    may use all keys. A name for a fault is the last word of a path: ``encrypt``, ``decrypt``,
    ``read``, ``rotate``, ``renew-self``, and ``login kubernetes``.
    """

    def __init__(
        self, *, clock: FakeClock | None = None, mount: str = "transit", namespace: str = ""
    ) -> None:
        """Serve from the beginning of the ``with`` block.

        Args:
            clock: the time it lives in, by which tokens end; a new `FakeClock` if None.
            mount: where the engine is.
            namespace: the one that there is.
        """
        super().__init__(VaultLayer(clock or FakeClock(), mount, namespace))

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self._endpoint).netloc

    @property
    def mount(self) -> str:
        """Where the engine is."""
        return self._layer.engine.mount

    @property
    def root_token(self) -> str:
        """The token that may do everything."""
        return self._layer.access.root

    def url(self, key: str, **parameters: str) -> str:
        """Return the URL of a key for `cloudcrypt.keys.open_key_service`, with ``parameters``."""
        named = {"endpoint": self.endpoint, **parameters}
        if self._layer.namespace:
            named.setdefault("namespace", self._layer.namespace)
        query = urlencode(named, quote_via=quote, safe="/:")
        return f"vault-transit://{self.host}/{self.mount}/{key}?{query}"

    def create_key(self, name: str, *, kind: str = "aes256-gcm96", derived: bool = True) -> None:
        """Make a key, without a request; Vault's own default is one that is not derived."""
        with self._layer.lock:
            self._layer.engine.keys[name] = TransitKey(name, kind, derived)

    def key(self, name: str) -> TransitKey:
        """Return a key, with all that Vault keeps to itself."""
        with self._layer.lock:
            return self._layer.engine.keys[name]

    def rotate(self, name: str) -> None:
        """Make a new version of a key."""
        with self._layer.lock:
            self._layer.engine.keys[name].rotate()

    def retire(self, name: str, least: int) -> None:
        """Let no version of a key decrypt that is below ``least``; 1 lets all."""
        with self._layer.lock:
            self._layer.engine.keys[name].configure({"min_decryption_version": least})

    def delete_key(self, name: str) -> None:
        """Let a key be gone."""
        with self._layer.lock:
            del self._layer.engine.keys[name]

    def allow_login(
        self, role: str, jwt: str, *, auth: str = "kubernetes", lease: int = 3600, most: int = 0
    ) -> None:
        """Let whoever has ``jwt`` log in as ``role``.

        Args:
            role: its name.
            jwt: the JSON Web Token; it is compared, not read.
            auth: where the method is mounted.
            lease: seconds that a token lives.
            most: seconds that it lives with all renewals; 0 for any.
        """
        with self._layer.lock:
            self._layer.access.roles[auth, role] = Role(jwt, lease, most)

    def issue_token(self, lease: int = 0) -> str:
        """Return a new token that lives ``lease`` seconds, or for ever."""
        with self._layer.lock:
            return self._layer.access.issue(lease).value

    def token_file(self, folder: Path, lease: int = 0) -> str:
        """Return the path of a new file below ``folder`` with a new token, as Vault Agent does."""
        path = folder / "vault-token"
        path.touch(mode=0o600)
        path.write_text(f"{self.issue_token(lease)}\n")
        return str(path)

    def revoke_tokens(self) -> None:
        """Let all tokens be nothing any more, except root's."""
        with self._layer.lock:
            self._layer.access.tokens.clear()

    def deny(self, pattern: str) -> None:
        """Let nobody but root use paths such as ``transit/decrypt/*``."""
        with self._layer.lock:
            self._layer.access.denials.append(pattern)

    def allow_all(self) -> None:
        """Take back every `deny`."""
        with self._layer.lock:
            self._layer.access.denials.clear()

    def seal(self) -> None:
        """Answer 503 to everything until `unseal`."""
        self._layer.is_sealed = True

    def unseal(self) -> None:
        """Have the key again."""
        self._layer.is_sealed = False

    def stand_by(self, active: str = "") -> None:
        """Send every client to the node at the URL ``active``; none ends that."""
        self._layer.active = active
