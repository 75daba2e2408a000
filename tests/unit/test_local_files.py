"""The files of the local provider: sparse, private, at one path, and what a file system may do."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.device import locate
from cloudcrypt.errors import ProviderUnavailable
from cloudcrypt.model import FilePath, Volume
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    FromVolume,
    ResizeVolume,
    perform,
)
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from cloudcrypt_local._filesystem import FileSystem

MIB = 1024 * 1024


@pytest.fixture
def provider(tmp_path: Path) -> LocalProvider:
    return LocalProvider(tmp_path / "store")


@pytest.fixture
def volume(provider: LocalProvider) -> Volume:
    return perform(provider, CreateVolume("t", "n", 64 * MIB))


def _path(provider: LocalProvider, volume: Volume) -> Path:
    intent = AttachVolume(f"attach {volume.id[-8:]}", volume.id, "node")
    return locate(perform(provider, intent)).path


def test_directory_and_files_are_the_owners_alone(provider: LocalProvider, volume: Volume) -> None:
    path = _path(provider, volume)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_a_file_is_named_by_the_immutable_id(provider: LocalProvider, volume: Volume) -> None:
    assert volume.id.endswith(f"/{_path(provider, volume).stem}")


def test_a_new_volume_takes_no_space(provider: LocalProvider, volume: Volume) -> None:
    assert _path(provider, volume).stat().st_blocks == 0


def test_a_copy_has_the_content_and_the_holes_of_its_source(
    provider: LocalProvider, volume: Volume
) -> None:
    source = _path(provider, volume)
    with source.open("r+b") as file:
        for offset in (0, 20 * MIB, 64 * MIB - 8192):
            file.seek(offset)
            file.write(os.urandom(8192))
    clone = perform(provider, CreateVolume("c", "clone", 65 * MIB, FromVolume(volume.id)))
    copy = _path(provider, clone)
    assert copy.read_bytes() == source.read_bytes() + bytes(MIB)
    assert copy.stat().st_blocks * 512 <= source.stat().st_blocks * 512 + 65536


def test_the_path_and_the_inode_stay_when_a_volume_grows(
    provider: LocalProvider, volume: Volume
) -> None:
    before = perform(provider, AttachVolume("a", volume.id, "node"))
    perform(provider, ResizeVolume("r", volume.id, 128 * MIB))
    after = perform(provider, AttachVolume("b", volume.id, "node"))
    assert (before.identity, before.size, after.size) == (after.identity, 64 * MIB, 128 * MIB)


def test_the_attachment_is_located_as_a_device(provider: LocalProvider, volume: Volume) -> None:
    attachment = perform(provider, AttachVolume("a", volume.id, "node"))
    device = locate(attachment)
    assert (device.volume_id, device.size) == (volume.id, volume.size)
    assert isinstance(attachment.identity, FilePath)
    assert device.path == Path(attachment.identity.path)


def _symbolic_link(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _shorter(path: Path) -> None:
    os.truncate(path, 4096)


@pytest.mark.parametrize("replace", [_symbolic_link, _fifo, _shorter, Path.unlink])
def test_what_is_no_longer_the_file_of_the_volume_is_not_attached(
    provider: LocalProvider, volume: Volume, replace: Callable[[Path], None]
) -> None:
    path = _path(provider, volume)
    replace(path)
    with pytest.raises(ProviderUnavailable) as caught:
        perform(provider, AttachVolume("a", volume.id, "node"))
    assert str(path) in caught.value.reason
    assert isinstance(caught.value.__cause__, OSError)


def test_a_symbolic_link_is_not_followed_when_a_volume_grows(
    provider: LocalProvider, volume: Volume
) -> None:
    path = _path(provider, volume)
    _symbolic_link(path)
    with pytest.raises(ProviderUnavailable):
        perform(provider, ResizeVolume("r", volume.id, 128 * MIB))
    assert path.with_name("elsewhere").stat().st_size == 64 * MIB


def test_foreign_files_that_appear_in_the_directory_are_not_touched(
    provider: LocalProvider, volume: Volume
) -> None:
    directory = _path(provider, volume).parent
    foreign = [directory / "notes.txt", directory / "vol-00000000000000000.img"]
    for path in foreign:
        path.write_text("mine")
    assert list(LocalProvider(directory).list()) == list(provider.list())
    assert [path.read_text() for path in foreign] == ["mine", "mine"]


class FullDisk(FileSystem):
    """Has no space left; then it has again."""

    space = False

    def sync(self, fd: int) -> None:
        if not self.space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().sync(fd)


def test_a_full_disk_is_a_retryable_error_and_the_operation_can_be_finished(
    tmp_path: Path,
) -> None:
    disk = FullDisk()
    provider = LocalProvider(tmp_path / "store", filesystem=disk)
    handle = provider.begin(CreateVolume("t", "n", MIB))
    with pytest.raises(ProviderUnavailable, match="No space left") as caught:
        provider.resume(handle, deadline=Deadline.after(0))
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, OSError)
    disk.space = True
    assert provider.resume(handle, deadline=Deadline.after(0)).size == MIB


class OldKernel(FileSystem):
    """Cannot copy from file to file."""

    def copy(self, source: int, target: int, offset: int, count: int) -> int:
        return self.copy_by_hand(source, target, offset, count)


class LateWriter(FileSystem):
    """Somebody writes to the source while it is copied."""

    def copy(self, source: int, target: int, offset: int, count: int) -> int:
        os.utime(f"/proc/self/fd/{source}", ns=(0, 1))
        return super().copy(source, target, offset, count)


class Truncator(FileSystem):
    """The source ends before its size."""

    def copy(self, source: int, target: int, offset: int, count: int) -> int:
        return 0 * (source + target + offset + count)


def _with_content(provider: LocalProvider, volume: Volume) -> bytes:
    content = os.urandom(3 * MIB)
    with _path(provider, volume).open("r+b") as file:
        file.write(content)
    return content


def test_a_copy_without_help_of_the_kernel_is_the_same(
    provider: LocalProvider, volume: Volume
) -> None:
    content = _with_content(provider, volume)
    old = LocalProvider(_path(provider, volume).parent, filesystem=OldKernel())
    clone = perform(old, CreateVolume("c", "clone", 64 * MIB, FromVolume(volume.id)))
    assert _path(old, clone).read_bytes() == content + bytes(61 * MIB)


def test_the_kernel_that_refuses_to_copy_is_replaced(tmp_path: Path) -> None:
    memory = os.memfd_create("source")
    (tmp_path / "target").write_bytes(b"")
    target = os.open(tmp_path / "target", os.O_RDWR)
    try:
        os.write(memory, b"content")
        assert FileSystem().copy(memory, target, 0, 7) == 7
        assert os.pread(target, 8, 0) == b"content"
    finally:
        os.close(memory)
        os.close(target)


@pytest.mark.parametrize(
    ("filesystem", "reason"), [(LateWriter(), "written to while"), (Truncator(), "ends early")]
)
def test_a_copy_that_is_not_of_one_moment_is_refused_and_can_be_taken_again(
    provider: LocalProvider, volume: Volume, filesystem: FileSystem, reason: str
) -> None:
    content = _with_content(provider, volume)
    directory = _path(provider, volume).parent
    intent = CreateSnapshot("s", volume.id, "snapshot")
    with pytest.raises(ProviderUnavailable, match=reason):
        perform(LocalProvider(directory, filesystem=filesystem), intent)
    assert list(provider.snapshots()) == []
    snapshot = perform(provider, intent)
    copy = directory / f"{snapshot.id.rpartition('/')[2]}.img"
    assert copy.read_bytes() == content + bytes(61 * MIB)


def test_a_failure_to_look_for_data_is_not_taken_for_a_hole() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="Illegal seek"):
            list(FileSystem().extents(reader, 10))
    finally:
        os.close(reader)
        os.close(writer)


def test_a_failure_to_copy_is_not_worked_around(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"content")
    source = os.open(tmp_path / "source", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            FileSystem().copy(source, source, 0, 7)  # not open for writing
    finally:
        os.close(source)
