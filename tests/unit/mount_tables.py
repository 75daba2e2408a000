"""Tables of mounts as the kernel prints them, and a kernel that keeps one."""

import os
from collections.abc import Callable
from pathlib import Path

import attrs

from cloudcrypt.filesystem import Mount, Number, syscalls

ROOT = b"1 0 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro\n"
_DEFAULT = frozenset({"rw", "nosuid", "nodev"})
_WRITABLE = frozenset({"rw"})
_WORDS = {
    syscalls.NOSUID: "nosuid",
    syscalls.NODEV: "nodev",
    syscalls.NOEXEC: "noexec",
    syscalls.NOATIME: "noatime",
}


def escaped(text: bytes) -> bytes:
    """Return a field as the kernel's ``seq_escape`` writes it."""
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in text)


def line(mount: Mount, optional: tuple[bytes, ...] = ()) -> bytes:
    """Return a mount as the kernel prints it."""
    before = [
        b"%d" % mount.id,
        b"%d" % mount.parent,
        b"%d:%d" % mount.number,
        escaped(os.fsencode(mount.root)),
        escaped(os.fsencode(mount.target)),
        os.fsencode(",".join(sorted(mount.options))),
    ]
    after = [
        os.fsencode(mount.kind),
        escaped(os.fsencode(mount.source)),
        os.fsencode(",".join(sorted(mount.super_options))),
    ]
    return b" ".join([*before, *optional, b"-", *after]) + b"\n"


class FakeKernel:
    """Mounts by the rules of the kernel, without a kernel; see `cloudcrypt.filesystem.Kernel`."""

    def __init__(self, number_of: Callable[[Path], Number]) -> None:
        self.mounts: list[Mount] = []
        self.calls: list[tuple[object, ...]] = []
        self.refusals: dict[str, int] = {}
        """By name of a call, the error number that it raises."""
        self.sizes: dict[Number, int] = {}
        self.hidden_by: Number | None = None
        """The device that a path leads to, where a mount above hides those below."""
        self._number_of = number_of
        self._next = 100

    def mount(self, source: Path, target: Path, kind: str, flags: int, options: str) -> None:
        self._called("mount", source, target, kind, flags, options)
        words = {word for flag, word in _WORDS.items() if flags & flag}
        access = "ro" if flags & syscalls.RDONLY else "rw"
        self.add(
            target,
            self._number_of(source),
            kind=kind,
            source=str(source),
            options=frozenset({access, *words}),
            super_options=frozenset({access, *filter(None, options.split(","))}),
        )

    def unmount(self, target: Path, flags: int) -> None:
        self._called("unmount", target, flags)
        here = [mount for mount in self.mounts if mount.target == target]
        self.mounts.remove(here[-1])

    def sync(self, target: Path) -> None:
        self._called("sync", target)

    def table(self) -> bytes:
        self._called("table")
        return ROOT + b"".join(map(line, self.mounts))

    def device(self, target: Path) -> Number:
        self._called("device", target)
        here = [mount.number for mount in self.mounts if mount.target == target]
        return self.hidden_by or (here[-1] if here else (254, 0))

    def size(self, target: Path) -> int:
        self._called("size", target)
        return self.sizes[self.device(target)]

    def add(
        self,
        target: Path,
        number: Number,
        *,
        root: str = "/",
        kind: str = "ext4",
        source: str = "/dev/other",
        options: frozenset[str] = _DEFAULT,
        super_options: frozenset[str] = _WRITABLE,
    ) -> Mount:
        """Mount something, as somebody else does."""
        here = [mount for mount in self.mounts if mount.target == target]
        parent = here[-1].id if here else 1
        self._next += 1
        mount = Mount(
            self._next, parent, number, root, target, options, kind, source, super_options
        )
        self.mounts.append(mount)
        return mount

    def turn_read_only(self, mount: Mount) -> None:
        """Let a filesystem become read-only, as ext4 does when it has met errors."""
        found = attrs.evolve(mount, super_options=frozenset({"ro"}))
        self.mounts[self.mounts.index(mount)] = found

    def made(self) -> list[str]:
        """Return the names of the calls that change something."""
        names = [str(call[0]) for call in self.calls]
        return [name for name in names if name in ("mount", "unmount", "sync")]

    def _called(self, name: str, *arguments: object) -> None:
        self.calls.append((name, *arguments))
        if name in self.refusals:
            code = self.refusals[name]
            raise OSError(code, os.strerror(code))


def add_process(proc: Path, pid: int, name: str, **links: Path) -> None:
    """Make what the kernel shows of a process."""
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    for link, destination in links.items():
        path = folder / "fd" / link[3:] if link.startswith("fd_") else folder / link
        path.symlink_to(destination)
