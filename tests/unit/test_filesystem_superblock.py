"""Superblocks that the real mkfs wrote: read, and believed only as long as they are whole."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.filesystem import FilesystemKind, Superblock, superblock_in
from cloudcrypt.filesystem.crc32c import crc32c
from cloudcrypt.filesystem.superblock import PROBED
from cloudcrypt.sizes import GIB, KIB, MIB

UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
MAKE = {
    FilesystemKind.EXT4: ["mkfs.ext4", "-q", "-U", UUID],
    FilesystemKind.XFS: ["mkfs.xfs", "-q", "-K", "-m", f"uuid={UUID}"],
}


def start_of(folder: Path, size: int, *command: str) -> bytes:
    """Return the start of an image on which a program made a filesystem."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*command, image], check=True, env={"PATH": PATH}, capture_output=True)
    with image.open("rb") as file:
        start = file.read(PROBED)
    image.unlink()
    return start


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[FilesystemKind, bytes]:
    """Return what 320 MiB start with, for each kind."""
    folder = tmp_path_factory.mktemp("images")
    return {kind: start_of(folder, 320 * MIB, *command) for kind, command in MAKE.items()}


@pytest.mark.parametrize("kind", FilesystemKind)
def test_kind_uuid_and_size_are_read(
    starts: dict[FilesystemKind, bytes], kind: FilesystemKind
) -> None:
    found = superblock_in(starts[kind])
    assert found is not None
    assert (kind, UUID, 320 * MIB) == (found.kind, found.uuid, found.size)
    assert (False, f"{kind.value} {UUID}") == (found.has_errors, str(found))


@pytest.mark.parametrize("size", [64 * MIB, 600 * MIB, 20 * GIB])
@pytest.mark.parametrize("block", ["1024", "4096"])
def test_sizes_of_ext4(tmp_path: Path, size: int, block: str) -> None:
    command = ["mkfs.ext4", "-q", "-b", block, "-N", "16384", "-O", "64bit,^resize_inode"]
    found = superblock_in(start_of(tmp_path, size, *command))
    assert found is not None
    assert (size, int(block)) == (found.size, found.block_size)


def test_an_ext4_of_more_blocks_than_32_bits_count(starts: dict[FilesystemKind, bytes]) -> None:
    changed = bytearray(starts[FilesystemKind.EXT4])
    struct.pack_into("<I", changed, 1024 + 0x150, 1)
    _seal_ext4(changed)
    found = superblock_in(bytes(changed))
    assert found is not None
    assert found.size == 320 * MIB + (found.block_size << 32)


@pytest.mark.parametrize("sector", ["512", "4096", "32768"])
def test_sectors_of_xfs(tmp_path: Path, sector: str) -> None:
    options = ["-s", f"size={sector}", "-b", "size=32768"] if sector == "32768" else []
    command = ["mkfs.xfs", "-q", "-K", *(options or ["-s", f"size={sector}"])]
    found = superblock_in(start_of(tmp_path, 512 * MIB, *command))
    assert found is not None
    assert found.size == 512 * MIB
    assert 0 < found.log_size < found.size


def test_a_filesystem_fills_a_device_if_nothing_more_can_be_had(
    starts: dict[FilesystemKind, bytes],
) -> None:
    found = superblock_in(starts[FilesystemKind.XFS])
    assert found is not None
    assert found.fills(found.size + 63 * 4 * KIB)
    assert not found.fills(found.size + 64 * 4 * KIB)


@pytest.mark.parametrize(
    "command",
    [
        ["mkfs.ext4", "-q", "-O", "^metadata_csum"],
        ["mkfs.ext4", "-q", "-O", "^has_journal"],
        ["mkfs.ext2", "-q"],
        ["mkfs.ext3", "-q"],
        ["mkfs.xfs", "-q", "-K", "-m", "crc=0"],
    ],
)
def test_what_has_no_checksums_or_no_journal_is_not_known(
    tmp_path: Path, command: list[str]
) -> None:
    assert superblock_in(start_of(tmp_path, 320 * MIB, *command)) is None


@pytest.mark.parametrize("start", [b"", bytes(PROBED), b"\xff" * PROBED, b"XFSB", b"XFSB" * 8192])
def test_other_content_is_not_known(start: bytes) -> None:
    assert superblock_in(start) is None


@given(st.data())
@pytest.mark.parametrize("kind", FilesystemKind)
def test_a_superblock_with_a_changed_bit_is_not_believed(
    starts: dict[FilesystemKind, bytes], kind: FilesystemKind, data: st.DataObject
) -> None:
    first, length = {FilesystemKind.EXT4: (1024, 1024), FilesystemKind.XFS: (0, 512)}[kind]
    bit = data.draw(st.integers(first * 8, (first + length) * 8 - 1))
    changed = bytearray(starts[kind])
    changed[bit // 8] ^= 1 << bit % 8
    assert superblock_in(bytes(changed)) is None


@given(st.binary(min_size=1100, max_size=2048))
def test_noise_with_magic_numbers_is_not_known(noise: bytes) -> None:
    ext4 = bytearray(noise.ljust(PROBED, b"\0"))
    ext4[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    xfs = b"XFSB" + noise.ljust(PROBED, b"\0")[4:]
    assert (None, None) == (superblock_in(bytes(ext4)), superblock_in(xfs))


def test_two_superblocks_at_once_are_none(starts: dict[FilesystemKind, bytes]) -> None:
    both = starts[FilesystemKind.XFS][:1024] + starts[FilesystemKind.EXT4][1024:]
    assert superblock_in(both) is None  # 512-byte sectors: both checksums are right


def test_an_xfs_that_is_being_made_is_not_known(starts: dict[FilesystemKind, bytes]) -> None:
    changed = bytearray(starts[FilesystemKind.XFS])
    changed[126] = 1  # sb_inprogress
    _seal_xfs(changed)
    assert superblock_in(bytes(changed)) is None
    changed[126] = 0
    _seal_xfs(changed)
    assert isinstance(superblock_in(bytes(changed)), Superblock)


def test_the_errors_that_ext4_has_recorded_are_read(starts: dict[FilesystemKind, bytes]) -> None:
    changed = bytearray(starts[FilesystemKind.EXT4])
    changed[1024 + 0x3A] |= 2
    _seal_ext4(changed)
    found = superblock_in(bytes(changed))
    assert found is not None
    assert found.has_errors


def _seal_ext4(start: bytearray) -> None:
    struct.pack_into("<I", start, 2048 - 4, crc32c(bytes(start[1024 : 2048 - 4])))


def _seal_xfs(start: bytearray) -> None:
    struct.pack_into("<I", start, 224, 0)
    struct.pack_into("<I", start, 224, crc32c(bytes(start[:512])) ^ 0xFFFFFFFF)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_checksum_is_the_one_of_the_standard(content: bytes, expected: int) -> None:
    assert expected == crc32c(content) ^ 0xFFFFFFFF  # RFC 3720, appendix B.4
