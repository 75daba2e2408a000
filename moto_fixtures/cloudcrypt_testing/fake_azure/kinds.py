"""What Azure offers: kinds of disks and sizes of virtual machines, with their limits.

The numbers are those of "Azure managed disk types", "Share an Azure managed disk" and of the pages
about the sizes of virtual machines.
"""

import bisect
import math
from collections.abc import Mapping
from typing import Final

import attrs

MOST_PLAIN: Final = 32767
"""GiB of a disk that is neither Ultra nor Premium v2."""
MOST_CHOSEN: Final = 65536
"""GiB of an Ultra or a Premium v2 disk."""
CROSSING: Final = 4096
"""GiB at which a plain disk is of another make: it does not grow over it while attached, nor is
cached from there on."""
PERFORMANCE_PLUS: Final = 513
"""GiB that a disk with performance plus has at least."""
CHANGES: Final = 4
"""Changes of the performance of a disk in `CHANGES_PERIOD`."""
CHANGES_PERIOD: Final = 24 * 3600.0  # seconds

_STEPS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32767)
"""GiB up to which each step of size and price goes."""
_STEP_NUMBERS: Final = (1, 2, 3, 4, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80)
_PREMIUM: Final = (
    *((120, 25),) * 4,
    (240, 50),
    (500, 100),
    (1100, 125),
    (2300, 150),
    (5000, 200),
    (7500, 250),
    (7500, 250),
    (16000, 500),
    (18000, 750),
    (20000, 900),
)
_STANDARD_SSD: Final = (*((500, 100),) * 11, (2000, 400), (4000, 600), (6000, 750))
_STANDARD_HDD: Final = (*((500, 60),) * 11, (1300, 300), (2000, 500), (2000, 500))
_SHARES: Final = (*(3,) * 8, *(5,) * 3, *(10,) * 3)


@attrs.frozen
class Kind:
    """One kind of disks, by the name of its SKU; throughput is in millions of bytes a second."""

    name: str
    tier: str
    least: int = 1
    """GiB."""
    most: int = MOST_PLAIN
    steps: tuple[tuple[int, int], ...] = ()
    """Operations and throughput of each step of size; none: they are chosen."""
    is_zonal: bool = False
    """Whether a disk must be in a zone."""
    is_shared: bool = True
    """Whether several virtual machines can have a disk."""

    @property
    def is_chosen(self) -> bool:
        """Whether the performance is chosen: Ultra and Premium v2."""
        return not self.steps

    @property
    def is_redundant(self) -> bool:
        """Whether a disk is in all zones at once."""
        return self.name.endswith("_ZRS")

    @property
    def sectors(self) -> tuple[int, ...]:
        """Logical sector sizes in bytes, the usual one first."""
        return (4096, 512) if self.is_chosen else (512,)

    def shares(self, size: int) -> int:
        """Return how many virtual machines can have a disk of ``size`` GiB at once."""
        if not self.is_shared:
            return 1
        return 15 if self.is_chosen else _SHARES[_step(size)]

    def performance(self, size: int) -> tuple[int, int]:
        """Return the operations and the throughput of a disk for which none were chosen."""
        if not self.is_chosen:
            return self.steps[_step(size)]
        if self.name == "PremiumV2_LRS":
            return 3000, 125
        iops = max(100, size)  # at least one for each GiB
        return iops, max(1, math.ceil(iops * 4096 / 1e6))  # and 4 KiB/s for each of them

    def most_iops(self, size: int) -> int:
        """Return how many operations a second can be chosen."""
        if self.name == "PremiumV2_LRS":
            return min(80_000, 3000 + 500 * max(0, size - 6))
        return min(400_000, 1000 * size)

    def most_mbps(self, iops: int) -> int:
        """Return how much throughput can be chosen."""
        if self.name == "PremiumV2_LRS":
            return min(2000, max(125, iops // 4))
        return min(10_000, max(1, iops // 4))

    def least_performance(self) -> tuple[int, int]:
        """Return the least operations and throughput that can be chosen."""
        return (3000, 125) if self.name == "PremiumV2_LRS" else (100, 1)

    def price_tier(self, size: int) -> str | None:
        """Return the performance tier of a Premium disk, such as ``P10``."""
        return f"P{_STEP_NUMBERS[_step(size)]}" if self.steps == _PREMIUM else None


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind("Standard_LRS", "Standard", steps=_STANDARD_HDD, is_shared=False),
        Kind("StandardSSD_LRS", "Standard", steps=_STANDARD_SSD),
        Kind("StandardSSD_ZRS", "Standard", steps=_STANDARD_SSD),
        Kind("Premium_LRS", "Premium", steps=_PREMIUM),
        Kind("Premium_ZRS", "Premium", steps=_PREMIUM),
        Kind("PremiumV2_LRS", "Premium", most=MOST_CHOSEN, is_zonal=True),
        Kind("UltraSSD_LRS", "Ultra", least=4, most=MOST_CHOSEN, is_zonal=True),
    )
}
"""By name."""


@attrs.frozen
class Size:
    """One size of virtual machines."""

    name: str
    cpus: int
    memory: int
    """GiB."""
    most_disks: int
    """Data disks that can be attached."""
    has_premium: bool = True
    """Whether it takes Premium disks."""
    is_nvme: bool = False
    """Whether it shows disks as NVMe namespaces."""

    @property
    def family(self) -> str:
        """What quotas are counted by, such as ``standardDSv5Family``."""
        letters, _, rest = self.name.removeprefix("Standard_").partition("_")
        kind = "".join(one for one in letters if not one.isdigit()).upper()
        return f"standard{kind}{rest}Family"


SIZES: Final[Mapping[str, Size]] = {
    size.name.lower(): size
    for size in (
        Size("Standard_B2ms", 2, 8, 4),
        Size("Standard_D2_v5", 2, 8, 4, has_premium=False),
        Size("Standard_D2s_v5", 2, 8, 4),
        Size("Standard_D4s_v5", 4, 16, 8),
        Size("Standard_D8s_v5", 8, 32, 16),
        Size("Standard_D64s_v5", 64, 256, 32),
        Size("Standard_D4s_v6", 4, 16, 12, is_nvme=True),
        Size("Standard_D8s_v6", 8, 32, 24, is_nvme=True),
        Size("Standard_DC2as_v5", 2, 8, 4),
        Size("Standard_DC4as_v5", 4, 16, 8),
        Size("Standard_DC8as_v5", 8, 32, 16),
        Size("Standard_EC4as_v5", 4, 32, 8),
        Size("Standard_M416ms_v2", 416, 11400, 64),
    )
}
"""By name, in lower case."""


def _step(size: int) -> int:
    return bisect.bisect_left(_STEPS, min(size, MOST_PLAIN))
