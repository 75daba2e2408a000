"""Modifying volumes: size, type and performance."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import attrs

from cloudcrypt_testing.fake_aws import errors, xml
from cloudcrypt_testing.fake_aws.cloud import GIB, Cloud
from cloudcrypt_testing.fake_aws.limits import DEFAULT_THROUGHPUT, KINDS, checked
from cloudcrypt_testing.fake_aws.query import Query
from cloudcrypt_testing.fake_aws.records import Modification, Shape, Volume
from cloudcrypt_testing.fake_aws.volumes import existing

MOST: Final = 4
"""Modifications of one volume in `WINDOW`; see the EC2 API reference, ModifyVolume."""
WINDOW: Final = timedelta(hours=24)
_CHANGED_TYPE_IOPS: Final = 3000  # the default after a change to gp3, io1 or io2


def modify_volume(cloud: Cloud, query: Query) -> str:
    """Answer ModifyVolume."""
    volume = existing(cloud, query.volume_id())
    if volume.condition != "available":
        raise errors.wrong_state(f"Volume '{volume.id}' is in the '{volume.state}' state.")
    original = _shape(volume)
    target = _target(query, original)
    _check_history(cloud, volume.id)
    query.check_dry_run()
    past = cloud.modifications.get(volume.id, ())
    number, now = next(cloud.numbers), cloud.agenda.time
    modification = Modification(volume.id, number, "modifying", original, target, now)
    cloud.modifications[volume.id] = (*past, modification)
    is_failing = cloud.quirks.modifications > 0
    cloud.quirks.modifications -= is_failing
    go_on = _fail if is_failing else _optimize
    cloud.agenda.later(cloud.timings.modify, partial(go_on, cloud, modification))
    return f"<volumeModification>{xml.modification(modification)}</volumeModification>"


def _shape(volume: Volume) -> Shape:
    return Shape(volume.size, volume.kind, volume.iops, volume.throughput, volume.is_multi_attach)


def _target(query: Query, original: Shape) -> Shape:
    size, kind_name = query.number("Size"), query.text("VolumeType")
    iops, throughput = query.number("Iops"), query.number("Throughput")
    shared = query.text("MultiAttachEnabled")
    if all(value is None for value in (size, kind_name, iops, throughput, shared)):
        raise errors.invalid("At least one of the parameters to modify must be specified.")
    if size is not None and size < original.size:
        raise errors.invalid(f"New size cannot be smaller than existing size ({original.size} GiB)")
    kind = KINDS.get(kind_name or original.kind)
    if kind is not None and kind_name not in {None, original.kind}:
        iops = _CHANGED_TYPE_IOPS if kind.iops and iops is None else iops
        throughput = DEFAULT_THROUGHPUT if kind.throughput and throughput is None else throughput
    else:
        iops = original.iops if iops is None else iops
        throughput = original.throughput if throughput is None else throughput
    return checked(
        Shape(
            size or original.size,
            kind_name or original.kind,
            iops,
            throughput,
            original.is_multi_attach if shared is None else query.flag("MultiAttachEnabled"),
        )
    )


def _check_history(cloud: Cloud, volume_id: str) -> None:
    past = cloud.modifications.get(volume_id, ())
    if past and past[-1].state in {"modifying", "optimizing"}:
        raise errors.EC2Error(
            "IncorrectModificationState",
            f"Cannot modify volume {volume_id}: it is currently {past[-1].state}.",
        )
    now = cloud.agenda.time
    recent = [one.started for one in past if now - one.started < WINDOW]
    if len(recent) >= MOST:
        raise errors.EC2Error("VolumeModificationRateExceeded", _rate_message(recent[-MOST]))


def _rate_message(oldest: datetime) -> str:
    return (
        "You've reached the maximum modification rate per volume limit. "
        f"The volume can be modified again at {oldest + WINDOW:%Y-%m-%dT%H:%M:%SZ}."
    )


def _optimize(cloud: Cloud, modification: Modification) -> None:
    volume = cloud.volumes.get(modification.volume_id)
    if volume is None:
        return
    _replace(cloud, attrs.evolve(modification, state="optimizing"))
    target = modification.target
    cloud.put(
        attrs.evolve(
            volume,
            size=target.size,
            kind=target.kind,
            iops=target.iops,
            throughput=target.throughput,
            is_multi_attach=target.is_multi_attach,
        )
    )
    cloud.moto.reshape(volume.id, target)
    cloud.backing.grow(volume.id, target.size * GIB)
    for attachment in volume.attachments:
        cloud.node(attachment.instance_id).grow(volume.id, target.size * GIB)
    cloud.agenda.later(cloud.timings.optimize, partial(_complete, cloud, modification))


def _complete(cloud: Cloud, modification: Modification) -> None:
    done = attrs.evolve(modification, state="completed", progress=100, ended=cloud.agenda.time)
    _replace(cloud, done)


def _fail(cloud: Cloud, modification: Modification) -> None:
    _replace(cloud, attrs.evolve(modification, state="failed", ended=cloud.agenda.time))


def _replace(cloud: Cloud, modification: Modification) -> None:
    past = cloud.modifications.get(modification.volume_id)
    if past is not None:
        cloud.modifications[modification.volume_id] = tuple(
            modification if one.number == modification.number else one for one in past
        )
