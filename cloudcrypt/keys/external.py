"""From URLs to a KMS and a store of wrapped keys.

Adapters register in ``cloudcrypt.kms`` and ``cloudcrypt.key_stores`` under the schemes of their
URLs, as `cloudcrypt.kms.KMSAdapter` and `KeyStoreAdapter` say.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any
from urllib.parse import unquote_plus

from cloudcrypt.errors import InvalidRequest, KeyUriInvalid, UnknownKeyService
from cloudcrypt.keys.envelope import EnvelopeKeyService
from cloudcrypt.keys.translated import is_foreign_kms, is_foreign_store, kms_url, store_url
from cloudcrypt.kms import KMS, TIMEOUT, KeyStore
from cloudcrypt.plugins import installed, needing, scheme_of
from cloudcrypt.urls import check_seconds

KMS_GROUP = "cloudcrypt.kms"
"""The entry-point group of adapters of KMSs."""

STORE_GROUP = "cloudcrypt.key_stores"
"""The entry-point group of adapters of stores of wrapped keys."""

EXTRAS: Mapping[str, str] = {
    "aws-kms": "aws",
    "azblob": "azure-keys",
    "azure-keyvault": "azure-keys",
    "constellation": "keyservice",
    "gcp-kms": "gcp-keys",
    "gs": "gcp-keys",
    "s3": "aws",
    "vault-transit": "vault",
}
"""The extra of cloudcrypt that a scheme needs; a scheme of a third party is its own extra."""


def open_kms(
    url: str, *, from_argv: bool = False, adapters: Mapping[str, EntryPoint] | None = None
) -> KMS:
    """Open the KMS that ``url`` names, such as ``aws-kms://alias/volumes?region=eu-west-1``.

    Constellation's ``kms://aws``, ``kms://azure`` and ``kms://gcp`` are understood, too.

    Args:
        url: it may hold secrets: no error repeats more of it than the scheme.
        from_argv: it stood on a command line; one with secrets is refused.
        adapters: entry points by scheme; those of the installed packages if it is None.

    Raises:
        UnknownKeyService: no adapter is registered for the scheme.
        InvalidRequest: the URL carries secrets and stood on a command line.
        KeyUriInvalid: it is malformed.
        HostUnready: the adapter needs a package that is not installed.
    """
    plain = kms_url(url) if is_foreign_kms(url) else url
    known = installed(KMS_GROUP) if adapters is None else adapters
    kms: KMS = _adapter(plain, "KMS", known, from_argv=from_argv).from_url(plain)
    return kms


def open_key_store(
    url: str, *, from_argv: bool = False, adapters: Mapping[str, EntryPoint] | None = None
) -> KeyStore:
    """Open the store that ``url`` names, such as ``sqlite:///var/lib/cloudcrypt/keys.db``.

    Constellation's ``storage://aws``, ``storage://azure`` and ``storage://gcp`` are understood as
    well. Arguments and errors are those of `open_kms`.
    """
    plain = store_url(url) if is_foreign_store(url) else url
    known = installed(STORE_GROUP) if adapters is None else adapters
    store: KeyStore = _adapter(plain, "key store", known, from_argv=from_argv).from_url(plain)
    return store


def open_envelope(
    url: str,
    store: str,
    *,
    from_argv: bool = False,
    kms: Mapping[str, EntryPoint] | None = None,
    stores: Mapping[str, EntryPoint] | None = None,
) -> EnvelopeKeyService:
    """Open the key service of a KMS and a store, each by its URL; see `open_kms`.

    ``timeout`` among the parameters of the KMS is the time for a key in all, both together.
    """
    wraps = open_kms(url, from_argv=from_argv, adapters=kms)
    try:
        keeps = open_key_store(store, from_argv=from_argv, adapters=stores)
    except BaseException:
        wraps.close()
        raise
    name = None if is_foreign_store(store) else store.partition("?")[0]
    return EnvelopeKeyService(wraps, keeps, store_name=name, timeout=_timeout(url))


def unknown(scheme: str, known: tuple[str, ...]) -> UnknownKeyService:
    """Return the error for a scheme without an adapter, with what to install where that helps."""
    if scheme in EXTRAS:
        instead = f'pip install "cloudcrypt[{EXTRAS[scheme]}]", in a version that has this adapter'
        return UnknownKeyService(scheme, known, instead)
    return UnknownKeyService(scheme or "(none)", known)


def _adapter(
    url: str,
    what: str,
    known: Mapping[str, EntryPoint],
    *,
    from_argv: bool,
) -> Any:  # noqa: ANN401  # the class that an entry point names
    scheme = scheme_of(url)
    if scheme not in known:
        raise unknown(scheme, tuple(sorted(known)))
    if not url.isprintable():
        raise KeyUriInvalid(f"{scheme}://", "a URL has printable characters only")
    with needing(f"the {what} {scheme!r}", EXTRAS.get(scheme, scheme)):
        adapter = known[scheme].load()
    if has_userinfo(url):
        raise KeyUriInvalid(f"{scheme}://", "no user and password before the host")
    if from_argv and not adapter.secret_parameters.isdisjoint(parameter_names(url)):
        raise secrets_in_argv(scheme)
    return adapter


def secrets_in_argv(scheme: str) -> InvalidRequest:
    """Return the error for a URL with secrets that stood on a command line."""
    rule = "not on a command line, which others can see; put it into a file: file://FILE"
    return InvalidRequest("key service", f"{scheme}://...", rule)


def has_userinfo(url: str) -> bool:
    """Say whether something stands before the host of ``url``, as a password would."""
    authority = url.partition("://")[2].partition("?")[0].partition("/")[0]
    return "@" in authority


def parameter_names(url: str) -> frozenset[str]:
    """Return the names of the parameters of ``url``, decoded."""
    query = url.partition("?")[2]
    return frozenset(unquote_plus(part.partition("=")[0]) for part in query.split("&"))


def _timeout(url: str) -> float:
    """Return the timeout among the parameters of a URL that its adapter has accepted."""
    for part in url.partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        if name == "timeout" and value:
            return check_seconds(f"{scheme_of(url)}://", name, unquote_plus(value))
    return TIMEOUT
