"""What the types of volumes allow; the numbers are those of the EC2 API reference."""

from typing import Final

import attrs

from cloudcrypt_testing.fake_aws import errors
from cloudcrypt_testing.fake_aws.records import Shape


@attrs.frozen
class Kind:
    """The bounds of one type of volume."""

    sizes: tuple[int, int]
    """GiB."""
    iops: tuple[int, int] | None = None
    """None: cannot be chosen."""
    default_iops: int | None = None
    """None, where IOPS can be chosen: has to be."""
    iops_per_gib: int = 0
    throughput: tuple[int, int] | None = None
    """MiB/s; None: cannot be chosen."""
    is_shareable: bool = False
    """Whether it can be attached to several instances."""


KINDS: Final = {
    "gp2": Kind((1, 16384)),
    "gp3": Kind((1, 65536), (3000, 80000), 3000, 500, (125, 2000)),
    "io1": Kind((4, 16384), (100, 64000), None, 50, is_shareable=True),
    "io2": Kind((4, 65536), (100, 256000), None, 1000, is_shareable=True),
    "st1": Kind((125, 16384)),
    "sc1": Kind((125, 16384)),
    "standard": Kind((1, 1024)),
}
DEFAULT_KIND: Final = "gp2"
DEFAULT_THROUGHPUT: Final = 125  # MiB/s of gp3
THROUGHPUT_PER_IOPS: Final = 0.25  # MiB/s of gp3
INCLUDED_IOPS: Final = 3000  # of gp3, whatever its size
SHARERS: Final = 16  # instances that one volume can be attached to


def checked(shape: Shape) -> Shape:
    """Return ``shape`` with its defaults; raise what EC2 says if it cannot be."""
    kind = KINDS.get(shape.kind)
    if kind is None:
        raise errors.EC2Error(
            "UnknownVolumeType", f"Unsupported volume type '{shape.kind}' for volume creation."
        )
    _check_size(shape.size, kind)
    iops = _checked_iops(shape, kind)
    throughput = _checked_throughput(shape, kind, iops)
    if shape.is_multi_attach and not kind.is_shareable:
        raise errors.combination(
            f"The parameter MultiAttachEnabled is not supported for {shape.kind} volumes."
        )
    return attrs.evolve(shape, iops=iops, throughput=throughput)


def _check_size(size: int, kind: Kind) -> None:
    smallest, largest = kind.sizes
    if size < smallest:
        raise errors.invalid(f"Volume of {size}GiB is too small; minimum is {smallest}GiB.")
    if size > largest:
        raise errors.invalid(f"Volume of {size}GiB is too large; maximum is {largest}GiB.")


def _checked_iops(shape: Shape, kind: Kind) -> int | None:
    if kind.iops is None:
        if shape.iops is not None:
            raise _unsupported("iops", shape.kind)
        return None
    iops = kind.default_iops if shape.iops is None else shape.iops
    if iops is None:
        raise errors.missing("iops")
    lowest, highest = kind.iops
    if iops < lowest:
        raise errors.invalid(f"Volume iops of {iops} is too low; minimum is {lowest}.")
    if iops > highest:
        raise errors.invalid(f"Volume iops of {iops} is too high; maximum is {highest}.")
    is_included = shape.kind == "gp3" and iops <= INCLUDED_IOPS
    if iops > kind.iops_per_gib * shape.size and not is_included:
        ratio = iops / shape.size
        raise errors.invalid(
            f"Iops to volume size ratio of {ratio:.6f} is too high; "
            f"maximum is {kind.iops_per_gib:.6f} IOPS per GiB."
        )
    return iops


def _checked_throughput(shape: Shape, kind: Kind, iops: int | None) -> int | None:
    if kind.throughput is None:
        if shape.throughput is not None:
            raise _unsupported("throughput", shape.kind)
        return None
    throughput = DEFAULT_THROUGHPUT if shape.throughput is None else shape.throughput
    lowest, highest = kind.throughput
    if throughput < lowest:
        raise errors.invalid(f"Throughput (MiBps) of {throughput} is too low; minimum is {lowest}.")
    if throughput > highest:
        raise errors.invalid(
            f"Throughput (MiBps) of {throughput} is too high; maximum is {highest}."
        )
    if iops is not None and throughput > THROUGHPUT_PER_IOPS * iops:
        raise errors.invalid(
            f"Throughput (MiBps) to iops ratio of {throughput / iops:.6f} is too high; "
            f"maximum is {THROUGHPUT_PER_IOPS:.6f} MiBps per iops."
        )
    return throughput


def _unsupported(parameter: str, kind: str) -> errors.EC2Error:
    return errors.combination(f"The parameter {parameter} is not supported for {kind} volumes.")
