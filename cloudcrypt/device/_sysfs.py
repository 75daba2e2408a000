"""Disks as sysfs describes them: ``/sys/block`` and what is below it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt.errors import DeviceUnavailable

_NVME: Final = re.compile(r"nvme[0-9]+n[0-9]+", re.ASCII)
_SCSI: Final = re.compile(r"sd[a-z]+", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_LONGEST: Final = 4096  # bytes of an attribute in sysfs: a page


@attrs.frozen
class Disk:
    """A disk, not a partition, as sysfs describes it."""

    path: Path

    @property
    def name(self) -> str:
        """The kernel's name, such as ``sda``."""
        return self.path.name

    @property
    def is_nvme(self) -> bool:
        """Whether it is an NVMe namespace."""
        return _NVME.fullmatch(self.name) is not None

    @property
    def is_scsi(self) -> bool:
        """Whether it is a SCSI disk."""
        return _SCSI.fullmatch(self.name) is not None

    def states(self, **attributes: str) -> bool:
        """Say whether ``device`` has exactly these attributes, blanks at the ends aside."""
        return all(self.attribute(f"device/{name}") == each for name, each in attributes.items())

    def attribute(self, name: str) -> str | None:
        """Return an attribute without the blanks that pad it; None if it has gone."""
        raw = self.raw(name)
        return None if raw is None else raw.decode("ascii", "replace").strip()

    def number(self, name: str) -> int | None:
        """Return an attribute that is a decimal number; None if it has gone or is none."""
        text = self.attribute(name)
        return None if text is None or _NUMBER.fullmatch(text) is None else int(text)

    def raw(self, name: str) -> bytes | None:
        """Return an attribute as it is, of a page at most; None if it has gone."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(_LONGEST)
        except OSError:
            return None


def disks(root: Path) -> Iterator[Disk]:
    """Return the disks of the host whose ``sys`` is below ``root``, in the order of their names.

    Raises:
        DeviceUnavailable: there is no sysfs.
    """
    folder = root / "sys" / "block"
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise DeviceUnavailable(str(folder), error.strerror or "unknown error") from error
    return map(Disk, found)
