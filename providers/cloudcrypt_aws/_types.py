"""The volume types of EBS, as documented; EC2 has the last word.

The table ages: the EBS CSI driver still carries a limit of gp3 that was raised long ago. So what
only a limit of the table forbids is asked for all the same, with a line in the log; refused here
is what has no meaning at all, such as IOPS for a type that has none to choose.
"""

import logging
from typing import Final

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.sizes import GIB, MIB, format_size, round_up
from cloudcrypt.spi import CreateVolume, ModifyVolume, ResizeVolume, VolumeType
from cloudcrypt_aws._records import VolumeRecord

TYPES: Final = (
    VolumeType("gp2", GIB, 16384 * GIB),
    VolumeType("gp3", GIB, 65536 * GIB, (3000, 80000), 500, (125 * MIB, 2000 * MIB)),
    VolumeType("io1", 4 * GIB, 16384 * GIB, (100, 64000), 50, multi_attach=True),
    VolumeType("io2", 4 * GIB, 65536 * GIB, (100, 256000), 1000, multi_attach=True),
    VolumeType("sc1", 125 * GIB, 16384 * GIB),
    VolumeType("st1", 125 * GIB, 16384 * GIB),
    VolumeType("standard", GIB, 1024 * GIB),
)
"""EC2 API reference, CreateVolume, and EBS user guide, "Amazon EBS volume types"."""

SIZE_MAX: Final = max(kind.size_max for kind in TYPES)
"""Bytes of the largest volume there is."""
UNIT: Final = GIB
"""EC2 counts sizes in whole GiB."""
DEFAULT: Final = "gp3"
"""Where the caller names none. EC2's own default is gp2, which costs more and gives less (EBS user
guide, "Amazon EBS volume types")."""
DEFAULT_SHARED: Final = "io2"
"""Where the caller names none, and wants to attach it several times: gp3 cannot."""

_BY_NAME: Final = {kind.name: kind for kind in TYPES}
_log: Final = logging.getLogger("cloudcrypt_aws")


def whole(size: int) -> int:
    """Return ``size`` in bytes rounded up to what EC2 counts in.

    Raises:
        InvalidRequest: no volume is as large.
    """
    if size > SIZE_MAX:
        raise InvalidRequest("size", size, f"at most {format_size(SIZE_MAX)}")
    return round_up(size, UNIT)


def mib(throughput: int) -> int:
    """Return bytes a second as what EC2 counts in: MiB a second, rounded up."""
    return round_up(throughput, MIB) // MIB


def kind_of(intent: CreateVolume) -> str:
    """Return the type of a new volume that is no copy of another volume."""
    return intent.kind or (DEFAULT_SHARED if intent.multi_attach else DEFAULT)


def check_new(intent: CreateVolume, kind: str, iops: int | None) -> None:
    """Return if a volume of this ``kind`` can be as it is asked for.

    Raises:
        InvalidRequest: whatever the numbers are, it cannot.
    """
    known = _BY_NAME.get(kind)
    if known is None:
        return
    _check_choices(known, iops, intent.throughput)
    if intent.multi_attach and not known.multi_attach:
        raise InvalidRequest("multi_attach", intent.multi_attach, f"{kind} cannot; io2 can")
    if known.multi_attach and iops is None:
        raise InvalidRequest("iops", iops, f"{kind} has no default: name how many")
    _warn(known, whole(intent.size), iops, intent.throughput)


def check_change(intent: ResizeVolume | ModifyVolume, volume: VolumeRecord, name: str) -> None:
    """Return if a volume can become what is asked for.

    Raises:
        InvalidRequest: it would shrink, or whatever the numbers are, it cannot.
    """
    size = intent.size
    if size is not None and size < volume.size:
        rule = f"a volume never shrinks, and {name} has {volume.size} bytes"
        raise InvalidRequest("size", size, rule)
    asked = intent if isinstance(intent, ModifyVolume) else None
    kind = (asked.kind if asked else None) or volume.kind or ""
    iops, throughput = (asked.iops, asked.throughput) if asked else (None, None)
    known = _BY_NAME.get(kind)
    if known is not None:
        _check_choices(known, iops, throughput)
        _warn(known, volume.size if size is None else whole(size), iops, throughput)


def _check_choices(kind: VolumeType, iops: int | None, throughput: int | None) -> None:
    if iops is not None and kind.iops is None:
        raise InvalidRequest("iops", iops, f"{kind.name} does not let you choose")
    if throughput is not None and kind.throughput is None:
        raise InvalidRequest("throughput", throughput, f"{kind.name} does not let you choose")


def _warn(kind: VolumeType, size: int, iops: int | None, throughput: int | None) -> None:
    _warn_of(kind, "size", size, (kind.size_min, kind.size_max))
    _warn_of(kind, "iops", iops, kind.iops)
    _warn_of(kind, "throughput", throughput, kind.throughput)
    if iops is not None and kind.iops is not None and kind.iops_per_gib is not None:
        most = max(kind.iops[0], kind.iops_per_gib * (size // GIB))
        _warn_of(kind, "iops", iops, (kind.iops[0], min(most, kind.iops[1])))


def _warn_of(
    kind: VolumeType, what: str, value: int | None, bounds: tuple[int, int] | None
) -> None:
    if value is not None and bounds is not None and not bounds[0] <= value <= bounds[1]:
        text = "%s %d of a %s volume is outside of the documented %d to %d; EC2 decides"
        _log.warning(text, what, value, kind.name, *bounds)
