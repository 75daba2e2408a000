"""The requests about operations: how far one is, and what came of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cloudcrypt_testing.fake_azure import errors, render
from cloudcrypt_testing.fake_azure.cloud import Cloud, View
from cloudcrypt_testing.fake_azure.incoming import Incoming
from cloudcrypt_testing.fake_azure.names import same
from cloudcrypt_testing.fake_azure.records import Operation
from cloudcrypt_testing.fake_azure.replies import Reply, result_url
from cloudcrypt_testing.fake_azure.runner import DISK_OPERATIONS

Shown = Mapping[str, Any]


def get(cloud: Cloud, incoming: Incoming, view: View) -> Reply:
    """Answer ``operations.get``: its status, or its result to who asks with ``monitor=true``."""
    operation = view.operations.get(incoming.in_path["operationId"].lower())
    if operation is None or not _is_there(operation, incoming):
        raise errors.no_operation()
    if incoming.in_query.get("monitor", "").lower() == "true":
        return _result(cloud, incoming, operation)
    is_done = operation.status == "Succeeded" and operation.kind == DISK_OPERATIONS
    output = _output(cloud, operation) if is_done else None
    return Reply(200, render.operation(operation, output), _later(cloud, operation))


def _is_there(operation: Operation, incoming: Incoming) -> bool:
    place, kind = incoming.in_path["location"], incoming.in_path["operationKind"]
    return same(place, operation.location) and same(kind, operation.kind)


def _result(cloud: Cloud, incoming: Incoming, operation: Operation) -> Reply:
    if operation.status == "InProgress":
        headers = [("Location", result_url(cloud, incoming, operation))]
        return Reply(202, None, (*headers, *_later(cloud, operation)))
    if operation.failure is not None:
        return Reply(operation.failure.status, {"error": operation.failure.document})
    output = _output(cloud, operation)
    return Reply(204) if output is None else Reply(200, output)


def _later(cloud: Cloud, operation: Operation) -> tuple[tuple[str, str], ...]:
    if operation.status != "InProgress":
        return ()
    return (("Retry-After", str(cloud.timings.retry_after)),)


def _disk(cloud: Cloud, key: str) -> dict[str, Any] | None:
    disk = cloud.disks.get(key)
    return None if disk is None else render.disk(cloud, disk, disk.group)


def _snapshot(cloud: Cloud, key: str) -> dict[str, Any] | None:
    snapshot = cloud.snapshots.get(key)
    return None if snapshot is None else render.snapshot(cloud, snapshot, snapshot.group)


def _machine(cloud: Cloud, key: str) -> dict[str, Any] | None:
    machine = cloud.machines.get(key)
    return None if machine is None else render.machine(cloud, machine, machine.group)


def _profile(cloud: Cloud, key: str) -> dict[str, Any] | None:
    machine = cloud.machines.get(key)
    return None if machine is None else render.storage_profile(cloud, machine)


_RESULTS: Final[Mapping[str, Callable[[Cloud, str], dict[str, Any] | None]]] = {
    "attachDetachDataDisks": _profile,
    "disks": _disk,
    "snapshots": _snapshot,
    "virtualMachineScaleSetVMs": _machine,
    "virtualMachines": _machine,
}


def _output(cloud: Cloud, operation: Operation) -> dict[str, Any] | None:
    """Return what an operation has made or changed; None if it has deleted it."""
    kind, _, verb = operation.action.partition(".")
    show = _RESULTS.get(verb) or _RESULTS[kind]
    return show(cloud, operation.target)
