"""The real cryptsetup is required: without it these tests fail, they are not skipped."""

from pathlib import Path

import pytest

from tests.interop.cryptsetup import PROGRAM, Cryptsetup


@pytest.fixture
def cryptsetup(tmp_path: Path) -> Cryptsetup:
    """Return the program, with a folder of its own for key files."""
    if PROGRAM is None:
        pytest.fail("cryptsetup is missing: install the package cryptsetup-bin")
    folder = tmp_path / "keys"
    folder.mkdir()
    return Cryptsetup(PROGRAM, folder)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return an empty image of 32 MiB."""
    path = tmp_path / "volume.img"
    with path.open("wb") as file:
        file.truncate(32 << 20)
    return path
