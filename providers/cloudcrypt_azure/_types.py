"""The types of managed disks, as documented; Azure has the last word.

The table ages: limits are raised every year. So what only a limit of the table forbids is asked
for all the same, with a line in the log; refused here is what has no meaning at all, such as IOPS
for a type that has none to choose, and what Azure refuses in words that do not help.
"""

import logging
from typing import Final

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.sizes import GIB, TIB, format_size, round_up
from cloudcrypt.spi import CreateVolume, ModifyVolume, ResizeVolume, VolumeType
from cloudcrypt_azure._records import MEGA, DiskRecord

_LARGEST: Final = 32767 * GIB

TYPES: Final = (
    VolumeType(
        "PremiumV2_LRS",
        GIB,
        65536 * GIB,
        (3000, 80000),
        500,
        (125 * MEGA, 2000 * MEGA),
        multi_attach=True,
    ),
    VolumeType("Premium_LRS", GIB, _LARGEST, multi_attach=True),
    VolumeType("Premium_ZRS", GIB, _LARGEST, multi_attach=True),
    VolumeType("StandardSSD_LRS", GIB, _LARGEST, multi_attach=True),
    VolumeType("StandardSSD_ZRS", GIB, _LARGEST, multi_attach=True),
    VolumeType("Standard_LRS", GIB, _LARGEST),
    VolumeType(
        "UltraSSD_LRS",
        4 * GIB,
        65536 * GIB,
        (100, 400_000),
        1000,
        (MEGA, 10_000 * MEGA),
        multi_attach=True,
    ),
)
"""Azure documentation, "Azure managed disk types" and "Share an Azure managed disk"."""

SIZE_MAX: Final = max(kind.size_max for kind in TYPES)
"""Bytes of the largest volume there is."""
UNIT: Final = GIB
"""Azure counts sizes in whole GiB (``diskSizeGB``)."""
DEFAULT: Final = "StandardSSD_LRS"
"""Where the caller names none: it can be attached to every size of machine, and be shared. Azure's
own default is Standard_LRS, which is a hard disk."""
SHARES: Final = 2
"""``maxShares`` of a volume that may be attached several times: the least that is shared. Azure
reserves, and for some types charges, each of them."""
BOUNDARY: Final = 4 * TIB
"""Bytes up to which the older types grow while they are attached: "If a Standard HDD, Standard SSD,
or Premium SSD disk is 4 TiB or less, deallocate your VM and detach the disk before you expand it
beyond 4 TiB" (Azure documentation, "Expand virtual hard disks")."""
GROWS_FREELY: Final = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})
"""Types that `BOUNDARY` does not bind (the same)."""

LARGE_SECTORS: Final = "PremiumV2_LRS"
"""What a snapshot of a disk with sectors of 4096 bytes is restored as where the caller names no
type: only Ultra and Premium SSD v2 disks have them (Azure documentation, "Deploy a Premium SSD
v2")."""

_BY_NAME: Final = {kind.name: kind for kind in TYPES}
_log: Final = logging.getLogger("cloudcrypt_azure")


def whole(size: int) -> int:
    """Return ``size`` in bytes rounded up to what Azure counts in.

    Raises:
        InvalidRequest: no volume is as large.
    """
    if size > SIZE_MAX:
        raise InvalidRequest("size", size, f"at most {format_size(SIZE_MAX)}")
    return round_up(size, UNIT)


def megabytes(throughput: int) -> int:
    """Return bytes a second as what Azure counts in: megabytes a second, rounded up."""
    return round_up(throughput, MEGA) // MEGA


def is_same(kind: str, other: str | None) -> bool:
    """Say whether two names of types are one: Azure takes them in any case, and answers in its."""
    return other is not None and kind.lower() == other.lower()


def is_zonal(kind: str) -> bool:
    """Say whether a volume of this ``kind`` is in one zone, or in none: the others are in all."""
    return not kind.upper().endswith("_ZRS")


def check_new(intent: CreateVolume, kind: str, iops: int | None, throughput: int | None) -> None:
    """Return if a volume of this ``kind`` can be as it is asked for.

    Raises:
        InvalidRequest: whatever the numbers are, it cannot.
    """
    known = _BY_NAME.get(kind)
    if known is None:
        return
    _check_choices(known, iops, throughput)
    if intent.multi_attach and not known.multi_attach:
        rule = f"{kind} cannot; {DEFAULT} can"
        raise InvalidRequest("multi_attach", intent.multi_attach, rule)
    _warn(known, whole(intent.size), iops, throughput)


def check_change(intent: ResizeVolume | ModifyVolume, volume: DiskRecord, name: str) -> None:
    """Return if a volume can become what is asked for.

    Raises:
        InvalidRequest: it would shrink, or has to be detached first, or it cannot be, whatever the
            numbers are.
    """
    if intent.size is not None:
        _check_size(intent.size, volume, name)
    asked = intent if isinstance(intent, ModifyVolume) else None
    kind = (asked.kind if asked else None) or volume.kind or ""
    iops, throughput = (asked.iops, asked.throughput) if asked else (None, None)
    known = _BY_NAME.get(kind)
    if known is not None:
        _check_choices(known, iops, throughput)
        size = volume.size if intent.size is None else whole(intent.size)
        _warn(known, size, iops, throughput)


def _check_size(size: int, volume: DiskRecord, name: str) -> None:
    if size < volume.size:
        rule = f"a volume never shrinks, and {name} has {volume.size} bytes"
        raise InvalidRequest("size", size, rule)
    target = whole(size)
    if target == volume.size or not volume.holders:
        return
    holder = volume.holders[0]
    if volume.is_shared:
        rule = f"a shared volume does not grow while it is attached: detach it from {holder} first"
        raise InvalidRequest("size", size, rule)
    if volume.kind not in GROWS_FREELY and volume.size <= BOUNDARY < target:
        rule = f"a {volume.kind} volume does not grow beyond 4 TiB while it is attached"
        raise InvalidRequest("size", size, f"{rule}: detach it from {holder} first")


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
        text = "%s %d of a %s volume is outside of the documented %d to %d; Azure decides"
        _log.warning(text, what, value, kind.name, *bounds)
