"""A payload behaves as a bytearray of its size, whatever is read and written in which order."""

import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.luks2 import SectorFile, UnlockedVolume, layout
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

SECTOR = 4096
PAYLOAD = RUN_SIZE + 3 * SECTOR
EDGES = [0, SECTOR, 2 * SECTOR, RUN_SIZE - SECTOR, RUN_SIZE, RUN_SIZE + SECTOR, PAYLOAD]


def near(edges: list[int]) -> st.SearchStrategy[int]:
    """Draw a number near one of ``edges``, or any one below the largest."""
    around = [max(0, edge + delta) for edge in edges for delta in range(-3, 4)]
    return st.sampled_from(around) | st.integers(0, max(edges))


OFFSETS = near(EDGES)
LENGTHS = near([0, SECTOR, RUN_SIZE]) | st.integers(0, 3 * SECTOR)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), OFFSETS, LENGTHS),
        st.tuples(st.just("write"), OFFSETS, LENGTHS),
        st.tuples(st.just("pread"), OFFSETS, LENGTHS),
        st.tuples(st.just("pwrite"), OFFSETS, LENGTHS),
    ),
    max_size=12,
)


@functools.cache
def unlocked() -> UnlockedVolume:
    volume = sample_volume(CHEAP)
    return volume.unlock(volume.disk(layout.DATA_OFFSET + PAYLOAD))


@functools.cache
def noise(number: int) -> bytes:
    return bytes((number + index * 7) % 251 + 1 for index in range(2 * SECTOR)) * 200


@settings(max_examples=60)
@given(OPERATIONS)
def test_random_reads_and_writes_equal_a_bytearray(operations: list[tuple[str, int, int]]) -> None:
    file = SectorFile(
        XTSEngine(MemoryDisk(layout.DATA_OFFSET + PAYLOAD), unlocked()), writable=True
    )
    file.pwrite(0, bytes(PAYLOAD))
    model = bytearray(PAYLOAD)
    for number, (kind, offset, length) in enumerate(operations):
        content = noise(number)[:length]
        end = offset + len(content)
        match kind:
            case "read":
                file.seek(offset)
                assert model[offset : offset + length] == file.read(length)
                assert file.tell() == max(offset, min(offset + length, PAYLOAD))
            case "pread":
                assert model[offset : offset + length] == file.pread(offset, length)
            case _:
                is_accepted = end <= PAYLOAD
                try:
                    if kind == "write":
                        file.seek(offset)
                        file.write(content)
                        assert end == file.tell()
                    else:
                        file.pwrite(offset, content)
                except InvalidRequest:
                    assert not is_accepted
                else:
                    assert is_accepted
                    model[offset:end] = content
    assert model == file.pread(0, PAYLOAD)
