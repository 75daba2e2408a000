"""The virtual machine that the tests of this folder share, and disks for it.

`make test-kernel` prepares what it is made of in build/kernel. Where no virtual machine can be had
these tests are skipped and say why; ``CLOUDCRYPT_KERNEL=required`` makes that a failure.
"""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from cloudcrypt.sizes import MIB
from cloudcrypt_testing.vm import VM, Bed, Measurement, VMUnavailable

BED = Path("build", "kernel")
LOGS = Path("build", "kernel-logs")
SHARED = pytest.StashKey[VM]()

PRELOAD = ("cloudcrypt", "cloudcrypt.device", "cffi")
"""What calls in the guest would have to import each time, in seconds.

How lines of a module that run while it is imported are covered is seen on the host.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: `-m "not kernel"` leaves them out. Benchmarks are no tests."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("benchmark") is None:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(scope="session")
def bed(pytestconfig: pytest.Config) -> Bed:
    """Return what virtual machines are made of, or skip."""
    try:
        return Bed.load(pytestconfig.rootpath / BED)
    except VMUnavailable as unavailable:
        if os.environ.get("CLOUDCRYPT_KERNEL") == "required":
            pytest.fail(f"a kernel is required, but {unavailable}", pytrace=False)
        pytest.skip(f"no kernel to test with: {unavailable}")


@pytest.fixture(scope="session")
def new_vm(bed: Bed, pytestconfig: pytest.Config) -> Callable[..., VM]:
    """Return what plans a virtual machine with the project's environment."""
    root = pytestconfig.rootpath

    def planned(**options: bool | str) -> VM:
        return VM(
            bed,
            folder=root,
            preload=PRELOAD,
            logs=root / LOGS,
            measurement=Measurement.current(),
            **options,  # type: ignore[arg-type]  # the caller's
        )

    return planned


@pytest.fixture(scope="session")
def shared_vm(new_vm: Callable[..., VM], pytestconfig: pytest.Config) -> Generator[VM]:
    """One virtual machine for all tests that leave it as they found it."""
    with new_vm(name="shared") as machine:
        pytestconfig.stash[SHARED] = machine
        yield machine


@pytest.fixture
def vm(shared_vm: VM) -> Generator[VM]:
    """The shared virtual machine; disks that the test leaves behind are pulled out."""
    yield shared_vm
    for disk in shared_vm.disks:
        disk.unplug()


@pytest.fixture
def image(tmp_path: Path) -> Callable[..., Path]:
    """Return what makes files that are disks, all of holes."""

    def made(name: str = "disk", size: int = 32 * MIB) -> Path:
        path = tmp_path / name
        with path.open("xb") as file:
            file.truncate(size)
        return path

    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the shared virtual machine has logged beside a failure."""
    report = yield
    machine = item.config.stash.get(SHARED, None)
    if report.failed and machine is not None and "vm" in getattr(item, "fixturenames", ()):
        report.sections.append(("the virtual machine's logs", machine.console()))
    return report
