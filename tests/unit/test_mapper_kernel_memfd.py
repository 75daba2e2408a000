"""The header that libcryptsetup is given: ours, whole, and beyond change."""

import fcntl
import os
import re
import resource
from pathlib import Path

import pytest

from cloudcrypt.errors import HostUnready
from cloudcrypt.luks2 import layout, parse, verify
from cloudcrypt.luks2.parse import RawHeader
from cloudcrypt.mapper._memfd import SEALS, header_file
from cloudcrypt.model import Mode
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

SAMPLES = {mode: sample_volume(CHEAP, mode) for mode in Mode}


def content_of(descriptor: int) -> bytes:
    return os.pread(descriptor, layout.DATA_OFFSET + 1, 0)


@pytest.mark.parametrize("mode", Mode)
def test_the_file_has_the_verified_metadata_and_nothing_else(mode: Mode) -> None:
    sample = SAMPLES[mode]
    header = sample.verify(sample.disk())
    with header_file(header) as descriptor:
        content = content_of(descriptor)
    assert len(content) == layout.DATA_OFFSET
    assert not any(content[layout.KEYSLOTS_OFFSET :])  # no keyslot: the key comes from elsewhere
    area = header.keyslot.area
    whole = bytearray(content[: layout.READ_SIZE])
    whole[area.offset : area.offset + area.size] = header.area
    found = parse(RawHeader("file", layout.DEVICE_MIN, bytes(whole)))
    again = verify(found, CHEAP, sample.expectation, sample.keys.seal)
    assert (header.uuid, header.seqid, header.metadata) == (again.uuid, again.seqid, again.metadata)


@pytest.mark.parametrize("mode", Mode)
def test_no_byte_of_the_disk_is_taken_over(mode: Mode) -> None:
    sample = SAMPLES[mode]
    with header_file(sample.verify(sample.disk())) as descriptor:
        content = content_of(descriptor)
    # The salt of a binary header is read and used by nobody: it shows whose bytes they are.
    for start in (0, layout.SECONDARY_OFFSET):
        salts = content[start + 104 : start + 168], sample.image.to_bytes()[start + 104 :][:64]
        assert salts[0] != salts[1]


def test_the_file_cannot_be_changed() -> None:
    sample = SAMPLES[Mode.CRYPT]
    with header_file(sample.verify(sample.disk())) as descriptor:
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == SEALS
        before = content_of(descriptor)
        for change in (
            lambda: os.pwrite(descriptor, b"x", 0),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.ftruncate(descriptor, 2 * layout.DATA_OFFSET),
            lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0),
        ):
            with pytest.raises(PermissionError):
                change()
        with pytest.raises(PermissionError):  # not by another descriptor either
            os.write(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR), b"x")
        assert before == content_of(descriptor)


def test_the_file_is_gone_after_the_block_and_inherited_by_nobody() -> None:
    sample = SAMPLES[Mode.CRYPT]
    with header_file(sample.verify(sample.disk())) as descriptor:
        assert not os.get_inheritable(descriptor)
        assert re.search(
            "memfd:cloudcrypt-header", str(Path("/proc/self/fd", str(descriptor)).readlink())
        )
        assert os.fstat(descriptor).st_blocks * 512 < layout.DATA_OFFSET // 100  # holes
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_host_without_room_for_it_says_so() -> None:
    sample = SAMPLES[Mode.CRYPT]
    header = sample.verify(sample.disk())
    least = max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open("/", os.O_RDONLY) for _ in range(least)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, hard))
    try:
        with pytest.raises(HostUnready, match="Too many open files"), header_file(header):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)
