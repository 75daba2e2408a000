"""From an attachment to a device: whatever cannot be proven is refused."""

import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from cloudcrypt.blockdevices import disk_sequence, identity_of
from cloudcrypt.device import locate
from cloudcrypt.errors import DeviceMismatch, DeviceUnavailable
from cloudcrypt.model import Attachment, Blank, BlockDevice, FilePath

SIZE = 8192


def _identity(path: Path) -> FilePath:
    found = path.lstat()
    return FilePath(str(path), found.st_dev, found.st_ino)


def _attachment(path: Path) -> Attachment:
    return Attachment("local:0/vol-1", "node", SIZE, Blank(), _identity(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.write_bytes(bytes(SIZE))
    return path


def test_the_device_of_an_attachment_is_found(path: Path) -> None:
    status = path.stat()
    expected = BlockDevice("local:0/vol-1", path, SIZE, (status.st_dev, status.st_ino))
    assert expected == locate(_attachment(path))


def test_a_device_that_has_grown_is_found_with_its_size(path: Path) -> None:
    attachment = _attachment(path)
    os.truncate(path, 2 * SIZE)
    assert locate(attachment).size == 2 * SIZE


def test_a_device_that_cannot_be_written_is_found(path: Path) -> None:
    path.chmod(0o400)
    assert locate(_attachment(path)).path == path


def test_a_smaller_device_is_refused(path: Path) -> None:
    os.truncate(path, SIZE - 1)
    with pytest.raises(DeviceMismatch) as caught:
        locate(_attachment(path))
    assert (caught.value.found, caught.value.expected) == ("8191 bytes", "8192 bytes or more")


def test_another_file_under_the_same_path_is_refused(path: Path) -> None:
    attachment, identity = _attachment(path), _identity(path)
    other = path.with_name("other")
    other.write_bytes(bytes(SIZE))
    other.replace(path)
    with pytest.raises(DeviceMismatch) as caught:
        locate(attachment)
    assert caught.value.expected == (identity.device, identity.inode)


def test_the_same_inode_on_another_file_system_is_refused(path: Path) -> None:
    attachment, identity = _attachment(path), _identity(path)
    identity = attrs.evolve(identity, device=identity.device + 1)
    with pytest.raises(DeviceMismatch):
        locate(attrs.evolve(attachment, identity=identity))


def test_a_symbolic_link_is_refused_even_to_the_device_itself(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(DeviceMismatch, match="symbolic link"):
        locate(_attachment(link))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_neither_file_nor_block_device_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "other")
    with pytest.raises(DeviceMismatch, match="of kind"):
        locate(_attachment(tmp_path / "other"))


@pytest.mark.parametrize("name", ["missing", "missing/below", "a\0b"])
def test_a_path_with_nothing_there_is_unavailable(path: Path, name: str) -> None:
    attachment = _attachment(path)
    identity = attrs.evolve(_identity(path), path=str(path.with_name("x").parent / name))
    with pytest.raises(DeviceUnavailable):
        locate(attrs.evolve(attachment, identity=identity))


def test_a_block_device_is_found_where_this_host_has_one_to_spare() -> None:
    path = Path("/dev/loop0")
    if not (path.exists() and os.access(path, os.R_OK)):
        pytest.skip(f"no {path} that this user may read")
    device = locate(attrs.evolve(_attachment(path), size=0))
    assert device.path == path
    sequence = Path("/sys/block/loop0/diskseq")
    if sequence.exists():
        assert device.identity == (path.stat().st_rdev, int(sequence.read_text()))


BLOCK = os.stat_result([stat.S_IFBLK, 11, 12, *[0] * 16])  # inode 11 on device 12


@pytest.fixture
def block(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Return the descriptor of what is said to be a block device."""

    def status(_: int) -> os.stat_result:
        return BLOCK

    fd = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(os, "fstat", status)
    yield fd
    os.close(fd)


def test_a_kernel_that_numbers_disks_tells_them_apart_by_that(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbered(fd: int, request: int, answer: bytearray) -> int:
        assert (fd, request) == (block, 0x80081280)  # BLKGETDISKSEQ of linux/fs.h
        answer[:] = (2**40 + 7).to_bytes(8, sys.byteorder)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", numbered)
    assert (disk_sequence(block), identity_of(block)) == (2**40 + 7, (0, 2**40 + 7))


def test_a_kernel_that_does_not_tells_their_nodes_apart(block: int) -> None:
    assert (disk_sequence(block), identity_of(block)) == (None, (12, 11))


def test_a_device_that_goes_while_it_is_measured_is_unavailable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachment = _attachment(path)

    def gone(*_: int) -> int:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr(os, "lseek", gone)
    with pytest.raises(DeviceUnavailable, match="No such device"):
        locate(attachment)
