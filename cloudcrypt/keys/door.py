"""From a URL to a key service: adapters register in ``cloudcrypt.key_services``.

The name of an entry point is the scheme of its URLs, its object a class or factory with a method
``from_url`` that returns an `OpenKeyService`. One whose URLs hold secrets says so by an attribute
``carries_secrets`` that is true. A package of a third party registers like those of cloudcrypt:

    [project.entry-points."cloudcrypt.key_services"]
    constellation = "cloudcrypt.keyservice.client:ConstellationKeyService"
"""

import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint

from cloudcrypt.errors import InvalidRequest, KeyUriInvalid, UnknownKeyService
from cloudcrypt.keys.cache import ENTRIES, CachingKeyService
from cloudcrypt.keys.service import OpenKeyService
from cloudcrypt.plugins import installed, needing, scheme_of

GROUP = "cloudcrypt.key_services"
"""The entry-point group of adapters of key services."""

EXTRAS: Mapping[str, str] = {
    "aws-kms": "aws",
    "azure-keyvault": "azure",
    "constellation": "keyservice",
    "gcp-kms": "gcp",
    "vault-transit": "vault",
}
"""The extra of cloudcrypt that a scheme needs; a scheme of a third party is its own extra."""

_CACHE = "cache"
_CACHE_ENTRIES = "cache-entries"


def key_services(services: Mapping[str, EntryPoint] | None = None) -> tuple[str, ...]:
    """Return the schemes that have an adapter, sorted.

    Args:
        services: entry points by scheme; those of the installed packages if it is None.
    """
    return tuple(sorted(installed(GROUP) if services is None else services))


def open_key_service(
    url: str,
    *,
    from_argv: bool = False,
    services: Mapping[str, EntryPoint] | None = None,
) -> OpenKeyService:
    """Open the key service that ``url`` names, such as ``file:///etc/master-secret.json``.

    Nothing is cached unless the URL says so: ``cache=SECONDS`` among its parameters puts a
    `CachingKeyService` before it, and ``cache-entries=N`` bounds that one.

    Args:
        url: ``scheme://`` and what the adapter of the scheme understands. It may hold secrets: no
            error repeats more of it than the scheme.
        from_argv: the URL stood on a command line, where other processes see it; one that can hold
            secrets is refused.
        services: entry points by scheme; those of the installed packages if it is None.

    Raises:
        UnknownKeyService: no adapter is registered for the scheme.
        InvalidRequest: the URL carries secrets and stood on a command line.
        KeyUriInvalid: it is malformed.
        HostUnready: the adapter needs a package that is not installed.
        KeyServiceError: as the adapter finds.
    """
    known = installed(GROUP) if services is None else services
    scheme = scheme_of(url)
    if scheme not in known:
        raise _unknown(scheme, tuple(sorted(known)))
    if not url.isprintable():
        raise KeyUriInvalid(f"{scheme}://", "a URL has printable characters only")
    plain, options = _split(url, scheme)
    limits = _limits(options, scheme)
    with needing(f"the key service {scheme!r}", EXTRAS.get(scheme, scheme)):
        adapter = known[scheme].load()
        if from_argv and (getattr(adapter, "carries_secrets", False) or _has_userinfo(url)):
            rule = "not on a command line, which others can see; put it into a file: file://FILE"
            raise InvalidRequest("key service", f"{scheme}://...", rule)
        service: OpenKeyService = adapter.from_url(plain)
    return _cached(service, limits)


def _unknown(scheme: str, known: tuple[str, ...]) -> UnknownKeyService:
    if scheme in EXTRAS:
        instead = f'pip install "cloudcrypt[{EXTRAS[scheme]}]", in a version that has this adapter'
        return UnknownKeyService(scheme, known, instead)
    return UnknownKeyService(scheme or "(none)", known)


def _has_userinfo(url: str) -> bool:
    authority = url.partition("://")[2].partition("?")[0].partition("/")[0]
    return "@" in authority


def _split(url: str, scheme: str) -> tuple[str, dict[str, str]]:
    """Return the URL without the parameters of the cache, every other byte as it was; and these."""
    head, mark, query = url.partition("?")
    options: dict[str, str] = {}
    kept: list[str] = []
    for part in query.split("&") if mark else ():
        name, _, value = part.partition("=")
        if name not in {_CACHE, _CACHE_ENTRIES}:
            kept.append(part)
        elif name in options:
            raise KeyUriInvalid(f"{scheme}://", f"{name} is given twice")
        else:
            options[name] = value
    return (f"{head}?{'&'.join(kept)}" if kept else head), options


def _limits(options: Mapping[str, str], scheme: str) -> tuple[float, int] | None:
    """Return seconds and entries of the cache that is asked for, or None."""
    if not options:
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
