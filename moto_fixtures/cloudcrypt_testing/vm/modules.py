"""The modules of an unpacked kernel: which files a module needs, in the order of loading."""

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs


@attrs.frozen
class Modules:
    """The folder ``lib/modules/RELEASE`` of a kernel, after ``depmod``."""

    folder: Path

    def needed(self, names: Iterable[str]) -> list[Path]:
        """Return the files of these modules, each after the ones that it needs.

        Modules that are built into the kernel, and those that this kernel does not have, are left
        out: what a feature needs differs from one kernel to the next.

        Args:
            names: without ``.ko``; ``-`` and ``_`` are the same.
        """
        found: dict[str, None] = {}
        by_name = {_name(path): path for path in self._needs()}
        needs = self._needs()
        for name in names:
            path = by_name.get(name.replace("-", "_"))
            if path is not None:
                # modules.dep lists all that is needed, what is to be loaded first at the end.
                found.update(dict.fromkeys([*reversed(needs[path]), path]))
        return [self.folder / path for path in found]

    def _needs(self) -> dict[str, list[str]]:
        return dict(_parsed(self.folder.joinpath("modules.dep").read_text()))


def _parsed(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        path, _, needs = line.partition(":")
        yield path, needs.split()


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0].replace("-", "_")


def plain(path: Path) -> tuple[str, bytes]:
    """Return name and content of a module's file, decompressed: BusyBox loads it as it is."""
    content = path.read_bytes()
    if path.suffix == ".xz":
        return path.stem, lzma.decompress(content)
    return path.name, content
