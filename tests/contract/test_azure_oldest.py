"""The contract of volume providers, kept by the one for Azure with the oldest SDK that it supports.

azure-mgmt-compute changed its models between 37 and 38. Both ends of the range are tested: the
newest by test_azure.py in this process, the oldest by the same file in a process of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST = ROOT / ".venv" / "oldest"
VERSION = "37."


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the oldest SDK comes first; what is not there is that of this process."""
    assert OLDEST.is_dir(), f"{OLDEST} is missing: make venv"
    environment = {**os.environ, "PYTHONPATH": str(OLDEST)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_oldest_sdk_is_the_one_that_is_imported() -> None:
    print_version = "import azure.mgmt.compute; print(azure.mgmt.compute.__version__)"
    done = _run("-c", print_version)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(VERSION)


def test_the_contract_is_kept_with_the_oldest_sdk() -> None:
    done = _run("-m", "pytest", "tests/contract/test_azure.py", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 50
