"""Calls to the fake Azure that its tests share, through the client of Microsoft."""

import itertools
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineResponse
from azure.core.rest import HttpRequest, HttpResponse
from azure.mgmt.compute import ComputeManagementClient

from cloudcrypt_testing.fake_azure import Disk, FakeAzure, Timings

GROUP, PLACE = "demo-group", "westeurope"
VERSION = "2025-01-02"
TIMES = Timings()
AUTHORIZED = {"Authorization": "Bearer worthless"}
_NAMES = itertools.count(1)


@cache
def _client(endpoint: str, subscription: str) -> ComputeManagementClient:
    return ComputeManagementClient(
        FakeAzure.credential(),
        subscription,
        base_url=endpoint,
        authentication_policy=FakeAzure.authentication_policy(),
        polling_interval=0,
        retry_total=0,
    )


def client(azure: FakeAzure) -> Any:
    """Return the client of this process; its types know no bodies of JSON."""
    return _client(azure.endpoint, azure.subscription)


@cache
def _session() -> requests.Session:
    return requests.Session()


@attrs.frozen
class Begun:
    """The answer to a request that may have begun an operation."""

    status: int
    headers: Mapping[str, str]
    document: dict[str, Any]


def begin(call: Callable[..., Any], *arguments: Any, **named: Any) -> Begun:
    """Call a method ``begin_...`` of the client, and return what was answered to its request."""
    seen: list[HttpResponse] = []

    def hook(response: PipelineResponse[HttpRequest, HttpResponse]) -> None:
        seen.append(response.http_response)

    call(*arguments, polling=False, raw_response_hook=hook, **named)
    (response,) = seen
    document = response.json() if response.read() else {}
    return Begun(response.status_code, response.headers, document)


def raw(
    azure: FakeAzure,
    verb: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] = AUTHORIZED,
    query: Mapping[str, str] | None = None,
) -> requests.Response:
    """Send a request that no client would send; ``path`` is a URL, or below the provider."""
    if not path.startswith("http"):
        scope = f"/subscriptions/{azure.subscription}/resourceGroups/{GROUP}"
        path = f"{azure.endpoint}{scope}/providers/Microsoft.Compute/{path}"
        query = {"api-version": VERSION, **(query or {})}
    data = body if isinstance(body, bytes) else None
    document = None if data is not None else body
    return _session().request(
        verb, path, data=data, json=document, params=query, headers=headers, timeout=60
    )


def status(azure: FakeAzure, begun: Begun) -> dict[str, Any]:
    """Return how far an operation is."""
    document: dict[str, Any] = raw(azure, "GET", begun.headers["Azure-AsyncOperation"]).json()
    return document


def waited(azure: FakeAzure, begun: Begun) -> dict[str, Any]:
    """Let the time pass until an operation is over, and return its status."""
    if begun.status == 204 or "Azure-AsyncOperation" not in begun.headers:
        return {"status": "Succeeded"}
    while (found := status(azure, begun))["status"] == "InProgress":
        azure.clock.advance(1)
    return found


def outcome(azure: FakeAzure, begun: Begun) -> tuple[str, str]:
    """Return the status in which an operation ends, and the code of its error."""
    found = waited(azure, begun)
    return found["status"], found.get("error", {}).get("code", "")


def wish(**fields: Any) -> dict[str, Any]:
    """Return the body of a request for an empty disk of 4 GiB in a zone, unless said otherwise.

    Fields of the disk itself are told from its properties by their names.
    """
    outer = {"extendedLocation", "location", "sku", "tags", "zones"}
    body: dict[str, Any] = {"location": PLACE, "zones": ["1"]}
    properties: dict[str, Any] = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4}
    for name, value in fields.items():
        (body if name in outer else properties)[name] = value
    body["properties"] = {name: one for name, one in properties.items() if one is not None}
    if "kind" in properties:
        body["sku"] = {"name": body["properties"].pop("kind")}
    return {name: one for name, one in body.items() if one is not None}


def create(azure: FakeAzure, name: str | None = None, **fields: Any) -> Begun:
    """Begin to make a disk."""
    name = name or f"data-{next(_NAMES)}"
    return begin(client(azure).disks.begin_create_or_update, GROUP, name, wish(**fields))


def made(azure: FakeAzure, name: str | None = None, **fields: Any) -> Disk:
    """Make a disk, wait for it, and return it."""
    name = name or f"data-{next(_NAMES)}"
    assert outcome(azure, create(azure, name, **fields)) == ("Succeeded", "")
    return record(azure, name)


def record(azure: FakeAzure, name: str) -> Disk:
    """Return the disk with a name, as it is."""
    (disk,) = (one for one in azure.disks().values() if one.name == name)
    return disk


def disk_id(azure: FakeAzure, disk: Disk) -> str:
    """Return the id of a disk."""
    scope = f"/subscriptions/{azure.subscription}/resourceGroups/{disk.group}"
    return f"{scope}/providers/Microsoft.Compute/disks/{disk.name}"


def shown(azure: FakeAzure, name: str) -> dict[str, Any]:
    """Return a disk as the API shows it."""
    document: dict[str, Any] = raw(azure, "GET", f"disks/{name}").json()
    return document


def patch(azure: FakeAzure, disk: Disk, **properties: Any) -> Begun:
    """Begin to change properties of a disk."""
    body = {"properties": properties}
    return begin(client(azure).disks.begin_update, GROUP, disk.name, body)


def delete(azure: FakeAzure, name: str) -> Begun:
    """Begin to delete a disk."""
    return begin(client(azure).disks.begin_delete, GROUP, name)


def attach(azure: FakeAzure, instance: str, *disks: Disk, **fields: Any) -> Begun:
    """Begin to attach disks."""
    wanted = [{"diskId": disk_id(azure, disk), **fields} for disk in disks]
    return change(azure, instance, {"dataDisksToAttach": wanted})


def detach(azure: FakeAzure, instance: str, *disks: Disk, **fields: Any) -> Begun:
    """Begin to detach disks."""
    wanted = [{"diskId": disk_id(azure, disk), **fields} for disk in disks]
    return change(azure, instance, {"dataDisksToDetach": wanted})


def change(azure: FakeAzure, instance: str, body: dict[str, Any]) -> Begun:
    """Begin to attach and detach what ``body`` says."""
    group, *names = instance.split("/")
    machines = client(azure).virtual_machines, client(azure).virtual_machine_scale_set_vms
    target: Any = machines[len(names) - 1]
    return begin(target.begin_attach_detach_data_disks, group, *names, body)


def attached(azure: FakeAzure, instance: str, *disks: Disk, **fields: Any) -> None:
    """Attach disks, and wait for it."""
    assert outcome(azure, attach(azure, instance, *disks, **fields)) == ("Succeeded", "")


def detached(azure: FakeAzure, instance: str, *disks: Disk, **fields: Any) -> None:
    """Detach disks, and wait for it."""
    assert outcome(azure, detach(azure, instance, *disks, **fields)) == ("Succeeded", "")


def machine(azure: FakeAzure, instance: str, expand: str | None = None) -> dict[str, Any]:
    """Return an instance as the API shows it."""
    _, *names = instance.split("/")
    path = f"virtualMachines/{names[0]}"
    if len(names) > 1:
        path = f"virtualMachineScaleSets/{names[0]}/virtualMachines/{names[1]}"
    query = {"$expand": expand} if expand is not None else {}
    document: dict[str, Any] = raw(azure, "GET", path, query=query).json()
    return document


def data_disks(azure: FakeAzure, instance: str) -> list[dict[str, Any]]:
    """Return the list of data disks of an instance as the API shows it."""
    found: list[dict[str, Any]] = machine(azure, instance)["properties"]["storageProfile"][
        "dataDisks"
    ]
    return found


def luns(azure: FakeAzure, instance: str) -> dict[int, str]:
    """Return the names of the data disks of an instance by their logical unit numbers."""
    return {one.lun: one.name for one in azure.machines()[instance].data_disks}


def snapshot(azure: FakeAzure, disk: Disk, name: str = "kept", **fields: Any) -> Begun:
    """Begin to make a snapshot of a disk, an incremental one unless said otherwise."""
    copy = {"createOption": "Copy", "sourceResourceId": disk_id(azure, disk)}
    usual = {"zones": None, "diskSizeGB": None, "creationData": copy, "incremental": True}
    wanted = wish(**{**usual, **fields})
    return begin(client(azure).snapshots.begin_create_or_update, GROUP, name, wanted)


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str, str]:
    """Return the HTTP status, the code and the message of the error that ``call`` ends with."""
    with pytest.raises(HttpResponseError) as caught:
        call(*arguments, **named)
    error: Any = caught.value.error
    return int(caught.value.status_code or 0), str(error.code), str(error.message)


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    """Return the HTTP status and the code of the error that ``call`` ends with."""
    return refused(call, *arguments, **named)[:2]


def said(response: requests.Response) -> tuple[int, str]:
    """Return the status and the code in what `raw` returns."""
    return response.status_code, response.json()["error"]["code"]


def write(path: Path, content: bytes, offset: int = 0) -> None:
    """Write into a file, which keeps its size."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def read(path: Path, count: int, offset: int = 0) -> bytes:
    """Read from a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(count)
