"""What the kernel mapper costs, against cryptsetup: run by `make bench-kernel`.

The kernel is emulated: what is measured are ratios of things that were done in turn in one virtual
machine, not speeds.
"""

import statistics
from collections.abc import Callable, Generator

import pytest

from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.vm import VM

pytestmark = pytest.mark.benchmark

MODES = pytest.mark.parametrize("mode", [mode.value for mode in Mode])
GUEST = "tests.kernel.guest"
TIMEOUT = 1800.0
ROUNDS = 9


@pytest.fixture(scope="module")
def vm(new_vm: Callable[..., VM]) -> Generator[VM]:
    """A virtual machine that nobody else uses."""
    with new_vm(name="bench") as machine:
        yield machine


def row(what: str, ratio: float, wanted: str) -> None:
    print(f"  {what:<72} {ratio:8.2f} x   (wanted: {wanted})")  # noqa: T201 - a benchmark's table


@MODES
def test_opening_costs_little_more_than_cryptsetup(vm: VM, mode: str) -> None:
    times = vm.python(f"{GUEST}.bench_opening:opening", mode, 40 * MIB, ROUNDS, timeout=TIMEOUT)
    ours, bare = (statistics.median(times[name]) for name in ("stage", "cryptsetup"))
    print()  # noqa: T201
    row(f"{mode}: stage.open in a warm process / cryptsetup open, a process", ours / bare, "<= 1.1")
    assert ours <= 1.1 * bare


@MODES
def test_a_mapping_is_as_fast_as_that_of_cryptsetup(vm: VM, mode: str) -> None:
    """The tables of the two are equal, so the throughput is: 1 is what differs from it by noise.

    Of nine ratios, the second smallest and the second largest have the true median between them in
    502 of 512 cases on either side (the sign test). That interval has to reach 0.9 to 1.1.
    """
    times = vm.python(
        f"{GUEST}.bench_opening:transferring", mode, 48 * MIB, ROUNDS, timeout=TIMEOUT
    )
    print()  # noqa: T201
    for what, each in times.items():
        pairs = zip(each["cryptsetup"], each["stage"], strict=True)
        ratios = sorted(theirs / ours for theirs, ours in pairs)
        low, high = ratios[1], ratios[-2]
        name = f"{mode}: {what}, mapped by cryptsetup / by the stage ({low:.2f} to {high:.2f})"
        row(name, statistics.median(ratios), "1 within noise")
        assert low <= 1.1, ratios
        assert high >= 0.9, ratios


@MODES
def test_many_are_opened_faster_at_once_than_one_by_one(vm: VM, mode: str) -> None:
    times = vm.python(f"{GUEST}.mapper_speed:seconds", mode, 3, timeout=TIMEOUT)
    opening = {name: statistics.median(each[0] for each in took) for name, took in times.items()}
    one_by_one = opening.pop("one by one")
    print()  # noqa: T201
    for name, took in opening.items():
        wanted = ">= 1" if name == "processes" else "for the record"
        row(f"{mode}: 8 volumes opened one by one / at once in {name}", one_by_one / took, wanted)
    assert opening["processes"] <= one_by_one
