"""Mounting and unmounting, idempotent: what is there already is taken only if it is what is meant.

Devices are compared by number, never by name, and what the kernel has done is looked up before it
is believed.
"""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Self

import attrs

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
from cloudcrypt.filesystem import syscalls
from cloudcrypt.filesystem.holders import PROC, holders_of
from cloudcrypt.filesystem.mountinfo import Mount, parse, top_at
from cloudcrypt.filesystem.node import Node, Number
from cloudcrypt.filesystem.syscalls import Kernel
from cloudcrypt.ledger import FilesystemKind

_STACK_MAX: Final = 16
"""Mounts of one filesystem on top of each other that are unmounted; nobody makes so many."""

_FLAGS: Final = {
    "ro": syscalls.RDONLY,
    "nosuid": syscalls.NOSUID,
    "nodev": syscalls.NODEV,
    "noexec": syscalls.NOEXEC,
    "noatime": syscalls.NOATIME,
}
_DISCARD: Final = "discard"


@attrs.frozen
class MountOptions:
    """How a filesystem is mounted; each is an option of mount(8) by that name.

    ``discard`` tells the storage which blocks are not in use, if the mapping passes that on.
    ``nouuid`` lets XFS mount beside another filesystem of the same UUID; the stage says it of
    copies by itself.
    """

    read_only: bool = False
    nosuid: bool = True
    nodev: bool = True
    noexec: bool = False
    noatime: bool = False
    discard: bool = False
    nouuid: bool = False

    @classmethod
    def of(cls, mount: Mount) -> Self:
        """Return the options with which ``mount`` was made, as far as the kernel's table shows."""
        return cls(
            read_only=mount.is_read_only,
            nosuid="nosuid" in mount.options,
            nodev="nodev" in mount.options,
            noexec="noexec" in mount.options,
            noatime="noatime" in mount.options,
            discard=_DISCARD in mount.super_options,
        )

    @property
    def words(self) -> frozenset[str]:
        """The options of the mount itself, as the kernel's table shows them."""
        asked = {
            "ro": self.read_only,
            "nosuid": self.nosuid,
            "nodev": self.nodev,
            "noexec": self.noexec,
            "noatime": self.noatime,
        }
        return frozenset(word for word, is_asked in asked.items() if is_asked)

    @property
    def flags(self) -> int:
        """The flags of mount(2)."""
        return sum(_FLAGS[word] for word in self.words)

    def of_filesystem(self, kind: FilesystemKind) -> str:
        """Return the options of the filesystem, as mount(2) takes them."""
        words = [_DISCARD] if self.discard else []
        if self.nouuid and kind is FilesystemKind.XFS:
            words.append("nouuid")
        return ",".join(words)


class Mounts:
    """The mounts that this process sees."""

    def __init__(self, kernel: Kernel, proc: Path = PROC) -> None:
        """Ask ``kernel``; ``proc`` tells who keeps a filesystem busy."""
        self._kernel = kernel
        self._proc = proc

    def of(self, number: Number) -> tuple[Mount, ...]:
        """Return the mounts of a device, bind mounts included.

        Raises:
            HostUnready: the table of mounts cannot be read; that is not "none".
        """
        return tuple(mount for mount in self._table() if mount.number == number)

    def all(self) -> tuple[Mount, ...]:
        """Return all mounts; errors as `of`."""
        return self._table()

    def mount(self, node: Node, kind: FilesystemKind, target: Path, options: MountOptions) -> Mount:
        """Mount the filesystem on a device. Idempotent.

        Args:
            node: the device, proven.
            kind: what is on it, proven.
            target: a folder that exists; links in its path are followed.
            options: must be those of the mount that is there already.

        Raises:
            MountConflict: something else is mounted there, or this is mounted elsewhere, or with
                other options.
            FilesystemDamaged: the kernel has found errors.
            FilesystemFailed, DeviceIOError: the kernel refused.
            DeviceMismatch: another device was mounted, and unmounted again.
            DeviceBusy: something else has claimed the device.
            HostUnready: the kernel has no such filesystem, or this process may not mount.
            InvalidRequest: the target is no folder.
        """
        target = _folder(target)
        before = self._table()
        top = top_at(before, target)
        if top is None:
            self._require_nowhere(before, node, target)
            self._mount(node, kind, target, options)
            top = self._made(before, node, target)
        if top.number != node.number or top.root != "/":
            raise MountConflict(str(target), _described(top), _device(node.path, node.number))
        self._require_visible(top)
        _require_options(top, options)
        return top

    def unmount(self, target: Path, is_ours: Callable[[Number], bool], *, lazy: bool) -> None:
        """Write out and unmount what is mounted at ``target``. Idempotent.

        Args:
            target: the folder.
            is_ours: whether a device is the one that may be unmounted.
            lazy: also if it is in use: it disappears now, and is unmounted with its last user.

        Raises:
            MountConflict: something else is mounted there.
            MountBusy: it is in use, and was left mounted.
            DeviceIOError: not everything could be written out; it is unmounted all the same.
            HostUnready: this process may not unmount.
            FilesystemFailed: the kernel refused.
        """
        target = target.resolve()
        failure: DeviceIOError | None = None
        for _ in range(_STACK_MAX):
            top = top_at(self._table(), target)
            if top is None:
                if failure is not None:
                    raise failure
                return
            if not is_ours(top.number):
                raise MountConflict(str(target), _described(top), "the filesystem of the volume")
            self._require_visible(top)
            failure = self._flushed(top) or failure
            self._unmount(top, lazy=lazy)
        raise FilesystemFailed(str(target), "unmounting", "it is mounted again each time")

    def size(self, mount: Mount) -> int:
        """Return the size of a mounted filesystem in bytes, as statfs(2) counts it.

        Raises:
            DeviceIOError: the kernel does not say.
        """
        try:
            return self._kernel.size(mount.target)
        except OSError as error:
            raise _failed_io(mount, "statfs", error) from error

    def _table(self) -> tuple[Mount, ...]:
        try:
            return parse(self._kernel.table())
        except OSError as error:
            what = f"a table of mounts (/proc/self/mountinfo: {error.strerror})"
            raise HostUnready(what, "mount /proc") from error

    def _require_nowhere(self, mounts: tuple[Mount, ...], node: Node, target: Path) -> None:
        for mount in mounts:
            if mount.number == node.number:
                found = f"nothing; it is mounted at {mount.target}"
                raise MountConflict(str(target), found, _device(node.path, node.number))

    def _mount(self, node: Node, kind: FilesystemKind, target: Path, options: MountOptions) -> None:
        words = options.of_filesystem(kind)
        try:
            self._kernel.mount(node.path, target, kind.value, options.flags, words)
        except OSError as error:
            raise _refused(node, kind, error) from error

    def _made(self, before: tuple[Mount, ...], node: Node, target: Path) -> Mount:
        """Return the mount that was just made, if it is of the device that was meant."""
        top = top_at(self._table(), target)
        if top is None:
            raise MountConflict(str(target), "nothing", _device(node.path, node.number))
        if top.number != node.number and top.id not in {mount.id for mount in before}:
            self._unmount(top, lazy=False)
            found, expected = _number(top.number), _number(node.number)
            raise DeviceMismatch(str(node.path), found, expected)
        return top

    def _require_visible(self, mount: Mount) -> None:
        """Return if the path of a mount leads to it, and not to one that hides it."""
        try:
            found = self._kernel.device(mount.target)
        except OSError as error:
            raise _failed_io(mount, "stat", error) from error
        if found != mount.number:
            hidden = f"device {_number(found)}, which hides {_described(mount)}"
            raise MountConflict(str(mount.target), hidden, _described(mount))

    def _flushed(self, mount: Mount) -> DeviceIOError | None:
        """Write out a filesystem; return the error if that failed: unmounting keeps silent."""
        try:
            self._kernel.sync(mount.target)
        except OSError as error:
            return _failed_io(mount, "flush", error)
        return None

    def _unmount(self, mount: Mount, *, lazy: bool) -> None:
        flags = syscalls.NOFOLLOW | (syscalls.DETACH if lazy else 0)
        try:
            self._kernel.unmount(mount.target, flags)
        except OSError as error:
            if error.errno == errno.EBUSY:
                busy = holders_of(mount.target, self._proc)
                raise MountBusy(str(mount.target), busy) from error
            if error.errno == errno.EPERM:
                raise _unprivileged() from error
            if error.errno != errno.EINVAL:  # somebody else has unmounted it
                reason = error.strerror or "unknown error"
                raise FilesystemFailed(str(mount.target), "unmounting", reason) from error


def _folder(target: Path) -> Path:
    try:
        found = target.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidRequest("target", str(target), "a folder that exists") from error
    if not found.is_dir():
        raise InvalidRequest("target", str(target), "a folder")
    return found


def _require_options(mount: Mount, options: MountOptions) -> None:
    """Return if a mount has the options that are asked for, and no others of those.

    Raises:
        MountConflict: it does not.
    """
    found = {*(mount.options & _FLAGS.keys()), *(mount.super_options & {_DISCARD})}
    if mount.is_read_only:
        found.add("ro")
    expected = {*options.words, *((_DISCARD,) if options.discard else ())}
    if found != expected:
        raise MountConflict(str(mount.target), f"a mount with {_listed(found)}", _listed(expected))


def _refused(node: Node, kind: FilesystemKind, error: OSError) -> CloudcryptError:
    """Return what it means that the kernel refused to mount."""
    path, reason = str(node.path), error.strerror or "unknown error"
    match error.errno:
        case errno.EPERM:
            return _unprivileged()
        case errno.ENODEV:
            return HostUnready(f"a kernel that knows {kind.value}", f"modprobe {kind.value}")
        case errno.EUCLEAN | errno.EBADMSG:  # ext4 and XFS: corrupted, and a wrong checksum
            return FilesystemDamaged(path, f"the kernel says: {reason}")
        case errno.EBUSY:
            return DeviceBusy(path)
        case errno.EIO | errno.EILSEQ:
            return DeviceIOError(path, "mount", 0, reason)
        case _:
            return FilesystemFailed(path, f"mounting {kind.value}", reason)


def _unprivileged() -> HostUnready:
    return HostUnready("permission to mount", "run as root, or with CAP_SYS_ADMIN")


def _failed_io(mount: Mount, operation: str, error: OSError) -> DeviceIOError:
    return DeviceIOError(mount.source, operation, 0, error.strerror or "unknown error")


def _described(mount: Mount) -> str:
    below = "" if mount.root == "/" else f", {mount.root} of it"
    return f"{mount.kind} of {_device(mount.source, mount.number)}{below}"


def _device(path: Path | str, number: Number) -> str:
    return f"{path} ({_number(number)})"


def _listed(words: Iterable[str]) -> str:
    return ",".join(sorted(words)) or "no options"


def _number(number: Number) -> str:
    return f"{number[0]}:{number[1]}"
