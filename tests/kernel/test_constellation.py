"""Volumes go from Constellation to here and back, through a real kernel."""

import pytest

from cloudcrypt_testing.vm import VM
from tests.kernel.guest.constellation import CASES
from tests.kernel.machines import NODE

GUEST = "tests.kernel.guest.constellation"
TIMEOUT = 300.0
"""Seconds for one case, on a busy host: some open a volume three times at the real cost."""


@pytest.fixture(scope="module", autouse=True)
def _preloaded(shared_vm: VM) -> None:
    shared_vm.preload(NODE)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("choice", "is_cheap"), [("ext4", False), ("ext4-integrity", True)])
def test_constellation(vm: VM, case: str, choice: str, *, is_cheap: bool) -> None:
    vm.python(f"{GUEST}:{case}", choice, is_cheap=is_cheap, timeout=TIMEOUT)
