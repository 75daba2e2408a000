"""What the tests about the project itself look at: its files, and what it ships."""

import subprocess
from pathlib import Path

import pytest

from tests.project.archives import Archives


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest) -> Path:
    """Return the folder that holds pyproject.toml."""
    return request.config.rootpath


@pytest.fixture(scope="session")
def project_files(root: Path) -> list[Path]:
    """Return every file that belongs to the project: tracked by git, or about to be.

    An unpacked sdist has no repository; there it is every file that was not made.
    """
    if not (root / ".git").exists():
        made = {".venv", "__pycache__", "build", "_build"}
        return [p for p in root.rglob("*") if p.is_file() and not made & {*p.parts}]
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.splitlines() if (path := root / name).is_file()]


@pytest.fixture(scope="session")
def archives(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Build the sdist and the wheel once, from the tree as it is."""
    return Archives.build(root, tmp_path_factory.mktemp("archives"))
