"""Make .venv: the project, editable, with every extra and every dependency group, all pinned.

Does nothing when the environment is there and was made from the same dependencies, pins and
Python. When one of them has changed it is made anew, from nothing, so that a dependency which
was dropped from pyproject.toml is gone from the environment too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "made-from"
CONSTRAINTS = ROOT / "constraints.txt"
PYPROJECT = ROOT / "pyproject.toml"
OLDEST = (3, 11)
OLDER = VENV / "oldest"
"""Where the oldest releases are that we support, for the tests that put it first on their path."""


def made_from() -> str:
    """Return a digest of what the environment depends on; settings of tools are not part of it."""
    everything = tomllib.loads(PYPROJECT.read_text())
    tables = {name: everything[name] for name in ("build-system", "dependency-groups", "project")}
    tables["hatch"] = everything["tool"]["hatch"]
    digest = hashlib.sha256(json.dumps(tables, sort_keys=True).encode())
    digest.update(CONSTRAINTS.read_bytes())
    digest.update(f"{sys.version}{sys.base_prefix}{ROOT}".encode())
    return digest.hexdigest()


def pip(*arguments: str) -> None:
    """Run the environment's pip."""
    python = VENV / "bin" / "python"
    options = ["--quiet", "--disable-pip-version-check"]
    command: list[str | Path] = [python, "-m", "pip", "install", *options, *arguments]
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)


def make() -> None:
    """Make the environment; the stamp comes last, so that half of one is made again."""
    shutil.rmtree(VENV, ignore_errors=True)
    venv.create(VENV, with_pip=True, prompt=ROOT.name)
    # First the pinned pip, which knows dependency groups, and the pinned build tools, which
    # then build without isolation.
    pinned = f"--constraint={CONSTRAINTS}"
    pip(pinned, "--upgrade", "pip", "hatchling", "editables")
    pip(pinned, "--no-build-isolation", "--group", "dev", "--editable", ".[all]")
    pip("--no-deps", f"--target={OLDER}", "--group", "oldest")
    STAMP.write_text(made_from())


def main() -> None:
    """Make the environment if it is missing or was made from something else."""
    if sys.version_info < OLDEST:
        sys.exit(f"cloudcrypt needs Python {'.'.join(map(str, OLDEST))} or newer.")
    if STAMP.exists() and STAMP.read_text() == made_from():
        return
    print("Making .venv: the project and its tools, as constraints.txt pins them (a minute or two)")
    sys.stdout.flush()
    make()


if __name__ == "__main__":
    main()
