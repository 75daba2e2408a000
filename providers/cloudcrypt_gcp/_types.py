"""The disk types of GCE, as documented; GCE has the last word.

The table ages: the reference of the API itself still says that IOPS are 10,000 to 120,000 for every
type. So what only a limit of the table forbids is asked for all the same, with a line in the log;
refused here is what has no meaning at all, such as IOPS for a type that has none to choose.
"""

import logging
import re
from collections.abc import Mapping
from typing import Final

from cloudcrypt.errors import InvalidRequest, UnsupportedOperation
from cloudcrypt.sizes import GIB, MIB, format_size, round_up
from cloudcrypt.spi import CreateVolume, ModifyVolume, ResizeVolume, VolumeType
from cloudcrypt_gcp._records import DiskRecord

REGIONAL_ONLY: Final = "hyperdisk-balanced-high-availability"
"""The one type that is always in two zones."""
_TIB: Final = 1024 * GIB
_MOST: Final = 64 * _TIB

TYPES: Final = (
    VolumeType(
        "hyperdisk-balanced",
        6 * GIB,
        _MOST,
        (3000, 160_000),
        500,
        (140 * MIB, 2400 * MIB),
        multi_attach=True,
    ),
    VolumeType(
        REGIONAL_ONLY,
        6 * GIB,
        _MOST,
        (3000, 100_000),
        500,
        (140 * MIB, 1200 * MIB),
        multi_attach=True,
    ),
    VolumeType("hyperdisk-extreme", 64 * GIB, _MOST, (128, 350_000), 1000),
    VolumeType("hyperdisk-ml", 4 * GIB, _MOST, throughput=(400 * MIB, 1_200_000 * MIB)),
    VolumeType("hyperdisk-throughput", 2 * _TIB, 32 * _TIB, throughput=(20 * MIB, 2400 * MIB)),
    VolumeType("pd-balanced", 10 * GIB, _MOST),
    VolumeType("pd-extreme", 500 * GIB, _MOST, (10_000, 120_000)),
    VolumeType("pd-ssd", 10 * GIB, _MOST),
    VolumeType("pd-standard", 10 * GIB, _MOST),
)
"""Compute Engine documentation, "About Hyperdisk" and the page of each type, "About Persistent
Disk", "Share disks between instances". Hyperdisk Balanced can have 4 and 5 GiB as well, with
no IOPS to choose: it has 500 for each GiB then."""

SIZE_MAX: Final = max(kind.size_max for kind in TYPES)
"""Bytes of the largest volume there is."""
UNIT: Final = GIB
"""GCE counts sizes in GB, which are 2**30 bytes (reference of ``sizeGb``)."""
DEFAULT: Final = "pd-balanced"
"""Where the caller names none. GCE's own default is pd-standard, a rotating disk."""
DEFAULT_SHARED: Final = "hyperdisk-balanced"
"""Where the caller names none, and wants to attach it several times: Persistent Disk cannot."""

_BY_NAME: Final = {kind.name: kind for kind in TYPES}
SIZE_MIN: Final = _BY_NAME[DEFAULT].size_min
"""Bytes of the smallest volume of the default type; Hyperdisk can be smaller."""
_log: Final = logging.getLogger("cloudcrypt_gcp")


def whole(size: int) -> int:
    """Return ``size`` in bytes rounded up to what GCE counts in.

    Raises:
        InvalidRequest: no volume is as large.
    """
    if size > SIZE_MAX:
        raise InvalidRequest("size", size, f"at most {format_size(SIZE_MAX)}")
    return round_up(size, UNIT)


def mib(throughput: int) -> int:
    """Return bytes a second as what GCE counts in: MiB a second, rounded up."""
    return round_up(throughput, MIB) // MIB


def kind_of(intent: CreateVolume) -> str:
    """Return the type of a new volume that is no copy of another volume."""
    return intent.kind or (DEFAULT_SHARED if intent.multi_attach else DEFAULT)


def chooses_performance(kind: str) -> bool:
    """Say whether a type lets the caller choose IOPS or throughput."""
    known = _BY_NAME.get(kind)
    return known is not None and (known.iops is not None or known.throughput is not None)


def check_new(intent: CreateVolume, kind: str) -> None:
    """Return if a volume of this ``kind`` can be as it is asked for.

    Raises:
        InvalidRequest: whatever the numbers are, it cannot.
    """
    known = _BY_NAME.get(kind)
    if known is None:
        return
    _check_choices(known, intent.iops, intent.throughput)
    if intent.multi_attach and not known.multi_attach:
        rule = f"{kind} cannot; {DEFAULT_SHARED} can"
        raise InvalidRequest("multi_attach", intent.multi_attach, rule)
    _warn(known, whole(intent.size), intent.iops, intent.throughput)


def check_change(intent: ResizeVolume | ModifyVolume, disk: DiskRecord) -> None:
    """Return if a volume can become what is asked for.

    Raises:
        InvalidRequest: it would shrink, or whatever the numbers are, it cannot.
        UnsupportedOperation: it would become of another type.
    """
    size = intent.size
    if size is not None and size < disk.size:
        rule = f"a volume never shrinks, and {intent.volume_id} has {disk.size} bytes"
        raise InvalidRequest("size", size, rule)
    asked = intent if isinstance(intent, ModifyVolume) else None
    if asked is not None and asked.kind not in {None, disk.kind}:
        instead = "take a snapshot, and restore it as a volume of the other type"
        raise UnsupportedOperation("changing the type of a volume", instead)
    iops, throughput = (asked.iops, asked.throughput) if asked else (None, None)
    known = _BY_NAME.get(disk.kind)
    if known is not None:
        _check_choices(known, iops, throughput)
        _warn(known, disk.size if size is None else whole(size), iops, throughput)


_SHARED_CORE: Final = re.compile(
    r"e2-(custom-)?(micro|small|medium)(-[0-9]+)?|f1-micro|g1-small", re.ASCII
)
_MACHINE: Final = re.compile(r"(?P<family>[a-z0-9]+)-[a-z]+-(?P<cpus>[0-9]+)(?P<rest>.*)", re.ASCII)
_LIMITS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "a4x": ((1, 63), (2, 127)),
    "c4": ((2, 7), (4, 15), (24, 31), (48, 63), (96, 127)),
    "c4a": ((2, 7), (8, 15), (48, 31), (72, 63)),
    "c4d": ((2, 3), (4, 7), (8, 15), (96, 31), (192, 63), (384, 127)),
    "n4": ((8, 15), (80, 31)),
    "n4a": ((8, 15), (64, 31)),
    "n4d": ((8, 15), (96, 31)),
    "x4": ((1, 39),),
}
"""Up to so many CPUs (of a4x: GPUs), so many disks beside the boot disk; the last row is for larger
machines as well."""
_METAL: Final[Mapping[str, int]] = {"a4x": 31, "c3": 15}
_SHARED_CORE_LIMIT: Final = 15
_LIMIT: Final = 127


def attachment_limit(machine: str) -> int:
    """Return how many disks an instance of this machine type may have, its boot disk included.

    The numbers are those of the machine families' pages in the Compute Engine documentation, as the
    Persistent Disk CSI driver has them (pkg/constants), which leaves the boot disk out.
    """
    return _data_disks(machine) + 1


def _data_disks(machine: str) -> int:
    if _SHARED_CORE.fullmatch(machine):
        return _SHARED_CORE_LIMIT
    form = _MACHINE.fullmatch(machine)
    if form is None:
        return _LIMIT
    family, cpus = form["family"], int(form["cpus"])
    if family in _METAL and form["rest"].endswith("-metal"):
        return _METAL[family]
    steps = _LIMITS.get(family, ((cpus, _LIMIT),))
    return next((disks for most, disks in steps if cpus <= most), steps[-1][1])


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
        text = "%s %d of a %s volume is outside of the documented %d to %d; GCE decides"
        _log.warning(text, what, value, kind.name, *bounds)
