"""What each program is told, and what its exit status means."""

import enum
from pathlib import Path
from typing import Final, assert_never

import attrs

from cloudcrypt.errors import DeviceTooSmall, FilesystemFailed
from cloudcrypt.filesystem.node import Node
from cloudcrypt.filesystem.tools import Ended, Tools, ToolStopped
from cloudcrypt.ledger import FilesystemKind
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.sizes import MIB
from cloudcrypt.waiting import Deadline

SMALLEST: Final = {
    FilesystemKind.EXT4: 2048 * SECTOR_SIZE,
    FilesystemKind.XFS: 300 * MIB,
}
"""Bytes of payload that are needed: mke2fs makes no journal below 2048 blocks, and mkfs.xfs 6.0
makes no filesystem below 300 MB."""

_CORRECTED, _REBOOT, _UNCORRECTED = 1, 2, 4  # e2fsck(8), exit code
_FOUND: Final = 1  # xfs_repair(8) with -n, exit status
_UNREPLAYED: Final = "valuable metadata changes in a log"  # xfs_repair -n, on its log


class Health(enum.Enum):
    """What a check has found."""

    CLEAN = "clean"
    """No errors."""
    REPAIRED = "repaired"
    """Errors that could be repaired without loss, and were; or a journal that was replayed."""
    UNREPLAYED = "unreplayed"
    """Not known: the log of XFS has to be replayed first, by mounting it once."""
    DAMAGED = "damaged"
    """Errors that need a person to decide."""


@attrs.frozen
class Commands:
    """The programs, for one device, under one lock and until one deadline.

    A program inherits the lock: if this process dies, it is not free before the program has ended.
    """

    tools: Tools
    node: Node
    lock: int
    deadline: Deadline

    def require_room(self, kind: FilesystemKind) -> None:
        """Return if a filesystem of this kind fits.

        Raises:
            DeviceTooSmall: it does not.
        """
        if self.node.size < SMALLEST[kind]:
            raise DeviceTooSmall(str(self.node.path), self.node.size, SMALLEST[kind])

    def make(self, kind: FilesystemKind, uuid: str) -> None:
        """Make a filesystem, whatever is there, durably. The kernel must not use the device.

        Blocks and sectors have 4096 bytes, as the sectors of the encryption; metadata has
        checksums; nothing is discarded.

        Args:
            kind: which filesystem.
            uuid: the one that it gets.

        Raises:
            FilesystemFailed: it could not be made; anything may be there now.
            DeviceIOError: not all of it is durable.
        """
        block = str(SECTOR_SIZE)
        options = ["-q"]
        match kind:
            case FilesystemKind.EXT4:
                options += ["-b", block, "-U", uuid, "-O", "metadata_csum,64bit", "-E", "nodiscard"]
                # An error makes it read-only; no blocks are kept for root: it holds data only.
                options += ["-e", "remount-ro", "-m", "0"]
            case FilesystemKind.XFS:
                # -f: also where there is one already, one that was begun and never handed out.
                options += ["-f", "-K", "-s", f"size={block}", "-m", f"crc=1,uuid={uuid}"]
            case _:
                assert_never(kind)
        operation = f"making {kind.value}"
        ended = self._run(f"mkfs.{kind.value}", *options, self.node.pinned, operation=operation)
        if ended.status != 0:
            raise self._failed(operation, str(ended))
        self.node.sync()

    def check(self, kind: FilesystemKind, *, full: bool) -> Health:
        """Check a filesystem that is not mounted; ext4 is repaired where nothing is lost by that.

        Args:
            kind: which filesystem.
            full: look at all of it, even if ext4 says that it is clean. XFS is looked at in full in
                any case, and never repaired: its log is replayed when it is mounted.

        Raises:
            FilesystemFailed: the check could not be made.
        """
        match kind:
            case FilesystemKind.EXT4:
                return self._check_ext4(full=full)
            case FilesystemKind.XFS:
                return self._check_xfs()
            case _:
                assert_never(kind)

    def grow(self, kind: FilesystemKind, target: Path) -> None:
        """Let a filesystem that is mounted at ``target`` use all of its device. Idempotent.

        Raises:
            FilesystemFailed: it has the size that it had, or one between.
        """
        operation = f"growing {kind.value}"
        match kind:
            case FilesystemKind.EXT4:
                ended = self._run("resize2fs", self.node.pinned, operation=operation)
            case FilesystemKind.XFS:
                ended = self._run("xfs_growfs", "-d", str(target), operation=operation)
            case _:
                assert_never(kind)
        if ended.status != 0:
            raise self._failed(operation, str(ended))

    def _check_ext4(self, *, full: bool) -> Health:
        options = ("-p", "-f") if full else ("-p",)
        ended = self._run("e2fsck", *options, self.node.pinned, operation="checking ext4")
        if ended.status == 0:
            return Health.CLEAN
        if not 0 < ended.status <= _CORRECTED | _REBOOT | _UNCORRECTED:
            # What it says may name files, so it is not repeated.
            raise self._failed("checking ext4", ended.how)
        return Health.DAMAGED if ended.status & _UNCORRECTED else Health.REPAIRED

    def _check_xfs(self) -> Health:
        ended = self._run("xfs_repair", "-n", self.node.pinned, operation="checking xfs")
        if ended.status not in (0, _FOUND):
            raise self._failed("checking xfs", ended.how)
        if _UNREPLAYED in " ".join(ended.began.split()):
            return Health.UNREPLAYED
        return Health.CLEAN if ended.status == 0 else Health.DAMAGED

    def _run(self, tool: str, *arguments: str, operation: str) -> Ended:
        inherited = (self.node.descriptor, self.lock)
        try:
            return self.tools.run(tool, arguments, inherited=inherited, deadline=self.deadline)
        except ToolStopped as error:
            raise self._failed(operation, str(error)) from error

    def _failed(self, operation: str, reason: str) -> FilesystemFailed:
        return FilesystemFailed(str(self.node.path), operation, reason)
