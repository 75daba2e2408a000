"""Mounting and unmounting: only what is meant, once, and nothing of somebody else's."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    CloudcryptError,
    DeviceBusy,
    DeviceIOError,
    DeviceMismatch,
    FilesystemDamaged,
    FilesystemFailed,
    HostUnready,
    InvalidRequest,
    MountBusy,
    MountConflict,
)
from cloudcrypt.filesystem import FilesystemKind, MountOptions, Mounts, Node, Number, syscalls
from tests.unit.mount_tables import FakeKernel, add_process

EXT4, XFS = FilesystemKind.EXT4, FilesystemKind.XFS
OURS = (254, 7)
OTHERS = (8, 1)
PLAIN = MountOptions()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield Node(Path("/dev/mapper/vol"), descriptor, OURS, 2**30)
    os.close(descriptor)


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel(lambda _: OURS)


@pytest.fixture
def mounts(kernel: FakeKernel, tmp_path: Path) -> Mounts:
    return Mounts(kernel, tmp_path / "proc")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "a target"
    path.mkdir()
    return path


def is_ours(number: Number) -> bool:
    return number == OURS


# --- mounting ---


def test_a_filesystem_is_mounted(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    mount = mounts.mount(node, EXT4, target, PLAIN)
    assert (OURS, target, "/", "ext4") == (mount.number, mount.target, mount.root, mount.kind)
    flags = syscalls.NOSUID | syscalls.NODEV
    expected = ("mount", node.path, target, "ext4", flags, "")
    assert [expected] == [call for call in kernel.calls if call[0] == "mount"]
    assert (mount,) == mounts.of(OURS)


def test_mounting_again_changes_nothing(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    first = mounts.mount(node, EXT4, target, PLAIN)
    kernel.add(target.parent / "bound", OURS, root="/folder")  # as Kubernetes does
    assert first == mounts.mount(node, EXT4, target, PLAIN)
    assert ["mount"] == kernel.made()


@pytest.mark.parametrize(
    ("options", "flags", "words"),
    [
        (MountOptions(nosuid=False, nodev=False), 0, ""),
        (MountOptions(read_only=True), 7, ""),
        (MountOptions(noexec=True, noatime=True), 2 | 4 | 8 | 1024, ""),
        (MountOptions(discard=True), 6, "discard"),
        (MountOptions(nouuid=True), 6, "nouuid"),
        (MountOptions(discard=True, nouuid=True), 6, "discard,nouuid"),
    ],
)
def test_options_are_flags_and_words(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, options: MountOptions,
    flags: int, words: str,
) -> None:  # fmt: skip
    mounts.mount(node, XFS, target, options)
    mounts.mount(node, XFS, target, options)
    assert ["mount"] == kernel.made()
    called = next(call for call in kernel.calls if call[0] == "mount")
    assert (flags, words) == called[4:]


def test_ext4_does_not_know_nouuid() -> None:
    assert MountOptions(nouuid=True).of_filesystem(EXT4) == ""


@pytest.mark.parametrize(
    "options",
    [
        MountOptions(read_only=True),
        MountOptions(nosuid=False),
        MountOptions(nodev=False),
        MountOptions(noexec=True),
        MountOptions(noatime=True),
        MountOptions(discard=True),
    ],
)
def test_a_mount_with_other_options_is_not_taken(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, options: MountOptions
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    with pytest.raises(MountConflict, match="nodev,nosuid"):
        mounts.mount(node, EXT4, target, options)
    assert ["mount"] == kernel.made()


def test_a_filesystem_that_became_read_only_is_not_taken_for_a_writable_one(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    kernel.turn_read_only(mounts.mount(node, EXT4, target, PLAIN))
    with pytest.raises(MountConflict, match="nodev,nosuid,ro"):
        mounts.mount(node, EXT4, target, PLAIN)


def test_another_filesystem_at_the_target_is_left_alone(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    kernel.add(target, OTHERS, source="/dev/mapper/vol")  # the name is ours, the number is not
    with pytest.raises(MountConflict, match=r"8:1.*expected .*254:7"):
        mounts.mount(node, EXT4, target, PLAIN)
    assert [] == kernel.made()


def test_a_part_of_ours_at_the_target_is_not_all_of_it(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    kernel.add(target, OURS, root="/folder")
    with pytest.raises(MountConflict, match="/folder of it"):
        mounts.mount(node, EXT4, target, PLAIN)


def test_ours_elsewhere_is_not_mounted_twice(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    kernel.add(elsewhere, OURS)
    with pytest.raises(MountConflict, match="it is mounted at"):
        mounts.mount(node, EXT4, target, PLAIN)
    assert [] == kernel.made()


def test_what_lies_below_another_ones_mount_is_not_taken(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    kernel.hidden_by = OTHERS
    with pytest.raises(MountConflict, match="hides"):
        mounts.mount(node, EXT4, target, PLAIN)
    with pytest.raises(MountConflict, match="hides"):
        mounts.unmount(target, is_ours, lazy=False)
    assert ["mount"] == kernel.made()


def test_another_device_under_the_same_path_is_unmounted_again(
    node: Node, target: Path, tmp_path: Path
) -> None:
    kernel = FakeKernel(lambda _: OTHERS)
    with pytest.raises(DeviceMismatch, match=r"8:1.*expected.*254:7"):
        Mounts(kernel, tmp_path).mount(node, EXT4, target, PLAIN)
    assert (["mount", "unmount"], []) == (kernel.made(), kernel.mounts)


def test_a_mount_that_is_gone_at_once_is_no_success(
    kernel: FakeKernel, node: Node, target: Path, tmp_path: Path
) -> None:
    class Fleeting(FakeKernel):
        def table(self) -> bytes:
            self.mounts.clear()
            return super().table()

    with pytest.raises(MountConflict, match="nothing"):
        Mounts(Fleeting(lambda _: OURS), tmp_path).mount(node, EXT4, target, PLAIN)


def test_a_link_to_a_folder_is_followed(
    mounts: Mounts, node: Node, target: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    assert target == mounts.mount(node, EXT4, link, PLAIN).target
    mounts.unmount(link, is_ours, lazy=False)
    assert () == mounts.of(OURS)


@pytest.mark.parametrize("name", ["missing", "file", "loop"])
def test_a_target_that_is_no_folder_is_refused(
    mounts: Mounts, kernel: FakeKernel, node: Node, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidRequest, match="target"):
        mounts.mount(node, EXT4, tmp_path / name, PLAIN)
    assert [] == kernel.calls


REFUSALS: dict[int, type[CloudcryptError]] = {
    errno.EPERM: HostUnready,
    errno.ENODEV: HostUnready,
    errno.EUCLEAN: FilesystemDamaged,
    errno.EBADMSG: FilesystemDamaged,
    errno.EBUSY: DeviceBusy,
    errno.EIO: DeviceIOError,
    errno.EILSEQ: DeviceIOError,
    errno.EINVAL: FilesystemFailed,
    errno.EROFS: FilesystemFailed,
    errno.ENOMEM: FilesystemFailed,
}


@pytest.mark.parametrize("code", REFUSALS, ids=errno.errorcode.get)
def test_a_refusal_of_the_kernel_has_a_meaning(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, code: int
) -> None:
    kernel.refusals["mount"] = code
    with pytest.raises(REFUSALS[code]) as refusal:
        mounts.mount(node, XFS, target, PLAIN)
    assert type(refusal.value) is REFUSALS[code]
    assert isinstance(refusal.value.__cause__, OSError)
    assert [] == kernel.mounts


@pytest.mark.parametrize("verb", ["table", "device"])
def test_a_kernel_that_does_not_say_is_not_believed(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, verb: str
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    kernel.refusals[verb] = errno.EIO
    for ask in (
        lambda: mounts.mount(node, EXT4, target, PLAIN),
        lambda: mounts.unmount(target, is_ours, lazy=False),
    ):
        with pytest.raises((HostUnready, DeviceIOError)):
            ask()
    assert ["mount"] == kernel.made()


# --- unmounting ---


def test_a_filesystem_is_written_out_and_unmounted(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    mounts.unmount(target, is_ours, lazy=False)
    mounts.unmount(target, is_ours, lazy=False)
    assert ["mount", "sync", "unmount"] == kernel.made()
    assert ("unmount", target, syscalls.NOFOLLOW) in kernel.calls
    assert () == mounts.of(OURS)


def test_it_disappears_at_once_only_if_asked(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    mounts.unmount(target, is_ours, lazy=True)
    assert ("unmount", target, syscalls.NOFOLLOW | syscalls.DETACH) in kernel.calls


def test_a_target_that_is_gone_is_not_mounted(mounts: Mounts, tmp_path: Path) -> None:
    mounts.unmount(tmp_path / "gone", is_ours, lazy=False)


def test_what_is_not_ours_stays_mounted(mounts: Mounts, kernel: FakeKernel, target: Path) -> None:
    kernel.add(target, OURS)
    kernel.add(target, OTHERS)
    with pytest.raises(MountConflict, match="8:1"):
        mounts.unmount(target, is_ours, lazy=True)
    assert [] == kernel.made()


def test_ours_is_unmounted_as_often_as_it_is_mounted(
    mounts: Mounts, kernel: FakeKernel, target: Path
) -> None:
    kernel.add(target, OURS)
    kernel.add(target, OURS)
    mounts.unmount(target, is_ours, lazy=False)
    assert [] == kernel.mounts


def test_what_cannot_be_written_out_is_unmounted_and_an_error(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    kernel.refusals["sync"] = errno.EIO
    with pytest.raises(DeviceIOError, match="flush"):
        mounts.unmount(target, is_ours, lazy=False)
    assert [] == kernel.mounts
    mounts.unmount(target, is_ours, lazy=False)


def test_what_is_in_use_stays_and_its_users_are_named(
    mounts: Mounts, kernel: FakeKernel, node: Node, target: Path, tmp_path: Path
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    add_process(tmp_path / "proc", 4711, "postgres", cwd=target / "data")
    kernel.refusals["unmount"] = errno.EBUSY
    with pytest.raises(MountBusy, match=r"4711 \(postgres\)") as busy:
        mounts.unmount(target, is_ours, lazy=False)
    assert busy.value.retryable
    assert 1 == len(kernel.mounts)


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EPERM, HostUnready), (errno.ENOMEM, FilesystemFailed)]
)
def test_a_refusal_to_unmount_has_a_meaning(
    mounts: Mounts,
    kernel: FakeKernel,
    node: Node,
    target: Path,
    code: int,
    kind: type[CloudcryptError],
) -> None:
    mounts.mount(node, EXT4, target, PLAIN)
    kernel.refusals["unmount"] = code
    with pytest.raises(kind):
        mounts.unmount(target, is_ours, lazy=False)


def test_what_somebody_else_unmounts_meanwhile_is_unmounted(
    kernel: FakeKernel, target: Path, tmp_path: Path
) -> None:
    class Overtaken(FakeKernel):
        def unmount(self, target: Path, flags: int) -> None:
            super().unmount(target, flags)
            raise OSError(errno.EINVAL, "Invalid argument")

    overtaken = Overtaken(lambda _: OURS)
    overtaken.add(target, OURS)
    Mounts(overtaken, tmp_path).unmount(target, is_ours, lazy=False)
    assert [] == overtaken.mounts


def test_a_stack_without_end_is_not_unmounted_for_ever(
    kernel: FakeKernel, target: Path, tmp_path: Path
) -> None:
    class Endless(FakeKernel):
        def unmount(self, target: Path, flags: int) -> None:
            self._called("unmount", target, flags)

    endless = Endless(lambda _: OURS)
    endless.add(target, OURS)
    with pytest.raises(FilesystemFailed, match="mounted again"):
        Mounts(endless, tmp_path).unmount(target, is_ours, lazy=False)


# --- sizes ---


def test_the_size_of_a_mount_is_the_kernels(
    mounts: Mounts, kernel: FakeKernel, target: Path
) -> None:
    mount = kernel.add(target, OURS)
    kernel.sizes[OURS] = 4096
    assert 4096 == mounts.size(mount)
    kernel.refusals["size"] = errno.EIO
    with pytest.raises(DeviceIOError, match="statfs"):
        mounts.size(mount)
