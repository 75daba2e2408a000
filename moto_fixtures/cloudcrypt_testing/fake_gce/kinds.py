"""What types of disks allow.

The numbers are those of "About Persistent Disk" and of the pages about each type of Hyperdisk in
the documentation of Compute Engine.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import errors

Range = tuple[int, int]


@attrs.frozen
class DiskKind:
    """The bounds of one type of disk: GB, operations a second, and MiB/s."""

    sizes: Range
    default_size: int
    shown: str
    """What ``validDiskSize`` says; smaller Persistent Disks than that are accepted."""
    iops: Range | None = None
    """None: cannot be chosen."""
    iops_per_gb: Range = (0, 0)
    """The least and the most for each GB; 0: no bound."""
    default_iops: int = 0
    throughput: Range | None = None
    throughput_per_tb: int = 0
    """The least for each 1024 GB."""
    default_throughput: int = 0
    access_modes: tuple[str, ...] = ()
    """What can be chosen; empty: nothing can."""
    is_regional: bool = False
    """Whether there is such a type in a region."""
    is_zonal: bool = True
    regional_least: int = 0
    """GB, of a disk with replicas."""
    is_hyperdisk: bool = False


_SINGLE, _SHARED, _READ = "READ_WRITE_SINGLE", "READ_WRITE_MANY", "READ_ONLY_MANY"

DISKS: Final[Mapping[str, DiskKind]] = {
    "pd-standard": DiskKind((1, 65536), 500, "10GB-65536GB", is_regional=True, regional_least=200),
    "pd-balanced": DiskKind((1, 65536), 100, "10GB-65536GB", is_regional=True, regional_least=10),
    "pd-ssd": DiskKind((1, 65536), 100, "10GB-65536GB", is_regional=True, regional_least=10),
    "pd-extreme": DiskKind(
        (500, 65536), 1000, "500GB-65536GB", iops=(10_000, 120_000), default_iops=100_000
    ),
    "hyperdisk-balanced": DiskKind(
        (4, 65536),
        100,
        "4GB-65536GB",
        iops=(3000, 160_000),
        iops_per_gb=(0, 500),
        default_iops=3000,
        throughput=(140, 2400),
        default_throughput=140,
        access_modes=(_SINGLE, _SHARED),
        is_hyperdisk=True,
    ),
    "hyperdisk-balanced-high-availability": DiskKind(
        (4, 65536),
        100,
        "4GB-65536GB",
        iops=(3000, 100_000),
        iops_per_gb=(0, 500),
        default_iops=3000,
        throughput=(140, 1200),
        default_throughput=140,
        access_modes=(_SINGLE, _SHARED),
        is_regional=True,
        is_zonal=False,
        regional_least=4,
        is_hyperdisk=True,
    ),
    "hyperdisk-extreme": DiskKind(
        (64, 65536),
        1000,
        "64GB-65536GB",
        iops=(128, 350_000),
        iops_per_gb=(2, 1000),
        default_iops=6400,
        is_hyperdisk=True,
    ),
    "hyperdisk-throughput": DiskKind(
        (2048, 32768),
        2048,
        "2048GB-32768GB",
        throughput=(20, 2400),
        throughput_per_tb=10,
        default_throughput=180,
        is_hyperdisk=True,
    ),
    "hyperdisk-ml": DiskKind(
        (4, 65536),
        100,
        "4GB-65536GB",
        throughput=(400, 1_200_000),
        default_throughput=2400,
        access_modes=(_SINGLE, _READ),
        is_hyperdisk=True,
    ),
}
DEFAULT_DISK: Final = "pd-standard"


@attrs.frozen
class Shape:
    """What a disk is asked to be; None is left to the type."""

    kind: str
    size: int
    iops: int | None = None
    throughput: int | None = None
    access_mode: str | None = None
    is_regional: bool = False


def disk_kind(scope: str, name: str) -> DiskKind | None:
    """Return the type of this name in a zone or region, or None if there is none there."""
    kind = DISKS.get(name)
    if kind is None:
        return None
    return kind if (kind.is_regional if scope.startswith("regions/") else kind.is_zonal) else None


def checked(shape: Shape) -> Shape:
    """Return ``shape`` with the defaults of its type; raise what the API says if it cannot be."""
    kind = DISKS[shape.kind]
    least, most = kind.sizes
    least = max(least, kind.regional_least if shape.is_regional else 0)
    if not least <= shape.size <= most:
        why = f"Disk size must be between {least} GB and {most} GB for {shape.kind}."
        raise errors.invalid("resource.sizeGb", shape.size, why)
    if shape.access_mode not in {None, *kind.access_modes}:
        why = f"Access mode is not supported for disk type {shape.kind}."
        raise errors.invalid("resource.accessMode", shape.access_mode, why)
    iops = _chosen("provisionedIops", shape.iops, _iops(kind, shape.size), kind.default_iops)
    throughput = _chosen(
        "provisionedThroughput",
        shape.throughput,
        _throughput(kind, shape.size),
        kind.default_throughput,
    )
    mode = shape.access_mode or (_SINGLE if kind.access_modes else None)
    return attrs.evolve(shape, iops=iops, throughput=throughput, access_mode=mode)


def _iops(kind: DiskKind, size: int) -> Range | None:
    """Return what a disk of ``size`` GB can have."""
    if kind.iops is None:
        return None
    least, most = kind.iops
    least_per_gb, most_per_gb = kind.iops_per_gb
    if most_per_gb:
        most = min(most, most_per_gb * size)
    return max(min(least, most), least_per_gb * size), most


def _throughput(kind: DiskKind, size: int) -> Range | None:
    """Return what a disk of ``size`` GB can have."""
    if kind.throughput is None:
        return None
    least, most = kind.throughput
    return max(least, kind.throughput_per_tb * size // 1024), most


def _chosen(field: str, asked: int | None, allowed: Range | None, default: int) -> int | None:
    if allowed is None:
        if asked is not None:
            raise errors.invalid(f"resource.{field}", asked, "It cannot be set for this type.")
        return None
    least, most = allowed
    if asked is None:
        return min(most, max(least, default))
    if not least <= asked <= most:
        why = f"Must be between {least} and {most}."
        raise errors.invalid(f"resource.{field}", asked, why)
    return asked
