"""The requests for lists, on pages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from cloudcrypt_testing.fake_azure import render
from cloudcrypt_testing.fake_azure.cloud import Cloud, View
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.names import same
from cloudcrypt_testing.fake_azure.records import Disk, Machine, Snapshot
from cloudcrypt_testing.fake_azure.replies import Reply

_TOKEN = "$skiptoken"  # noqa: S105 - where a page begins
Document = dict[str, Any]


def disks(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``disks.list`` and ``disks.listByResourceGroup``."""
    return _listed(cloud, incoming, view.disks, render.disk)


def snapshots(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``snapshots.list`` and ``snapshots.listByResourceGroup``."""
    return _listed(cloud, incoming, view.snapshots, render.snapshot)


def machines(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``virtualMachines.list`` and its siblings."""
    wanted = incoming.in_path.get("vmScaleSetName")
    there = {
        key: one
        for key, one in view.machines.items()
        if (wanted or "").lower() == (one.scale_set or "").lower()
    }
    return _listed(cloud, incoming, there, render.machine)


def page(cloud: Cloud, incoming: Incoming, items: Mapping[str, Document]) -> Reply:
    """Return the page of ``items``, by their keys, that a request asks for."""
    first = incoming.in_query.get(_TOKEN, "")
    left = sorted(key for key in items if key > first)
    shown = left[: cloud.quirks.page]
    document: Document = {"value": [items[key] for key in shown]}
    if len(left) > len(shown):
        document["nextLink"] = _next(incoming, shown[-1])
    return Reply(200, document)


def _listed(
    cloud: Cloud,
    incoming: Incoming,
    table: Mapping[str, Any],
    show: Callable[..., Document],
) -> Reply:
    group = incoming.in_path.get("resourceGroupName")
    there: Iterable[Disk | Snapshot | Machine] = table.values()
    items = {
        f"{one.group}/{one.name}".lower(): show(cloud, one, cloud.quirks.spelling(one.group))
        for one in there
        if group is None or same(one.group, group)
    }
    return page(cloud, incoming, items)


def _next(incoming: Incoming, last: str) -> str:
    rest = {name: one for name, one in incoming.in_query.items() if name != _TOKEN}
    query = "&".join(f"{name}={quote(one)}" for name, one in {**rest, _TOKEN: last}.items())
    return f"{incoming.base}{quote(incoming.path)}?{query}"
