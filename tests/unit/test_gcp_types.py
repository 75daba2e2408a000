"""Limits of machine types on GCE, as documented."""

import re
from pathlib import Path

import pytest

from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.spi import VolumeType
from cloudcrypt_gcp import _types

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "gcp.md"


@pytest.mark.parametrize(
    ("machine", "limit"),
    [
        ("e2-micro", 16),
        ("e2-medium", 16),
        ("e2-custom-small-4096", 16),
        ("e2-custom-4-8192", 128),
        ("f1-micro", 16),
        ("g1-small", 16),
        ("e2-standard-2", 128),
        ("n1-standard-1", 128),
        ("n2-custom-4-8192", 128),
        ("custom-4-8192", 128),
        ("something new", 128),
        ("c3-standard-4", 128),
        ("c3-standard-192-metal", 16),
        ("c4-standard-2", 8),
        ("c4-standard-4", 16),
        ("c4-highmem-24", 32),
        ("c4-standard-48", 64),
        ("c4-standard-96", 128),
        ("c4-standard-192-lssd", 128),
        ("c4a-standard-1", 8),
        ("c4a-standard-8", 16),
        ("c4a-highcpu-48", 32),
        ("c4a-standard-72", 64),
        ("c4d-standard-2", 4),
        ("c4d-standard-384", 128),
        ("n4-standard-8", 16),
        ("n4-standard-80", 32),
        ("n4-custom-16-65536", 32),
        ("n4d-standard-96", 32),
        ("n4a-standard-64", 32),
        ("x4-megamem-960-metal", 40),
        ("a4x-highgpu-4g", 128),
        ("a4x-highgpu-1g", 64),
        ("a4x-highgpu-4g-metal", 32),
    ],
)
def test_an_instance_takes_as_many_disks_as_its_machine_type(machine: str, limit: int) -> None:
    assert _types.attachment_limit(machine) == limit


def test_types_have_names_of_their_own_in_order() -> None:
    names = [each.name for each in _types.TYPES]
    assert names == sorted(set(names))
    assert {_types.DEFAULT, _types.DEFAULT_SHARED, _types.REGIONAL_ONLY} <= set(names)


def test_the_guide_has_the_same_table() -> None:
    rows = [line for line in GUIDE.read_text().splitlines() if re.match(r"\| `(pd|hyper)", line)]
    assert [re.sub(r" *\| *", "|", row) for row in rows] == [_row(each) for each in _types.TYPES]


def _row(kind: VolumeType) -> str:
    iops = _range(kind.iops, 1) + (
        f", {kind.iops_per_gib} for each GiB" if kind.iops_per_gib else ""
    )
    sizes = _range((kind.size_min, kind.size_max), GIB)
    throughput, several = _range(kind.throughput, MIB), "yes" if kind.multi_attach else ""
    return f"|`{kind.name}`|{sizes}|{iops}|{throughput}|{several}|"


def _range(bounds: tuple[int, int] | None, unit: int) -> str:
    return "" if bounds is None else f"{bounds[0] // unit} to {bounds[1] // unit}"
