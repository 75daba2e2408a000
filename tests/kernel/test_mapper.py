"""The kernel mapper on a real kernel: every case of ``guest/mapper_*.py``, in each of its modes."""

import pytest

from cloudcrypt.model import Mode
from cloudcrypt_testing.vm import VM
from tests.kernel.guest import (
    mapper_growing,
    mapper_living,
    mapper_opening,
    mapper_refusing,
    mapper_tampering,
)
from tests.kernel.guest.mapper_bench import CASES

MODULES = (mapper_opening, mapper_refusing, mapper_living, mapper_growing, mapper_tampering)
"""Importing them has put their cases into `CASES`."""

TIMEOUT = 3600.0
"""Seconds for all cases; a host with nothing else to do takes a tenth of it."""


@pytest.fixture(scope="module")
def outcomes(shared_vm: VM, request: pytest.FixtureRequest) -> dict[str, str | None]:
    """Return what went wrong with each case that was selected: they share one process.

    Importing the project takes the guest much longer than most of them do.
    """
    here = [item for item in request.session.items if item.path == request.path]
    found = [getattr(item, "callspec", None) for item in here]
    wanted = [each.params for each in found if each is not None and "case" in each.params]
    cases = [(params["case"], params["mode"]) for params in wanted]
    told: dict[str, str | None] = shared_vm.python(
        "tests.kernel.guest.mapper_bench:outcomes", cases, timeout=TIMEOUT
    )
    return told


@pytest.mark.parametrize(
    ("case", "mode"), [(case, mode) for case, modes in CASES.items() for mode in modes]
)
def test_the_kernel_mapper(outcomes: dict[str, str | None], case: str, mode: str) -> None:
    assert case.partition(":")[0] in {module.__name__ for module in MODULES}
    failure = outcomes[f"{case} {mode}"]
    if failure is not None:
        pytest.fail(failure, pytrace=False)


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_many_volumes_are_opened_and_closed_at_once(shared_vm: VM, mode: Mode) -> None:
    took = shared_vm.python(
        "tests.kernel.guest.mapper_speed:seconds", mode.value, 1, timeout=TIMEOUT
    )
    assert set(took) == {"one by one", "threads", "processes"}
    print(took)  # noqa: T201  # opening and closing, in seconds
