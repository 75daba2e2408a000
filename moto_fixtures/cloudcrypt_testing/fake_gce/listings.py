"""The requests that list: one zone, one region, the project, or all of them together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from cloudcrypt_testing.fake_gce import kinds, pages
from cloudcrypt_testing.fake_gce.cloud import Cloud, View
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.render import Document, listed, without_nothing

Items = Callable[[Cloud, View, str], Iterable[Document]]
"""Shows all that is in a scope."""


@attrs.frozen
class Collection:
    """One type of resource."""

    name: str
    """As it stands in paths: ``disks``."""
    item: str
    """The schema of each: ``Disk``."""
    items: Items
    scopes: tuple[str, ...]
    """The kinds of scopes that it is found in."""

    @property
    def kind(self) -> str:
        """How the kind of a list begins: ``disk``."""
        return self.item[0].lower() + self.item[1:]


def _disks(cloud: Cloud, view: View, scope: str) -> Iterator[Document]:
    return (cloud.render.disk(one) for one in view.disks.values() if one.scope == scope)


def _snapshots(cloud: Cloud, view: View, _scope: str) -> Iterator[Document]:
    return (cloud.render.snapshot(one) for one in view.snapshots.values())


def _instances(cloud: Cloud, view: View, scope: str) -> Iterator[Document]:
    return (cloud.render.instance(one) for one in view.instances.values() if one.scope == scope)


def _operations(cloud: Cloud, view: View, scope: str) -> Iterator[Document]:
    return (cloud.render.operation(one) for one in view.operations.values() if one.scope == scope)


def _disk_types(cloud: Cloud, _view: View, scope: str) -> Iterator[Document]:
    names = (name for name in kinds.DISKS if kinds.disk_kind(scope, name) is not None)
    return (cloud.render.disk_type(scope, name) for name in names)


def _zones(cloud: Cloud, _view: View, _scope: str) -> Iterator[Document]:
    return map(cloud.render.zone, cloud.site.zones)


def _regions(cloud: Cloud, _view: View, _scope: str) -> Iterator[Document]:
    return map(cloud.render.region, cloud.site.regions)


_PLACES: Final = ("zones", "regions")
DISKS: Final = Collection("disks", "Disk", _disks, _PLACES)
DISK_TYPES: Final = Collection("diskTypes", "DiskType", _disk_types, _PLACES)
INSTANCES: Final = Collection("instances", "Instance", _instances, ("zones",))
OPERATIONS: Final = Collection("operations", "Operation", _operations, (*_PLACES, "global"))
REGIONS: Final = Collection("regions", "Region", _regions, ())
SNAPSHOTS: Final = Collection("snapshots", "Snapshot", _snapshots, ("global",))
ZONES: Final = Collection("zones", "Zone", _zones, ())


def listing(collection: Collection) -> Callable[[Cloud, Incoming, View], Document]:
    """Return what answers the ``list`` of a collection."""

    def answer(cloud: Cloud, incoming: Incoming, view: View) -> Document:
        items = collection.items(cloud, view, incoming.scope)
        found, token = pages.page(incoming, items, collection.item)
        path = f"{incoming.scope}/{collection.name}" if collection.scopes else collection.name
        return listed(found, f"{collection.kind}List", cloud.site.url(path), token)

    return answer


def aggregation(collection: Collection) -> Callable[[Cloud, Incoming, View], Document]:
    """Return what answers the ``aggregatedList`` of a collection."""

    def answer(cloud: Cloud, incoming: Incoming, view: View) -> Document:
        scopes = list(_scopes(cloud, collection, with_all=incoming.flag("includeAllScopes")))
        items = (item for scope in scopes for item in collection.items(cloud, view, scope))
        found, token = pages.page(incoming, items, collection.item)
        link = cloud.site.url(f"aggregated/{collection.name}")
        groups: dict[str, list[Document]] = {scope: [] for scope in scopes}
        for item in found:
            groups[_scope_of(cloud, item)].append(item)
        page = {
            "kind": f"compute#{collection.kind}AggregatedList",
            "id": link,
            "items": {scope: _group(collection, scope, groups[scope]) for scope in scopes},
            "selfLink": link,
            "nextPageToken": token,
        }
        return without_nothing(page)

    return answer


def _scopes(cloud: Cloud, collection: Collection, *, with_all: bool) -> Iterator[str]:
    known: Mapping[str, Iterable[str]] = {
        "global": ["global"],
        "regions": [f"regions/{name}" for name in cloud.site.regions],
        "zones": [f"zones/{name}" for name in cloud.site.zones],
    }
    for kind, scopes in known.items():
        if with_all or kind in collection.scopes:
            yield from scopes


def _scope_of(cloud: Cloud, item: Document) -> str:
    path = str(item["selfLink"]).removeprefix(cloud.site.url(""))
    return path.rsplit("/", 2)[0]


def _group(collection: Collection, scope: str, items: list[Document]) -> dict[str, Any]:
    if items:
        return {collection.name: items}
    return {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope '{scope}' on this page.",
            "data": [{"key": "scope", "value": scope}],
        }
    }
