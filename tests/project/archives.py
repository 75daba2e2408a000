"""The two archives that a release consists of, and what is in them."""

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import ZipFile


@dataclass(frozen=True)
class Archives:
    """An sdist, and the wheel that was built from it."""

    sdist: Path
    wheel: Path

    @classmethod
    def build(cls, tree: Path, folder: Path) -> Self:
        """Build both from `tree` into the empty `folder`."""
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            folder,
            tree,
        ]
        subprocess.run(command, check=True, capture_output=True)
        (sdist,) = folder.glob("*.tar.gz")
        (wheel,) = folder.glob("*.whl")
        return cls(sdist, wheel)

    def sdist_names(self) -> set[str]:
        """Return the files of the sdist, without the folder that wraps them."""
        with tarfile.open(self.sdist) as archive:
            return {member.name.partition("/")[2] for member in archive if member.isfile()}

    def wheel_names(self) -> set[str]:
        """Return the files of the wheel."""
        with ZipFile(self.wheel) as archive:
            return set(archive.namelist())
