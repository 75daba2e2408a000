"""Names of mappings: short where the cloud's id suffices, a digest elsewhere, never shared."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.mapper._names import integrity_name, limit_name, mapping_name, node

GUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
LINUX = 128  # DM_NAME_LEN of the kernel, its NUL included
LIBDEVMAPPER = re.compile(r"[0-9A-Za-z#+\-.:=@_]+")  # what it does not write as \xNN


@pytest.mark.parametrize(
    ("volume_id", "name"),
    [
        ("aws:eu-central-1/vol-0123456789abcdef0", "vol-0123456789abcdef0"),
        ("aws:us-east-1/vol-1a2b3c4d", "vol-1a2b3c4d"),
        ("local:0123456789ab/vol-fedcba98765432100", "vol-fedcba98765432100"),
        ("gcp:project/europe-west3-b/1234567890123456789", "1234567890123456789"),
        (f"azure:{GUID}/group/{GUID}", GUID),
        ("vol-0123456789abcdef0", "vol-0123456789abcdef0"),
        # Others might be given twice: by another provider, at another place.
        ("local/here/vol-a", None),
        ("other:a/7", None),
        ("other:b/7", None),
        ("aws:eu-central-1/VOL-0123456789ABCDEF0", None),
        ("aws:eu-central-1/vol-0123456789abcdef0/", None),
    ],
)
def test_a_name_is_the_clouds_own_id_where_that_is_unique_by_itself(
    volume_id: str, name: str | None
) -> None:
    found = mapping_name(volume_id)
    if name is None:
        assert re.fullmatch(r"cloudcrypt-[0-9a-f]{32}", found)
    else:
        assert name == found


def test_a_digest_is_the_sha256_of_the_volume_id() -> None:
    assert mapping_name("abc") == "cloudcrypt-ba7816bf8f01cfea414140de5dae2223"  # FIPS 180-4


VOLUME_IDS = st.from_regex(r"[A-Za-z0-9._:/@-]{1,128}", fullmatch=True)


@given(VOLUME_IDS)
def test_every_volume_id_has_a_name_that_the_kernel_takes(volume_id: str) -> None:
    name = mapping_name(volume_id)
    for each in (name, integrity_name(name), limit_name(name)):
        assert len(each) < LINUX
        assert LIBDEVMAPPER.fullmatch(each)
    assert len(f"CRYPT-INTEGRITY-{32 * '0'}-{integrity_name(name)}") < LINUX
    assert "_" not in name  # so that no name is that of a device below another one
    assert name not in (".", "..", "control")


@given(VOLUME_IDS, VOLUME_IDS)
def test_two_volumes_share_a_name_only_with_the_clouds_own_id(first: str, second: str) -> None:
    if mapping_name(first) == mapping_name(second):
        assert first.rpartition("/")[2] == second.rpartition("/")[2]


def test_integrity_devices_are_named_as_constellation_names_them() -> None:
    assert integrity_name("vol-1a2b3c4d") == "vol-1a2b3c4d_dif"
    assert str(node("vol-1a2b3c4d")) == "/dev/mapper/vol-1a2b3c4d"
