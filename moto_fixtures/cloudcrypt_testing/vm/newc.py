"""Archives in cpio's "newc" format, which the kernel unpacks as its first root file system.

Documentation/driver-api/early-userspace/buffer-format.rst of the kernel describes the format.
Archives may follow one another in one file; what comes later wins.
"""

import stat
from pathlib import PurePosixPath
from typing import Final

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"
_ALIGNMENT: Final = 4  # bytes, of names and of content


class Archive:
    """An archive that is being made in memory; folders above an entry are made with it.

    The same calls make the same bytes: every time is 0, every owner is root.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._content = bytearray()
        self._folders: set[PurePosixPath] = {PurePosixPath()}
        self._inode = 0

    def folder(self, path: str) -> None:
        """Add a folder. Idempotent."""
        folder = PurePosixPath(path.strip("/"))
        for each in [*reversed(folder.parents), folder]:
            if each not in self._folders:
                self._folders.add(each)
                self._entry(str(each), stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Add a regular file with these permissions."""
        self._below(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link to ``target``."""
        self._below(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int) -> None:
        """Add the node of a character device that only root may use."""
        self._below(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def to_bytes(self) -> bytes:
        """Return the whole archive; more entries may be added afterwards."""
        finished = Archive()
        finished._content[:] = self._content
        finished._entry(_TRAILER, 0, b"")
        return bytes(finished._content)

    def _below(
        self, path: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)
    ) -> None:
        inner = PurePosixPath(path.strip("/"))
        self.folder(str(inner.parent))
        self._entry(str(inner), mode, content, device)

    def _entry(
        self, path: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)
    ) -> None:
        self._inode += 1
        name = path.encode() + b"\0"
        # inode, mode, owner, group, links, time, size, device, device of the node, name, checksum
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        self._content += _MAGIC + b"".join(b"%08X" % field for field in fields) + name
        self._pad()
        self._content += content
        self._pad()

    def _pad(self) -> None:
        self._content += bytes(-len(self._content) % _ALIGNMENT)
