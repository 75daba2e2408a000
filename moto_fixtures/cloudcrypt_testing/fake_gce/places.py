"""What there is before anybody makes something: regions, zones, types of disks and machines."""

from cloudcrypt_testing.fake_gce import errors, kinds, machines
from cloudcrypt_testing.fake_gce.cloud import Cloud, View
from cloudcrypt_testing.fake_gce.incoming import Incoming
from cloudcrypt_testing.fake_gce.names import is_id
from cloudcrypt_testing.fake_gce.render import Document, number_of


def zone(cloud: Cloud, incoming: Incoming, _view: View) -> Document:
    """Answer ``zones.get``."""
    name = _known(incoming.in_path["zone"], list(cloud.site.zones))
    if name is None:
        raise errors.not_found(cloud.site.full(incoming.scope))
    return cloud.render.zone(name)


def region(cloud: Cloud, incoming: Incoming, _view: View) -> Document:
    """Answer ``regions.get``."""
    name = _known(incoming.in_path["region"], list(cloud.site.regions))
    if name is None:
        raise errors.not_found(cloud.site.full(incoming.scope))
    return cloud.render.region(name)


def disk_type(cloud: Cloud, incoming: Incoming, _view: View) -> Document:
    """Answer ``diskTypes.get`` and ``regionDiskTypes.get``."""
    name = incoming.in_path["diskType"]
    if kinds.disk_kind(incoming.scope, name) is None:
        raise errors.not_found(cloud.site.full(f"{incoming.scope}/diskTypes/{name}"))
    return cloud.render.disk_type(incoming.scope, name)


def machine_type(cloud: Cloud, incoming: Incoming, _view: View) -> Document:
    """Answer ``machineTypes.get``."""
    name = incoming.in_path["machineType"]
    machine = machines.machine(name)
    if machine is None:
        raise errors.not_found(cloud.site.full(f"{incoming.scope}/machineTypes/{name}"))
    return cloud.render.machine_type(incoming.in_path["zone"], machine)


def _known(name: str, names: list[str]) -> str | None:
    """Return which of ``names`` is meant by ``name``, which may be a number."""
    if is_id(name):
        return next((one for one in names if number_of(one) == name), None)
    return name if name in names else None
