"""Which request is answered by what."""

from collections.abc import Callable, Mapping
from typing import Final

from cloudcrypt_testing.fake_gce import (
    attachments,
    changes,
    creations,
    disks,
    errors,
    listings,
    places,
    schema,
    snapshots,
)
from cloudcrypt_testing.fake_gce import operations as ops
from cloudcrypt_testing.fake_gce.cloud import Cloud, View
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.render import Document
from cloudcrypt_testing.fake_gce.runner import Job

_CHANGING: Final[Mapping[str, Callable[[Cloud, Incoming], Job]]] = {
    "disks.createSnapshot": snapshots.create,
    "disks.delete": disks.delete,
    "disks.insert": creations.insert,
    "disks.resize": changes.resize,
    "disks.setLabels": changes.set_disk_labels,
    "disks.update": changes.update,
    "instances.attachDisk": attachments.attach,
    "instances.detachDisk": attachments.detach,
    "regionDisks.createSnapshot": snapshots.create,
    "regionDisks.delete": disks.delete,
    "regionDisks.insert": creations.insert,
    "regionDisks.resize": changes.resize,
    "regionDisks.setLabels": changes.set_disk_labels,
    "regionDisks.update": changes.update,
    "snapshots.delete": snapshots.delete,
    "snapshots.insert": snapshots.insert,
    "snapshots.setLabels": changes.set_snapshot_labels,
}
_READING: Final[Mapping[str, Callable[[Cloud, Incoming, View], Document]]] = {
    "diskTypes.aggregatedList": listings.aggregation(listings.DISK_TYPES),
    "diskTypes.get": places.disk_type,
    "diskTypes.list": listings.listing(listings.DISK_TYPES),
    "disks.aggregatedList": listings.aggregation(listings.DISKS),
    "disks.get": disks.get,
    "disks.list": listings.listing(listings.DISKS),
    "globalOperations.aggregatedList": listings.aggregation(listings.OPERATIONS),
    "globalOperations.get": ops.get,
    "globalOperations.list": listings.listing(listings.OPERATIONS),
    "globalOperations.wait": ops.get,
    "instances.aggregatedList": listings.aggregation(listings.INSTANCES),
    "instances.get": attachments.get,
    "instances.list": listings.listing(listings.INSTANCES),
    "machineTypes.get": places.machine_type,
    "regionDiskTypes.get": places.disk_type,
    "regionDiskTypes.list": listings.listing(listings.DISK_TYPES),
    "regionDisks.get": disks.get,
    "regionDisks.list": listings.listing(listings.DISKS),
    "regionOperations.get": ops.get,
    "regionOperations.list": listings.listing(listings.OPERATIONS),
    "regionOperations.wait": ops.get,
    "regions.get": places.region,
    "regions.list": listings.listing(listings.REGIONS),
    "snapshots.get": snapshots.get,
    "snapshots.list": listings.listing(listings.SNAPSHOTS),
    "zoneOperations.get": ops.get,
    "zoneOperations.list": listings.listing(listings.OPERATIONS),
    "zoneOperations.wait": ops.get,
    "zones.get": places.zone,
    "zones.list": listings.listing(listings.ZONES),
}
_READS: Final = (".aggregatedList", ".get", ".list", ".wait")

Reply = tuple[int, Document]
"""HTTP status and body."""


def is_reading(action: str) -> bool:
    """Say whether a method changes nothing."""
    return action.endswith(_READS)


def answer(cloud: Cloud, incoming: Incoming, stale: int) -> Reply:
    """Do what is asked for; a reading request sees the world ``stale`` changes ago."""
    with cloud.lock:
        cloud.agenda.settle()
        try:
            document = _answered(cloud, incoming.checked(), stale)
        except errors.GceError as error:
            return error.status, error.document
    if incoming.method is not None and incoming.method.response is not None:
        schema.check_answer(document, incoming.method.response)
    return 200, document


def _answered(cloud: Cloud, incoming: Incoming, stale: int) -> Document:
    cloud.site.check_project(incoming.in_path.get("project", cloud.site.project))
    read = _READING.get(incoming.action)
    if read is None:
        cloud.site.check_scope(incoming.scope)
        return _changed(cloud, incoming)
    if incoming.action not in {"zones.get", "regions.get"}:
        cloud.site.check_scope(incoming.scope)
    return read(cloud, incoming, cloud.view(stale))


def _changed(cloud: Cloud, incoming: Incoming) -> Document:
    change = _CHANGING.get(incoming.action)
    if change is None:
        raise errors.not_implemented(incoming.action)
    operation = cloud.runner.repeated(incoming.request_id)
    if operation is None:
        before = cloud.present()
        operation = cloud.runner.begin(change(cloud, incoming), incoming.request_id)
        cloud.remember(before)
    return cloud.render.operation(operation)
