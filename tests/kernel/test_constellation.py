"""Volumes go from Constellation to here and back, through a real kernel."""

import pytest

from cloudcrypt_testing.vm import VM
from tests.kernel.guest.constellation import CASES
from tests.kernel.machines import NODE

GUEST = "tests.kernel.guest.constellation"
TIMEOUT = 300.0
"""Seconds for one case, on a busy host: each opens a volume four times, at the real cost."""


@pytest.fixture(scope="module", autouse=True)
def _preloaded(shared_vm: VM) -> None:
    shared_vm.preload(NODE)


@pytest.mark.parametrize(
    ("case", "choice"),
    [
        (CASES[0], "xfs"),
        (CASES[1], "ext4"),
        (CASES[0], "ext4-integrity"),
        (CASES[1], "ext4-integrity"),
    ],
)
def test_constellation(vm: VM, case: str, choice: str) -> None:
    vm.python(f"{GUEST}:{case}", choice, timeout=TIMEOUT)
