"""Filesystems on a real kernel: every case of ``guest/filesystem_*.py``, for each choice."""

import pytest

from cloudcrypt_testing.vm import VM
from tests.kernel.guest import filesystem_living, filesystem_refusing
from tests.kernel.guest.filesystem_bench import CASES

MODULES = (filesystem_living, filesystem_refusing)
"""Importing them has put their cases into `CASES`."""


@pytest.mark.parametrize(
    ("case", "choice"), [(case, choice) for case, choices in CASES.items() for choice in choices]
)
def test_filesystems(vm: VM, case: str, choice: str) -> None:
    assert case.partition(":")[0] in {module.__name__ for module in MODULES}
    vm.python(case, choice)
