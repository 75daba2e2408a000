"""Resolve everything that the project can install and write it to constraints.txt.

It resolves for the *oldest* Python that is supported, Debian 12's, to the patch release, so that
each pinned release still installs there; the same pins are then tried on newer Pythons
(`--check`). Only the package index that pip would use is asked: local folders of packages,
other people's constraints and configuration files of the machine do not leak into the result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
DEBIAN_12 = "3.11.2"  # its python3
LEAKS = ("PIP_CONSTRAINT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PRE")

HEADER = """\
# What the project was tested with: every package of every extra and every dependency group.
# Constraints, not requirements: they pin what is installed and install nothing themselves.
# Written by `make constraints`, for the oldest supported Python ({python}). Why there are no
# hashes: docs/adr/0003-constraints-instead-of-a-lock-file.md
"""


def pip_environment() -> dict[str, str]:
    """Return the environment without the settings that would let other packages leak in."""
    kept = {name: value for name, value in os.environ.items() if name not in LEAKS}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def fresh_pip(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment in `folder`, put a current pip into it, return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--upgrade",
        *requirements,
    ]
    subprocess.run(command, check=True, env=pip_environment())
    return python


def resolve(python: Path, *options: str) -> dict[str, str]:
    """Resolve the project with all its extras and the group `dev`, and install nothing.

    Args:
        python: interpreter whose pip resolves.
        options: further options of `pip install`.

    Returns:
        Normalised name to version, of everything but the project itself.

    Raises:
        subprocess.CalledProcessError: no set of releases fits.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        all_options = [
            "--quiet",
            "--dry-run",
            "--ignore-installed",
            f"--report={report}",
            f"--group={ROOT / 'pyproject.toml'}:dev",
            *options,
        ]
        command: list[str | Path] = [python, "-m", "pip", "install", *all_options, f"{ROOT}[all]"]
        subprocess.run(command, check=True, cwd=ROOT, env=pip_environment())
        installed = json.loads(report.read_text())["install"]
    found = {normalise(each["metadata"]["name"]): each["metadata"]["version"] for each in installed}
    del found["cloudcrypt"]
    return found


def normalise(name: str) -> str:
    """Return a distribution's name in the form that is compared: lower case, hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins() -> dict[str, str]:
    """Return the pins of constraints.txt, normalised name to version."""
    lines = CONSTRAINTS.read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def write() -> None:
    """Resolve anew for Debian 12 and replace constraints.txt."""
    here = ".".join(map(str, sys.version_info[:2]))
    if not DEBIAN_12.startswith(f"{here}."):
        # pip can be told which Python it resolves for, but markers are evaluated on this one.
        sys.exit(f"Run this with the minor version of Python {DEBIAN_12}; this one is {here}.")
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_pip(Path(folder), "pip")
        target = [f"--python-version={DEBIAN_12}", "--only-binary=:all:", f"--target={folder}"]
        pins = resolve(python, *target)
    text = HEADER.format(python=DEBIAN_12)
    text += "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))
    CONSTRAINTS.write_text(text)
    print(f"constraints.txt: {len(pins)} packages")


def check() -> None:
    """Resolve with this Python under the pins as they are; exit 1 if one is missing."""
    pins = read_pins()
    with tempfile.TemporaryDirectory() as folder:
        python = fresh_pip(Path(folder), f"pip=={pins['pip']}")
        found = resolve(python, "--constraint", str(CONSTRAINTS))
    loose = sorted(found.keys() - pins.keys())
    version = sys.version.split()[0]
    if loose:
        sys.exit(f"Python {version} also needs, without a pin: {', '.join(loose)}")
    print(f"constraints.txt fits Python {version}: {len(found)} packages")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="try the pins, write nothing")
    arguments = parser.parse_args()
    check() if arguments.check else write()
