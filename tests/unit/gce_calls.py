"""Calls to the fake Compute Engine that its tests share, through the clients of Google."""

import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeGce, Timings

PROJECT, REGION = "demo-project", "europe-west3"
ZONE, OTHER_ZONE, THIRD_ZONE = "europe-west3-a", "europe-west3-b", "europe-west3-c"
TIMES = Timings()
DONE = compute_v1.Operation.Status.DONE
_NAMES = itertools.count(1)

T = TypeVar("T")


@cache
def _client(kind: Callable[..., Any], endpoint: str) -> Any:
    options = ClientOptions(api_endpoint=endpoint)
    nobody = AnonymousCredentials()  # type: ignore[no-untyped-call]  # as google-auth has it
    return kind(credentials=nobody, client_options=options)


def client(gce: FakeGce, kind: Callable[..., T]) -> T:
    """Return the client of this process of one kind."""
    found: T = _client(kind, gce.endpoint)
    return found


def disks(gce: FakeGce) -> compute_v1.DisksClient:
    return client(gce, compute_v1.DisksClient)


def region_disks(gce: FakeGce) -> compute_v1.RegionDisksClient:
    return client(gce, compute_v1.RegionDisksClient)


def snapshots(gce: FakeGce) -> compute_v1.SnapshotsClient:
    return client(gce, compute_v1.SnapshotsClient)


def instances(gce: FakeGce) -> compute_v1.InstancesClient:
    return client(gce, compute_v1.InstancesClient)


def operations(gce: FakeGce) -> compute_v1.ZoneOperationsClient:
    return client(gce, compute_v1.ZoneOperationsClient)


def at(zone: str = ZONE) -> dict[str, Any]:
    """Return what most methods of a zone need."""
    return {"project": PROJECT, "zone": zone}


def within(region: str = REGION) -> dict[str, Any]:
    """Return what most methods of a region need."""
    return {"project": PROJECT, "region": region}


def waited(gce: FakeGce, operation: compute_v1.Operation) -> compute_v1.Operation:
    """Wait once for an operation, wherever it is."""
    place = (operation.zone or operation.region).rpartition("/")[2]
    if operation.zone:
        return operations(gce).wait(**at(place), operation=operation.name)
    if operation.region:
        regional = client(gce, compute_v1.RegionOperationsClient)
        return regional.wait(**within(place), operation=operation.name)
    everywhere = client(gce, compute_v1.GlobalOperationsClient)
    return everywhere.wait(project=PROJECT, operation=operation.name)


def failure(operation: compute_v1.Operation) -> tuple[str, int]:
    """Return the code and the HTTP status of a failed operation; nothing if it did not fail."""
    codes = [error.code for error in operation.error.errors]
    return (codes[0] if codes else ""), operation.http_error_status_code


def kind_of(name: str, scope: str = f"zones/{ZONE}") -> str:
    """Return the partial URL of a type of disk."""
    return f"{scope}/diskTypes/{name}"


def insert(
    gce: FakeGce,
    name: str | None = None,
    zone: str = ZONE,
    request_id: str | None = None,
    **fields: Any,
) -> compute_v1.Operation:
    """Begin to make a disk of 10 GB, unless said otherwise."""
    if not {"source_snapshot", "source_disk"} & set(fields):
        fields.setdefault("size_gb", 10)
    resource = compute_v1.Disk(name=name or f"data-{next(_NAMES)}", **fields)
    request = compute_v1.InsertDiskRequest(
        **at(zone), disk_resource=resource, request_id=request_id
    )
    return disks(gce).insert_unary(request=request)


def made(gce: FakeGce, name: str | None = None, zone: str = ZONE, **fields: Any) -> compute_v1.Disk:
    """Make a disk, wait for it, and return it."""
    operation = waited(gce, insert(gce, name, zone, **fields))
    assert failure(operation) == ("", 0)
    return disks(gce).get(**at(zone), disk=str(operation.target_id))


def regional(gce: FakeGce, **fields: Any) -> compute_v1.Disk:
    """Make a disk with replicas in two zones, wait for it, and return it."""
    resource = compute_v1.Disk(
        name=f"data-{next(_NAMES)}",
        type_=kind_of(fields.pop("kind", "pd-balanced"), f"regions/{REGION}"),
        replica_zones=[f"zones/{zone}" for zone in fields.pop("zones", (ZONE, OTHER_ZONE))],
        **{"size_gb": 10, **fields},
    )
    operation = waited(gce, region_disks(gce).insert_unary(**within(), disk_resource=resource))
    assert failure(operation) == ("", 0)
    return region_disks(gce).get(**within(), disk=str(operation.target_id))


def attach(
    gce: FakeGce,
    disk: compute_v1.Disk,
    instance: str,
    *,
    force: bool = False,
    request_id: str | None = None,
    **fields: Any,
) -> compute_v1.Operation:
    """Begin to attach a disk, under its name unless said otherwise."""
    zone, _, name = instance.partition("/")
    fields = {"source": disk.self_link, "device_name": disk.name, **fields}
    request = compute_v1.AttachDiskInstanceRequest(
        **at(zone),
        instance=name,
        attached_disk_resource=compute_v1.AttachedDisk(**fields),
        request_id=request_id,
    )
    if force:
        request.force_attach = True
    return instances(gce).attach_disk_unary(request=request)


def attached(gce: FakeGce, disk: compute_v1.Disk, instance: str, **fields: Any) -> None:
    """Attach a disk, and wait for it."""
    assert failure(waited(gce, attach(gce, disk, instance, **fields))) == ("", 0)


def detach(gce: FakeGce, instance: str, device_name: str) -> compute_v1.Operation:
    """Begin to detach a disk."""
    zone, _, name = instance.partition("/")
    return instances(gce).detach_disk_unary(**at(zone), instance=name, device_name=device_name)


def devices(gce: FakeGce, instance: str) -> list[str]:
    """Return the device names of the disks of an instance, but for its boot disk."""
    zone, _, name = instance.partition("/")
    found = instances(gce).get(**at(zone), instance=name).disks
    return [one.device_name for one in found if not one.boot]


def snapshot(gce: FakeGce, disk: compute_v1.Disk, name: str = "kept", **fields: Any) -> Any:
    """Make a snapshot of a disk of a zone, wait for it, and return it."""
    zone = disk.zone.rpartition("/")[2]
    resource = compute_v1.Snapshot(name=name, **fields)
    operation = disks(gce).create_snapshot_unary(
        **at(zone), disk=disk.name, snapshot_resource=resource
    )
    assert failure(waited(gce, operation)) == ("", 0)
    return snapshots(gce).get(project=PROJECT, snapshot=name)


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str, str]:
    """Return the HTTP status, the reason and the message of the error that ``call`` ends with."""
    with pytest.raises(GoogleAPICallError) as caught:
        call(*arguments, **named)
    (error,) = caught.value.errors
    assert set(error) == {"message", "domain", "reason"}
    return int(caught.value.code or 0), error["reason"], error["message"]


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    """Return the HTTP status and the reason of the error that ``call`` ends with."""
    return refused(call, *arguments, **named)[:2]


def raw(
    gce: FakeGce, verb: str, path: str, body: Any = None, **query: Any
) -> tuple[int, dict[str, Any]]:
    """Send a request that no client would send; return the status and the document."""
    url = f"{gce.endpoint}/compute/v1/projects/{PROJECT}/{path}"
    data = body if isinstance(body, bytes) else None
    document = None if data is not None else body
    answer = requests.request(verb, url, params=query, data=data, json=document, timeout=60)
    return answer.status_code, answer.json() if answer.content else {}


def reason(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    """Return the status and the reason in what `raw` returns."""
    status, document = answer
    return status, document["error"]["errors"][0]["reason"]


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
