"""From a URL to a key service: adapters register in ``cloudcrypt.key_services``.

The name of an entry point is the scheme of its URLs, its object a class or factory with a method
``from_url`` that returns an `OpenKeyService`. One whose URLs hold secrets says so by an attribute
``carries_secrets`` that is true. A package of a third party registers like those of cloudcrypt:

    [project.entry-points."cloudcrypt.key_services"]
    constellation = "cloudcrypt.keyservice.client:ConstellationKeyService"

A scheme of ``cloudcrypt.kms`` is a KMS, in front of which an `EnvelopeKeyService` is put.
"""

import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from urllib.parse import unquote

from cloudcrypt.errors import InvalidRequest, KeyUriInvalid
from cloudcrypt.keys.cache import ENTRIES, CachingKeyService
from cloudcrypt.keys.external import (
    EXTRAS,
    KMS_GROUP,
    has_userinfo,
    open_envelope,
    secrets_in_argv,
    unknown,
)
from cloudcrypt.keys.service import OpenKeyService
from cloudcrypt.keys.translated import NO_STORE, is_foreign_kms
from cloudcrypt.plugins import installed, needing, scheme_of

GROUP = "cloudcrypt.key_services"
"""The entry-point group of adapters of key services."""

_CACHE = "cache"
_CACHE_ENTRIES = "cache-entries"
_STORE = "store"

Entries = Mapping[str, EntryPoint]
"""Entry points by scheme."""


def key_services(services: Entries | None = None, kms: Entries | None = None) -> tuple[str, ...]:
    """Return the schemes that have an adapter, sorted.

    Args:
        services: entry points by scheme; those of the installed packages if it is None.
        kms: those of KMSs, likewise.
    """
    known = installed(GROUP) if services is None else services
    return tuple(sorted({*known, *(installed(KMS_GROUP) if kms is None else kms)}))


def open_key_service(
    url: str,
    *,
    store: str | None = None,
    from_argv: bool = False,
    services: Entries | None = None,
    kms: Entries | None = None,
    stores: Entries | None = None,
) -> OpenKeyService:
    """Open the key service that ``url`` names, such as ``file:///etc/master-secret.json``.

    A KMS needs a store: ``aws-kms://KEY?store=s3://BUCKET``, the URL being a parameter, in percent-
    encoding where it has ``&`` or ``%``, or the argument ``store``. Nothing is cached unless the
    URL says so: ``cache=SECONDS`` among its parameters puts a `CachingKeyService` before it, and
    ``cache-entries=N`` bounds that one.

    Args:
        url: ``scheme://`` and what the adapter of the scheme understands. It may hold secrets: no
            error repeats more of it than the scheme.
        store: URL of the store of a KMS, unless ``url`` has it.
        from_argv: the URL stood on a command line, where other processes see it; one that can hold
            secrets is refused.
        services: entry points by scheme; those of the installed packages if it is None.
        kms: those of KMSs, likewise.
        stores: those of stores, likewise.

    Raises:
        UnknownKeyService: no adapter is registered for the scheme.
        InvalidRequest: the URL carries secrets and stood on a command line.
        KeyUriInvalid: it is malformed, or the store is missing.
        HostUnready: the adapter needs a package that is not installed.
        KeyServiceError: as the adapter finds.
    """
    known = installed(GROUP) if services is None else services
    wrapping = installed(KMS_GROUP) if kms is None else kms
    scheme = scheme_of(url)
    is_wrapping = is_foreign_kms(url) or (scheme in wrapping and scheme not in known)
    if not is_wrapping and scheme not in known:
        raise unknown(scheme, key_services(known, wrapping))
    if not url.isprintable():
        raise KeyUriInvalid(f"{scheme}://", "a URL has printable characters only")
    taken = _CACHE, _CACHE_ENTRIES, *((_STORE,) if is_wrapping else ())
    plain, options = _split(url, scheme, taken)
    limits = _limits(options, scheme)
    service: OpenKeyService
    if is_wrapping:
        keeps = _store_of(scheme, options.get(_STORE), store)
        service = open_envelope(plain, keeps, from_argv=from_argv, kms=wrapping, stores=stores)
    else:
        _require_no_store(scheme, store)
        service = _opened(plain, known[scheme], from_argv=from_argv)
    return _cached(service, limits)


def _opened(url: str, entry: EntryPoint, *, from_argv: bool) -> OpenKeyService:
    scheme = scheme_of(url)
    with needing(f"the key service {scheme!r}", EXTRAS.get(scheme, scheme)):
        adapter = entry.load()
        if from_argv and (getattr(adapter, "carries_secrets", False) or has_userinfo(url)):
            raise secrets_in_argv(scheme)
        service: OpenKeyService = adapter.from_url(url)
    return service


def _store_of(scheme: str, within: str | None, beside: str | None) -> str:
    """Return the URL of the store of a KMS: from its own URL, or given beside it."""
    if within and beside:
        raise KeyUriInvalid(f"{scheme}://", "store is given twice: in the URL, and beside it")
    url = unquote(within) if within else beside
    if not url:
        reason = (
            "store is missing: the URL of where wrapped keys are kept, without which they are lost"
        )
        raise KeyUriInvalid(f"{scheme}://", reason)
    return url


def _require_no_store(scheme: str, store: str | None) -> None:
    if store not in {None, NO_STORE}:
        reason = "its keys are derived, or another service's: it takes no store"
        raise KeyUriInvalid(f"{scheme}://", reason)


def _split(url: str, scheme: str, taken: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Return the URL without the parameters ``taken``, every other byte as it was; and these."""
    head, mark, query = url.partition("?")
    options: dict[str, str] = {}
    kept: list[str] = []
    for part in query.split("&") if mark else ():
        name, _, value = part.partition("=")
        if name not in taken:
            kept.append(part)
        elif name in options:
            raise KeyUriInvalid(f"{scheme}://", f"{name} is given twice")
        else:
            options[name] = value
    return (f"{head}?{'&'.join(kept)}" if kept else head), options


def _limits(options: Mapping[str, str], scheme: str) -> tuple[float, int] | None:
    """Return seconds and entries of the cache that is asked for, or None."""
    if options.keys() <= {_STORE}:
        return None
    seconds, entries = _number(options.get(_CACHE)), _number(options.get(_CACHE_ENTRIES, ENTRIES))
    if seconds is None or entries is None or entries != int(entries):
        reason = "cache is a number of seconds, and cache-entries, beside it, of keys"
        raise KeyUriInvalid(f"{scheme}://", reason)
    return seconds, int(entries)


def _cached(service: OpenKeyService, limits: tuple[float, int] | None) -> OpenKeyService:
    if limits is None:
        return service
    seconds, entries = limits
    try:
        return CachingKeyService(service, seconds=seconds, entries=entries)
    except InvalidRequest:
        service.close()
        raise


def _number(text: str | int | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
