"""What is looked at beneath a payload: all of a small one, both ends and samples of a large one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import DeviceNotBlank
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN
from cloudcrypt.ledger import Record, State
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.sizes import GIB, MIB, TIB
from cloudcrypt.stage.blank import (
    EDGE,
    PROBES,
    READ_ALL,
    _samples,
    require_blank,
    require_blank_payload,
)
from cloudcrypt_testing.disks import MemoryDisk

SECTOR = 4096


class BlockDisk(MemoryDisk):
    """A disk that cannot tell where it was never written."""

    @property
    def knows_holes(self) -> bool:
        return False


@given(st.integers(1, TIB // SECTOR))
def test_samples_are_in_order_within_runs_and_at_both_ends(sectors: int) -> None:
    found = list(_samples(sectors))
    assert (0, sectors) == (found[0][0], found[-1][1])
    for first, last in found:
        assert 0 <= first < last <= sectors
        assert first // SECTORS_PER_RUN == (last - 1) // SECTORS_PER_RUN
    for (_, last), (first, _) in pairwise(found):
        assert last <= first or sectors - first <= EDGE // SECTOR


@pytest.mark.parametrize("size", [SECTOR, 10 * MIB, READ_ALL])
def test_all_of_a_small_payload_is_read(size: int) -> None:
    assert size == SECTOR * sum(last - first for first, last in _samples(size // SECTOR))


@pytest.mark.parametrize("size", [READ_ALL + SECTOR, GIB, 100 * TIB])
def test_of_a_large_payload_some_mebibytes_are_read(size: int) -> None:
    read = SECTOR * sum(last - first for first, last in _samples(size // SECTOR))
    assert 2 * EDGE < read <= 2 * EDGE + (PROBES + 1) * 64 * 1024


@pytest.mark.parametrize("at", ["start", "end"])
def test_the_ends_of_a_large_payload_with_integrity_count(at: str) -> None:
    record = Record("vol", State.READY, Mode.INTEGRITY, KeyPolicy.BOUND, 400 * MIB)
    geometry = Geometry.of(record.capacity)
    disk = MemoryDisk(record.capacity)
    disk.write(geometry.tag_offset(0), b"a tag")  # tags are not payload
    disk.write(geometry.tag_offset(geometry.sectors - 1), b"a tag")
    require_blank_payload(disk, record)
    sector = 0 if at == "start" else geometry.sectors - 1
    disk.write(geometry.data_offset(sector) + SECTOR - 1, b"x")
    with pytest.raises(DeviceNotBlank):
        require_blank_payload(disk, record)


@pytest.mark.parametrize("tail", [4 * SECTOR, EDGE, 3 * EDGE, 300 * MIB])
def test_of_a_large_device_only_what_follows_the_start_counts(tail: int) -> None:
    """As in the growth of a volume with integrity, whose payload is before the tail."""
    disk = BlockDisk(400 * MIB)
    start = disk.size - tail
    for used in range(17 * MIB, start, MIB):
        disk.write(used, b"payload")
    disk.write(start - 1, b"x")
    require_blank(disk, start=start)
    for at in (start, disk.size - 1):
        disk.write(at, b"x")
        with pytest.raises(DeviceNotBlank):
            require_blank(disk, start=start)
        disk.write(at, b"\0")
