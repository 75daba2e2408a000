"""A vault of Key Vault or a Managed HSM: its keys by name and version, and what they do.

A key is used in a version, and only after the vault has described that version: its id must be of
this vault, and of the name that was asked for. The SDK sends to the URL in that id.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import attrs
from azure.core.credentials import TokenCredential
from azure.keyvault.keys import KeyClient, KeyVaultKey, KeyVaultKeyIdentifier
from azure.keyvault.keys.crypto import CryptographyClient

from cloudcrypt.errors import KeyServiceFailed, KeyServiceUnavailable
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_azure._keys_access import Access
from cloudcrypt_azure._keys_errors import FOREIGN, Asked, translated
from cloudcrypt_azure._keys_transport import Transport, credential_of, options, until

T = TypeVar("T")

NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}", re.ASCII)
"""The name of a key (Azure documentation, "Key Vault naming"); case does not matter."""
MALFORMED: Final = "MalformedAnswer"
"""The code of an error of ours: the answer of the vault is not one."""
_VERSION: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


@attrs.frozen
class Version:
    """A version of a key, as the vault has just described it."""

    id: str
    """Of the key, without the version and in lower case: it does not change."""
    version: str
    kind: str
    """Its type, ``kty`` of RFC 7517: ``RSA``, ``EC-HSM``..."""
    curve: str | None
    uses: CryptographyClient = attrs.field(repr=False)
    """What uses it."""
    _key: KeyVaultKey = attrs.field(repr=False)

    def flaw(self, now: datetime) -> str | None:
        """Return why nothing more is to be wrapped or signed with it, or None."""
        properties = self._key.properties
        if not properties.enabled:
            return "KeyDisabled"
        if properties.not_before is not None and now < properties.not_before:
            return "KeyNotYetValid"
        if properties.expires_on is not None and now >= properties.expires_on:
            return "KeyExpired"
        return None

    @property
    def is_enabled(self) -> bool:
        """Whether it may still be used for what was made with it before: it may have expired."""
        return bool(self._key.properties.enabled)


class Vault:
    """The keys of one vault, as one credential sees them. Thread-safe."""

    def __init__(
        self, access: Access, service: str, credential: TokenCredential | None, clock: Clock
    ) -> None:
        """Connect to nothing yet.

        Args:
            access: where the vault is, and as whom it is asked.
            service: what errors name.
            credential: what tokens come from; None is as ``access`` says.
            clock: what waits happen on where a deadline has none of its own.
        """
        self.service = service
        self.clock = clock
        self._access = access
        self._url = f"https://{access.host}"
        self._transport = Transport(access)
        self._credential = credential or credential_of(access, self._transport)
        self._keys = KeyClient(self._url, self._credential, **options(self._transport))

    def until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``, or the one that a call has if nobody names one."""
        if deadline is None:
            return Deadline.after(self._access.timeout, clock=self.clock)
        if deadline.clock is not SYSTEM_CLOCK or self.clock is SYSTEM_CLOCK:
            return deadline
        return Deadline.after(
            deadline.remaining, clock=self.clock, cancellation=deadline.cancellation
        )

    def id_of(self, name: str) -> str:
        """Return the id of the key of this ``name``, without a version."""
        return f"{self._url}/keys/{name.lower()}"

    def get(self, name: str, version: str | None, asked: Asked, deadline: Deadline) -> Version:
        """Return a version of a key, the current one if ``version`` is None.

        Raises:
            KeyServiceFailed: there is none, or what the vault describes is another one.
            KeyServiceError: as the vault says.
        """
        found = self.ask(lambda: self._described(name, version), asked, deadline)
        if found is None or version not in {None, found.version}:
            reason = "get: the vault describes another key than was asked for"
            raise KeyServiceFailed(self.service, asked.key_id, MALFORMED, reason)
        return found

    def ask(self, request: Callable[[], T], asked: Asked, deadline: Deadline) -> T:
        """Return what a call of an SDK returns, trying again while that helps.

        No error of the SDK is the cause or the context of ours: it has the request with it, and
        that may have a key.

        Raises:
            KeyServiceError: see `cloudcrypt_azure._keys_errors`.
        """

        def attempt() -> T:
            deadline.check()
            if deadline.has_passed:
                reason = f"{asked.action}: the deadline has passed"
                raise KeyServiceUnavailable(asked.service, asked.key_id, reason)
            try:
                with until(deadline):
                    return request()
            except FOREIGN as error:
                failure = translated(error, asked, self._transport.trouble)
            raise failure

        return retrying(attempt, deadline=deadline)

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._transport.give_up()

    def _described(self, name: str, version: str | None) -> Version | None:
        """Return what the vault describes; None if that is not a version of this key."""
        key = self._keys.get_key(name, version)
        found = KeyVaultKeyIdentifier(key.id)
        if f"{found.vault_url}/keys/{found.name}".lower() != self.id_of(name):
            return None
        if found.version is None or _VERSION.fullmatch(found.version) is None:
            return None
        return Version(
            self.id_of(name),
            found.version,
            _text(key.key_type),
            _text(getattr(key.key, "crv", None)) or None,
            CryptographyClient(key, self._credential, **options(self._transport)),
            key,
        )


def _text(value: object) -> str:
    """Return the text of a member of an enumeration of the SDK, which may be text itself."""
    return "" if value is None else str(getattr(value, "value", value))
