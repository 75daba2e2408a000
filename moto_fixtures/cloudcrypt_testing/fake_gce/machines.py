"""What types of machines allow.

The numbers are those of "Machine families resource and comparison guide" and of the pages about
each family in the documentation of Compute Engine.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs


@attrs.frozen
class Machine:
    """One type of machine."""

    name: str
    cpus: int
    most_disks: int
    """The boot disk included."""
    is_shared: bool = False
    """Whether it has a part of a CPU."""
    is_nvme: bool = False
    """Whether disks are NVMe, and not SCSI."""
    takes_persistent_disks: bool = True
    """False: Hyperdisk only."""


_NAME: Final = re.compile(r"([a-z][a-z0-9]*)-(?:standard|highmem|highcpu)-([0-9]{1,3})", re.ASCII)
_SHARED_CORE: Final[Mapping[str, int]] = {
    "e2-medium": 2,
    "e2-micro": 2,
    "e2-small": 2,
    "f1-micro": 1,
    "g1-small": 1,
}
"""Virtual CPUs."""
_SCSI: Final = frozenset({"c2", "c2d", "e2", "n1", "n2", "n2d", "t2a", "t2d"})
_NVME: Final = frozenset({"c3", "c3d", "c4", "c4a", "c4d", "n4", "n4a", "n4d"})
_HYPERDISK_ONLY: Final = frozenset({"c4", "c4a", "c4d", "n4", "n4a", "n4d"})
_DISKS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "c4": ((2, 7), (4, 15), (24, 31), (48, 63)),
    "c4a": ((2, 7), (8, 15), (48, 31), (72, 63)),
    "c4d": ((2, 3), (4, 7), (8, 15), (96, 31), (192, 63)),
    "n4": ((8, 15), (80, 31)),
    "n4a": ((8, 15), (64, 31)),
    "n4d": ((8, 15), (96, 31)),
}
"""Up to so many virtual CPUs, so many disks beside the boot disk."""
_MOST: Final = 127
_SHARED_MOST: Final = 15


def machine(name: str) -> Machine | None:
    """Return the type of machine of this name, or None if there is none."""
    if name in _SHARED_CORE:
        return Machine(name, _SHARED_CORE[name], 1 + _SHARED_MOST, is_shared=True)
    parts = _NAME.fullmatch(name)
    if parts is None or parts[1] not in _SCSI | _NVME:
        return None
    family, cpus = parts[1], int(parts[2])
    return Machine(
        name,
        cpus,
        1 + next((disks for most, disks in _DISKS.get(family, ()) if cpus <= most), _MOST),
        is_nvme=family in _NVME,
        takes_persistent_disks=family not in _HYPERDISK_ONLY,
    )
