"""Which path and method is which operation of the API, and what it takes and answers."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import attrs

from cloudcrypt_testing.fake_azure.names import PROVIDER

_SUBSCRIPTION: Final = "/subscriptions/{subscriptionId}"
_COMPUTE: Final = f"{_SUBSCRIPTION}/providers/{PROVIDER}"
_GROUP: Final = f"{_SUBSCRIPTION}/resourceGroups/{{resourceGroupName}}/providers/{PROVIDER}"
_INSTANCES: Final = f"{_GROUP}/virtualMachineScaleSets/{{vmScaleSetName}}/virtualMachines"


@attrs.frozen
class Route:
    """One operation of the API."""

    method: str
    template: str
    action: str
    """As faults and the log say it: ``disks.createOrUpdate``."""
    request: str | None = None
    """The model of the body that it takes."""
    answer: str | None = None
    """The model of what it answers with."""
    since: str = ""
    """The first API version that has it."""

    @property
    def is_reading(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    @property
    def pattern(self) -> re.Pattern[str]:
        """What matches its paths, in any mixture of upper and lower case."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.template), re.IGNORECASE)


def _collection(kind: str, name: str, model: str) -> tuple[Route, ...]:
    one = f"{_GROUP}/{kind}/{{{name}}}"
    return (
        Route("GET", one, f"{kind}.get", answer=model),
        Route("PUT", one, f"{kind}.createOrUpdate", model, model),
        Route("PATCH", one, f"{kind}.update", f"{model}Update", model),
        Route("DELETE", one, f"{kind}.delete"),
        Route("GET", f"{_GROUP}/{kind}", f"{kind}.listByResourceGroup", answer=model),
        Route("GET", f"{_COMPUTE}/{kind}", f"{kind}.list", answer=model),
    )


def _machine(one: str, kind: str, model: str) -> tuple[Route, ...]:
    return (
        Route("GET", one, f"{kind}.get", answer=model),
        Route(
            "POST",
            f"{one}/attachDetachDataDisks",
            f"{kind}.attachDetachDataDisks",
            "AttachDetachDataDisksRequest",
            since="2024-03-01",
        ),
    )


_MACHINE: Final = "VirtualMachine"
_INSTANCE: Final = "VirtualMachineScaleSetVM"
_ONE_MACHINE: Final = f"{_GROUP}/virtualMachines/{{vmName}}"
_ONE_INSTANCE: Final = f"{_INSTANCES}/{{instanceId}}"
ROUTES: Final = (
    *_collection("disks", "diskName", "Disk"),
    *_collection("snapshots", "snapshotName", "Snapshot"),
    *_machine(_ONE_MACHINE, "virtualMachines", _MACHINE),
    Route("PUT", _ONE_MACHINE, "virtualMachines.createOrUpdate", _MACHINE, _MACHINE),
    Route("PATCH", _ONE_MACHINE, "virtualMachines.update", f"{_MACHINE}Update", _MACHINE),
    Route("GET", f"{_GROUP}/virtualMachines", "virtualMachines.list", answer=_MACHINE),
    Route("GET", f"{_COMPUTE}/virtualMachines", "virtualMachines.listAll", answer=_MACHINE),
    *_machine(_ONE_INSTANCE, "virtualMachineScaleSetVMs", _INSTANCE),
    Route("PUT", _ONE_INSTANCE, "virtualMachineScaleSetVMs.update", _INSTANCE, _INSTANCE),
    Route("GET", _INSTANCES, "virtualMachineScaleSetVMs.list", answer=_INSTANCE),
    Route("GET", f"{_COMPUTE}/skus", "resourceSkus.list", answer="ResourceSku"),
    Route(
        "GET",
        f"{_COMPUTE}/locations/{{location}}/{{operationKind}}/{{operationId}}",
        "operations.get",
    ),
)
"""All operations that the fake knows."""
_PATTERNS: Final = tuple((route, route.pattern) for route in ROUTES)
_READING: Final = frozenset(route.action for route in ROUTES if route.is_reading)


def found(method: str, path: str) -> tuple[Route | None, Mapping[str, str]]:
    """Return the operation with this method and path, and the names in the path."""
    for route, pattern in _PATTERNS:
        match = pattern.fullmatch(path) if route.method == method else None
        if match is not None:
            return route, {name: unquote(value) for name, value in match.groupdict().items()}
    return None, {}


def is_reading(action: str) -> bool:
    """Say whether an operation changes nothing."""
    return action in _READING
