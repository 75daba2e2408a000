"""From a URL to a provider: adapters register in the entry-point group ``cloudcrypt.providers``.

The name of an entry point is the scheme of its URLs, its object a class or factory with a method
``from_url``. A package of a third party registers in the same way as the adapters that come with
cloudcrypt:

    [project.entry-points."cloudcrypt.providers"]
    local = "cloudcrypt_local:LocalProvider"
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from pathlib import Path

import attrs

from cloudcrypt.errors import InvalidRequest, UnknownProvider
from cloudcrypt.plugins import installed, needing, scheme_of
from cloudcrypt.spi import VolumeProvider

GROUP = "cloudcrypt.providers"
"""The entry-point group of adapters."""

OFFLINE_GROUP = "cloudcrypt.offline"
"""The entry-point group of clouds that are simulated on this host."""


@attrs.frozen
class OfflineCloud:
    """A simulated cloud: an adapter that talks to it, and its instances.

    ``roots`` has the folder in which each instance sees its ``dev`` and ``sys``.
    """

    provider: VolumeProvider
    roots: Mapping[str, Path]


def providers(adapters: Mapping[str, EntryPoint] | None = None) -> tuple[str, ...]:
    """Return the schemes that have an adapter, sorted.

    Args:
        adapters: entry points by scheme; those of the installed packages if it is None.
    """
    return tuple(sorted(installed(GROUP) if adapters is None else adapters))


def open_provider(url: str, *, adapters: Mapping[str, EntryPoint] | None = None) -> VolumeProvider:
    """Open the provider that ``url`` names, for example ``local:///var/lib/cloudcrypt``.

    Args:
        url: ``scheme://`` and what the adapter of the scheme understands; no secrets.
        adapters: entry points by scheme; those of the installed packages if it is None.

    Raises:
        UnknownProvider: no adapter is registered for the scheme.
        HostUnready: the adapter needs a package that is not installed.
        RequestError, ProviderError: as the adapter finds.
    """
    known = installed(GROUP) if adapters is None else adapters
    if not url.isprintable():
        raise InvalidRequest("provider", url, "a URL of printable characters")
    scheme = scheme_of(url)
    if scheme not in known:
        raise UnknownProvider(url, providers(known))
    with needing(f"the provider {scheme!r}", scheme):
        provider: VolumeProvider = known[scheme].load().from_url(url)
    return provider


def offline_clouds() -> tuple[str, ...]:
    """Return the names of the clouds that can be simulated here, sorted."""
    return tuple(sorted(installed(OFFLINE_GROUP)))


def open_offline(
    name: str, folder: Path, *, clouds: Mapping[str, EntryPoint] | None = None
) -> AbstractContextManager[OfflineCloud]:
    """Return a simulated cloud that lives in ``folder`` and on loopback until it is left.

    Args:
        name: of the cloud, such as ``aws``.
        folder: an empty folder; it is not removed.
        clouds: entry points by name; those of the installed packages if it is None.

    Raises:
        UnknownProvider: no such cloud is simulated.
        HostUnready: the simulation needs a package that is not installed.
    """
    known = installed(OFFLINE_GROUP) if clouds is None else clouds
    if name not in known:
        raise UnknownProvider(name, tuple(sorted(known)))
    with needing(f"the offline cloud {name!r}", f"{name},testing"):
        opened: AbstractContextManager[OfflineCloud] = known[name].load()(folder)
    return opened
