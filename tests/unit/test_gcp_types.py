"""Limits of machine types on GCE, as documented."""

import pytest

from cloudcrypt_gcp import _types


@pytest.mark.parametrize(
    ("machine", "limit"),
    [
        ("e2-micro", 16),
        ("e2-medium", 16),
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
