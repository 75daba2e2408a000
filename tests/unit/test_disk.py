"""FileDisk: exact reads and writes, locks, and errors that are never emptiness."""

import os
import resource
import signal
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

import cloudcrypt.disk
from cloudcrypt.blockdevices import holders
from cloudcrypt.disk import Disk, FileDisk, read
from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceUnavailable, HostUnready

SIZE = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def test_what_was_written_is_read_also_by_another_disk(image: Path) -> None:
    with FileDisk(image, writable=True) as disk:
        disk.write(1000, b"hello")
        disk.write(SIZE - 3, memoryview(b"end"))
        disk.sync()
        assert read(disk, 999, 7) == b"\0hello\0"
    with FileDisk(str(image)) as disk:
        assert (b"hello", b"end") == (read(disk, 1000, 5), read(disk, SIZE - 3, 3))


def test_a_file_disk_is_a_disk(image: Path) -> None:
    with FileDisk(image) as file_disk:
        disk: Disk = file_disk
        stat = image.stat()
        assert (str(image), SIZE) == (disk.name, disk.size)
        assert (stat.st_dev, stat.st_ino) == file_disk.identity


def test_the_identity_is_that_of_what_was_opened_whatever_the_path_names_by_now(
    image: Path,
) -> None:
    with FileDisk(image) as disk:
        before = disk.identity
        image.rename(image.with_suffix(".old"))
        image.write_bytes(bytes(SIZE))
        assert before == disk.identity
        assert before != (image.stat().st_dev, image.stat().st_ino)


@pytest.mark.parametrize("length", [1, 4096])
@pytest.mark.parametrize("offset", [SIZE, SIZE - 100, 2**60])
def test_reading_beyond_the_end_is_an_error(image: Path, offset: int, length: int) -> None:
    with FileDisk(image) as disk, pytest.raises(DeviceIOError) as failure:
        read(disk, offset, length + 100)
    assert failure.value.operation == "read"


def test_a_device_that_shrank_is_an_error_and_not_zeros(image: Path) -> None:
    with FileDisk(image) as disk:
        os.truncate(image, 5000)
        with pytest.raises(DeviceIOError) as failure:
            read(disk, 4096, 4096)
        assert (5000, "the device ends here") == (failure.value.offset, failure.value.reason)
        assert SIZE == disk.size


def test_a_device_that_grew_is_larger_only_when_asked_again(image: Path) -> None:
    with FileDisk(image, writable=True) as disk:
        os.truncate(image, 2 * SIZE)
        with pytest.raises(DeviceIOError):
            disk.write(SIZE, b"x")
        disk.refresh()
        assert 2 * SIZE == disk.size
        disk.write(SIZE, b"x")


def test_writing_beyond_the_end_is_an_error_and_writes_nothing(image: Path) -> None:
    with FileDisk(image, writable=True) as disk:
        with pytest.raises(DeviceIOError):
            disk.write(SIZE - 2, b"xxx")
        assert read(disk, SIZE - 2, 2) == b"\0\0"
    assert SIZE == image.stat().st_size


def test_a_negative_offset_is_an_error(image: Path) -> None:
    with FileDisk(image, writable=True) as disk:
        with pytest.raises(DeviceIOError):
            read(disk, -1, 1)
        with pytest.raises(DeviceIOError):
            disk.write(-10, b"x")


def test_a_disk_opened_for_reading_is_not_written(image: Path) -> None:
    with FileDisk(image) as disk, pytest.raises(DeviceIOError) as failure:
        disk.write(0, b"x")
    assert failure.value.operation == "write"


def test_a_write_that_the_host_refuses_is_an_error(image: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with FileDisk(image, writable=True) as disk:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
        try:
            with pytest.raises(DeviceIOError) as failure:
                disk.write(4096, bytes(8192))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
    assert (8192, "File too large") == (failure.value.offset, failure.value.reason)


def test_a_closed_disk_fails_and_is_closed_twice_without_harm(image: Path) -> None:
    disk = FileDisk(image, writable=True)
    disk.close()
    disk.close()
    for use in (
        lambda: read(disk, 0, 1),
        lambda: disk.write(0, b"x"),
        disk.sync,
        lambda: list(disk.extents(0, SIZE)),
    ):
        with pytest.raises(DeviceIOError):
            use()


# --- opening ---


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_a_disk_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.img"
    with pytest.raises(DeviceUnavailable) as failure:
        FileDisk(path, writable=True)
    assert (str(path), "No such file or directory") == (failure.value.device, failure.value.reason)
    assert not path.exists()


def test_only_files_and_block_devices_are_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo, Path("/dev/null")):
        with pytest.raises(DeviceUnavailable) as failure:
            FileDisk(path)
        assert failure.value.reason == "neither a regular file nor a block device"


def test_a_folder_is_not_opened_for_writing(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable):
        FileDisk(tmp_path, writable=True)


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_a_writer_excludes_everyone_else(image: Path, *, first: bool, second: bool) -> None:
    with FileDisk(image, writable=first), pytest.raises(DeviceBusy):
        FileDisk(image, writable=second)
    FileDisk(image, writable=second).close()


def test_readers_share(image: Path) -> None:
    with FileDisk(image) as one, FileDisk(image) as two:
        assert read(one, 0, 10) == read(two, 0, 10)


def test_a_refused_disk_leaves_no_descriptor_open(image: Path) -> None:
    with FileDisk(image, writable=True):
        before = open_descriptors()
        for _ in range(3):
            with pytest.raises(DeviceBusy):
                FileDisk(image)
        assert before == open_descriptors()


# --- extents ---


def test_the_extents_of_a_hole_are_none(image: Path) -> None:
    with FileDisk(image) as disk:
        assert list(disk.extents(0, SIZE)) == []


def test_the_extents_are_what_was_written(image: Path) -> None:
    with FileDisk(image, writable=True) as disk:
        disk.write(8192, b"x" * 4096)
        disk.write(SIZE - 4096, b"x" * 4096)
        disk.sync()
        found = list(disk.extents(0, SIZE))
        assert all(read(disk, start, end - start).strip(b"\0") for start, end in found)
        assert {8192, SIZE - 4096} <= {
            offset for start, end in found for offset in range(start, end, 4096)
        }
        assert [(8192, 8200)] == list(disk.extents(8192, 8200))
        assert list(disk.extents(0, 4096)) == []
        assert [(SIZE - 10, SIZE)] == list(disk.extents(SIZE - 10, SIZE))


# --- what the kernel has mapped ---


def test_an_image_file_is_never_mapped_by_the_kernel(image: Path) -> None:
    with FileDisk(image) as disk:
        disk.require_unmapped()


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Return a sysfs in which 8:0 is part of nothing, and 8:16 of two mappings."""
    sysfs = tmp_path / "sys"
    for number, names in {"8:0": (), "8:16": ("dm-3", "dm-1")}.items():
        folder = sysfs / "dev" / "block" / number / "holders"
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    return sysfs


def test_holders_are_what_sysfs_says(sysfs: Path) -> None:
    assert holders("8:0", sysfs=sysfs) == ()
    assert holders("8:16", sysfs=sysfs) == ("dm-1", "dm-3")


def test_what_sysfs_does_not_say_is_not_absence(sysfs: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="/dev/sdz"):
        holders("8:32", name="/dev/sdz", sysfs=sysfs)
    with pytest.raises(HostUnready, match="sysfs"):
        holders("8:0", sysfs=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("number", "kind"), [((8, 0), None), ((8, 16), DeviceBusy), ((8, 32), DeviceUnavailable)]
)
def test_a_block_device_that_the_kernel_maps_is_not_read_beneath_it(
    image: Path,
    sysfs: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: tuple[int, int],
    kind: type[Exception] | None,
) -> None:
    monkeypatch.setattr(cloudcrypt.disk, "SYSFS", sysfs)
    with FileDisk(image) as disk:
        disk._stat = os.stat_result(  # as of a block device
            (stat.S_IFBLK | 0o600, *disk._stat[1:]), {"st_rdev": os.makedev(*number)}
        )
        expected = (
            nullcontext() if kind is None else pytest.raises(kind, match=str(image)[:20])
        )  # long texts are cut
        with expected:
            disk.require_unmapped()
