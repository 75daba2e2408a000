"""`BlobStore`: wrapped keys in a container of Azure Blob Storage."""

import re
import secrets
from collections.abc import Iterator
from typing import ClassVar, Final, Self, final
from urllib.parse import unquote

from azure.core.credentials import TokenCredential

from cloudcrypt.errors import KeyServiceError, KeyUriInvalid
from cloudcrypt.kms import TIMEOUT, key_id_of, object_name, object_prefix
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, retrying
from cloudcrypt_azure._keys_access import SECRET_PARAMETERS, Access
from cloudcrypt_azure._keys_container import NAME, Container, check_length, is_said
from cloudcrypt_azure._keys_errors import BLOB_ALREADY_EXISTS, CONDITION_NOT_MET, Asked
from cloudcrypt_azure._keys_shredding import shred

SCHEME: Final = "azblob"
KIND: Final = "azblob://ACCOUNT/CONTAINER/PREFIX"
"""What the URL is called in errors."""

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}", re.ASCII)
"""The name of a storage account (Azure documentation, "Storage account overview")."""
_PUBLIC: Final = "blob.core.windows.net"
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_PREFIX_MAX: Final = 128


@final
class BlobStore:
    """Block blobs in one container; implements `cloudcrypt.kms.KeyStore`. Safe to use from threads.

    One blob is one key id, as `cloudcrypt.kms.object_name` writes it behind the prefix.
    """

    secret_parameters: ClassVar[frozenset[str]] = SECRET_PARAMETERS

    def __init__(
        self,
        account: str,
        container: str,
        prefix: str = "",
        *,
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
            account: the name of a storage account of the public cloud, or the whole name of its
                host, such as ``ACCOUNT.blob.core.chinacloudapi.cn``.
            container: its container, which must be there.
            prefix: a folder within, such as ``cluster-1``.
            credential: what tokens come from; None is as the following say.
            tenant_id: the directory of a static credential.
            client_id: its application.
            client_secret: its secret. Without it azure-identity finds a credential, that of the
                workload first.
            authority: who gives out tokens, if it is not the usual one of the cloud.
            endpoint: where to connect to, if it is not where the account's name leads.
            ca: a file of the authorities whose certificates are taken, if not the usual ones.
            timeout: seconds of a call, all of its attempts together.
            clock: what waits happen on.

        Raises:
            KeyUriInvalid: one of them cannot be.
        """
        account, prefix = account.lower(), prefix.strip("/")
        access = Access(
            KIND,
            f"{account}.{_PUBLIC}" if _ACCOUNT.fullmatch(account) else account,
            endpoint,
            ca,
            authority,
            timeout,
            tenant_id,
            client_id,
            client_secret,
        )
        if NAME.fullmatch(container) is None:
            raise KeyUriInvalid(KIND, "CONTAINER is 3 to 63 lower-case letters, digits, hyphens")
        if prefix and (len(prefix) > _PREFIX_MAX or _PREFIX.fullmatch(prefix) is None):
            raise KeyUriInvalid(KIND, "PREFIX is of letters, digits, _ . - and /, and not too long")
        self._prefix = f"{prefix}/" if prefix else ""
        self._name = f"{SCHEME}://{account}/{container}/{prefix}".rstrip("/")
        self._container = Container(access, container, self._name, credential, clock)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``azblob://ACCOUNT/CONTAINER/PREFIX?endpoint=&ca=&authority=&timeout=&...``.

        PREFIX and all parameters are optional, ``tenantID=&clientID=&clientSecret=`` are given
        together; see the constructor.

        Raises:
            KeyUriInvalid: it is not such a URL; it is not repeated.
        """
        head, _, text = url.partition("?")
        scheme, _, rest = head.partition("://")
        account, _, path = rest.partition("/")
        container, _, prefix = path.partition("/")
        if scheme != SCHEME or not container or "#" in text:
            raise KeyUriInvalid(KIND, "an account and a container, then parameters only")
        query = Query(KIND, text)
        account = account.lower()
        host = f"{account}.{_PUBLIC}" if _ACCOUNT.fullmatch(account) else account
        access = Access.take(query, host)
        query.finish()
        return cls(
            account,
            container,
            unquote(prefix),
            tenant_id=access.tenant_id,
            client_id=access.client_id,
            client_secret=access.client_secret,
            authority=access.authority,
            endpoint=access.endpoint,
            ca=access.ca,
            timeout=access.timeout,
        )

    def __repr__(self) -> str:
        """Name the container, and no credentials."""
        return f"<BlobStore {self._name}>"

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        """Return the blob of ``key_id``, or None; see `KeyStore.get`. Its MD5 is checked."""
        name, asked = self._named(key_id, "Get Blob")
        found = self._container.read(name, asked, self._container.until(deadline))
        return None if found is None else found.content

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        """Store the first blob of ``key_id``, by ``If-None-Match: *``; see `KeyStore.create`.

        A blob whose answer was lost is found again by a mark in its metadata.
        """
        name, asked = self._named(key_id, "Put Blob")
        check_length(blob, key_id)
        until = self._container.until(deadline)
        mark = secrets.token_hex(16)
        is_sure = True

        def attempt() -> bool:
            nonlocal is_sure
            try:
                self._container.create(name, blob, mark, asked, until)
            except KeyServiceError as error:
                if is_said(error, 409, BLOB_ALREADY_EXISTS):
                    return not is_sure and self._container.mark(name, asked, until) == mark
                is_sure = False
                raise
            return True

        return retrying(attempt, deadline=until)

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        """Store ``new`` if the blob is ``old``, by its ETag; see `KeyStore.replace`."""
        name, asked = self._named(key_id, "Put Blob")
        check_length(new, key_id)
        until = self._container.until(deadline)
        mark = secrets.token_hex(16)

        def attempt() -> bool:
            found = self._container.read(name, asked, until)
            if found is None or found.mark == mark or found.content != old:
                return found is not None and found.mark == mark
            try:
                self._container.replace(name, new, mark, found.etag, asked, until)
            except KeyServiceError as error:
                if not is_said(error, 412, CONDITION_NOT_MET):
                    raise
                return self._container.mark(name, asked, until) == mark
            return True

        return retrying(attempt, deadline=until)

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        """Yield the key ids that begin with ``prefix``, sorted; see `KeyStore.list`.

        Blob Storage sorts by its names for them, which is another order: all pages are read first.
        """
        asked = Asked(self._name, f"{prefix}*", "List Blobs")
        begin = object_prefix(self._prefix, prefix)
        names = self._container.names(begin, asked, self._container.until(deadline))
        ids = (key_id_of(self._prefix, name) for name in names)
        yield from sorted(key_id for key_id in ids if key_id and key_id.startswith(prefix))

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        """Delete the blob of ``key_id`` with its versions and snapshots; see `KeyStore.delete`.

        Raises:
            KeyServiceFailed: soft delete keeps something; see `cloudcrypt_azure._keys_shredding`.
            KeyServiceError: as the service says.
        """
        name, asked = self._named(key_id, "Delete Blob")
        return shred(self._container, name, asked, self._container.until(deadline))

    def close(self) -> None:
        """Give up connections. Idempotent."""
        self._container.close()

    def _named(self, key_id: str, action: str) -> tuple[str, Asked]:
        return object_name(self._prefix, key_id), Asked(self._name, key_id, action)
