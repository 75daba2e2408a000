"""Devices that come late, grow, go, and whose names are used again, with a real kernel."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.model import (
    Attachment,
    AzureLun,
    Blank,
    DeviceIdentity,
    GoogleDeviceName,
    NvmeSerial,
)
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.fake_azure.devices import DATA_CONTROLLERS
from cloudcrypt_testing.vm import (
    VM,
    NVMeNamespace,
    Presentation,
    azure_disk,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)

SIZE, GROWN = 32 * MIB, 48 * MIB
GUEST = "tests.kernel.guest.devices"
SYSFS = "tests.kernel.guest.sysfs"
EBS = "Amazon Elastic Block Store"
LATE = 2.0  # seconds
NEVER = 3600.0  # seconds: so long, or until an event

CLOUDS: dict[str, tuple[Presentation, DeviceIdentity]] = {
    "aws": (ebs_volume("vol-0a"), NvmeSerial("vol0a", EBS)),
    "gcp": (google_disk("data"), GoogleDeviceName("data")),
    "azure": (azure_nvme_disk(4), AzureLun(4, "data")),
}
EACH = pytest.mark.parametrize("cloud", CLOUDS)

Start = Callable[..., "Future[Any]"]


def _attachment(cloud: str, size: int = SIZE) -> Attachment:
    return Attachment(f"{cloud}:x/vol-0a", "node", size, Blank(), CLOUDS[cloud][1])


@pytest.fixture
def start(vm: VM) -> Generator[Start]:
    """Return what begins a call in the guest, and returns once the call has left its mark."""
    with ThreadPoolExecutor() as executor:

        def started(function: str, *arguments: Any, **named: Any) -> "Future[Any]":
            vm.run(["rm", "-f", "/run/devices-mark"], check=True)
            future = executor.submit(vm.python, f"{GUEST}:{function}", *arguments, **named)
            vm.python(f"{GUEST}:wait_for_mark")
            return future

        yield started


@EACH
def test_a_disk_that_comes_late_is_found_after_few_looks(
    vm: VM, image: Callable[..., Path], start: Start, cloud: str
) -> None:
    attachment = _attachment(cloud)
    waiting = start("waited", attachment.to_json())
    time.sleep(LATE)
    vm.plug(CLOUDS[cloud][0], image())
    found = waiting.result()
    waits, seconds = found.pop("waits"), found.pop("seconds")
    print(f"\n{cloud}: {waits + 1} looks in {seconds:.1f} s")  # noqa: T201 - what was measured
    assert found == vm.python(f"{GUEST}:located", attachment.to_json())
    assert found["size"] == SIZE
    assert waits >= 2
    assert waits <= 15 + seconds / 5  # events of this disk and what is below it, and some looks


@EACH
@pytest.mark.parametrize("source", ["has_kernel", "has_folders"])
def test_events_of_the_kernel_alone_are_enough_and_so_are_new_nodes(
    vm: VM, image: Callable[..., Path], start: Start, cloud: str, source: str
) -> None:
    sources: dict[str, Any] = {"has_kernel": False, "has_folders": False, source: True}
    waiting = start("waited", _attachment(cloud).to_json(), longest=NEVER, **sources)
    vm.plug(CLOUDS[cloud][0], image())
    found = waiting.result()
    assert found["size"] == SIZE
    assert found["waits"] <= 8


def test_only_the_kernel_is_believed_and_what_is_lost_counts(
    vm: VM, image: Callable[..., Path]
) -> None:
    vm.plug(google_disk("data"), image())
    name = vm.python(f"{SYSFS}:wait_for", {"vendor": "Google"})
    assert vm.python(f"{GUEST}:heard", name) == {
        "nothing": False,
        "a forgery": False,
        "another device": False,
        "a disk": True,
        "lost events": True,
        "nothing more": False,
    }


# --- growth ---


@EACH
def test_a_size_that_comes_late_is_seen_without_detaching(
    vm: VM, image: Callable[..., Path], start: Start, cloud: str
) -> None:
    attachment = _attachment(cloud)
    disk = vm.plug(CLOUDS[cloud][0], image())
    before = vm.python(f"{GUEST}:waited", attachment.to_json())
    waiting = start("grown_to", attachment.to_json(), GROWN)
    disk.resize(GROWN)
    after = waiting.result()
    assert (after["size"], before["size"]) == (GROWN, SIZE)
    assert after["identity"] == before["identity"]
    assert after == vm.python(f"{GUEST}:grown_to", attachment.to_json(), GROWN, patience=0.0)
    # the attachment may be of after the resize
    grown = attrs.evolve(attachment, size=GROWN).to_json()
    assert after == vm.python(f"{GUEST}:grown_to", grown, SIZE, patience=0.0)


@EACH
def test_a_size_that_does_not_come_is_an_error_after_a_rescan(
    vm: VM, image: Callable[..., Path], cloud: str
) -> None:
    attachment = _attachment(cloud).to_json()
    vm.plug(CLOUDS[cloud][0], image())
    vm.python(f"{GUEST}:waited", attachment)
    said = vm.python(f"{GUEST}:grown_to", attachment, GROWN, patience=1.0)
    assert said["error"] == "DeviceNotGrown"
    assert f"has {SIZE} bytes, expected {GROWN}: it was rescanned" in said["text"]


def test_a_disk_of_azure_on_scsi_grows(vm: VM, image: Callable[..., Path], start: Start) -> None:
    disk = vm.plug(azure_disk(5), image())
    name = vm.python(f"{SYSFS}:wait_for", {"vendor": "Msft", "lun": 5})
    root = vm.python(f"{GUEST}:recorded", name, DATA_CONTROLLERS[0])
    attachment = attrs.evolve(_attachment("azure"), identity=AzureLun(5, "data"))
    waiting = start("grown_to", attachment.to_json(), GROWN, root=root)
    disk.resize(GROWN)
    assert waiting.result()["size"] == GROWN
    other = attrs.evolve(attachment, identity=AzureLun(4, "data"))
    said = vm.python(f"{GUEST}:grown_to", other.to_json(), GROWN, patience=0.0, root=root)
    assert said["error"] == "DeviceUnavailable"


# --- hostile and unlucky devices ---


def _at(
    vm: VM, image: Callable[..., Path], presentation: Presentation, attachment: str, path: str
) -> dict[str, Any]:
    """Plug in a new disk under a name that has just been given up, and return what is located.

    The kernel gives up a name when the last user of the disk has, a moment after it has gone.
    """
    for number in range(10):
        disk = vm.plug(presentation, image(f"disk-{number}"))
        found: dict[str, Any] = vm.python(f"{GUEST}:waited", attachment)
        if found["path"] == path:
            return found
        disk.unplug()
    pytest.fail(f"the kernel does not call it {path} again")


@EACH
def test_a_disk_under_the_name_of_another_is_not_taken_for_it(
    vm: VM, image: Callable[..., Path], cloud: str
) -> None:
    presentation, attachment = CLOUDS[cloud][0], _attachment(cloud).to_json()
    first = vm.plug(presentation, image("first"))
    before = vm.python(f"{GUEST}:waited", attachment)
    first.unplug()
    after = _at(vm, image, presentation, attachment, before["path"])  # the same serial, name or LUN
    assert after["size"] == before["size"]
    assert before["identity"] != after["identity"] == vm.python(f"{GUEST}:opened", after["path"])


def test_a_node_that_stays_is_not_taken_for_the_disk_that_it_was(
    vm: VM, image: Callable[..., Path]
) -> None:
    """As where the nodes of a container were made once, by hand."""
    first = vm.plug(google_disk("data"), image("first"))
    path = vm.python(f"{GUEST}:waited", _attachment("gcp").to_json())["path"]
    *identity, inode, number = vm.python(f"{GUEST}:kept", path)
    first.unplug()
    other = attrs.evolve(_attachment("gcp"), identity=GoogleDeviceName("other"))
    _at(vm, image, google_disk("other"), other.to_json(), path)
    *now, inode_now, number_now = vm.python(f"{GUEST}:probed")
    assert (inode, number) == (inode_now, number_now)
    assert identity != now == vm.python(f"{GUEST}:opened", "/run/devices-node")


@EACH
def test_a_device_that_vanishes_while_in_use_fails_and_is_never_empty(
    vm: VM, image: Callable[..., Path], start: Start, cloud: str
) -> None:
    attachment = _attachment(cloud).to_json()
    disk = vm.plug(CLOUDS[cloud][0], image())
    vm.python(f"{GUEST}:waited", attachment)
    using = start("used_while_it_goes", attachment)
    disk.unplug()
    assert using.result() == {
        "read": "DeviceIOError",
        "read last": "DeviceIOError",
        "write": "DeviceIOError",
        "locate": "DeviceUnavailable",
        "grown": "DeviceUnavailable",
    }


def test_two_disks_with_one_serial_number_are_refused(vm: VM, image: Callable[..., Path]) -> None:
    for nsid in (1, 2):
        vm.plug(NVMeNamespace(EBS, "vol0a", nsid), image(f"disk-{nsid}"))
        vm.python(f"{SYSFS}:wait_for", {"serial": "vol0a", "nsid": nsid})
    said = vm.python(f"{GUEST}:located", _attachment("aws").to_json())
    assert said["error"] == "DeviceMismatch"


def test_two_disks_with_one_device_name_are_refused(vm: VM, image: Callable[..., Path]) -> None:
    for target in (1, 2):
        vm.plug(google_disk("data"), image(f"disk-{target}"))
        vm.python(f"{SYSFS}:wait_for", {"vendor": "Google", "target": target})
    said = vm.python(f"{GUEST}:located", _attachment("gcp").to_json())
    assert said["error"] == "DeviceMismatch"


def test_no_link_is_believed(vm: VM, image: Callable[..., Path]) -> None:
    vm.plug(google_disk("other"), image())
    name = vm.python(f"{SYSFS}:wait_for", {"vendor": "Google"})
    vm.run(["mkdir", "-p", "/dev/disk/by-id"], check=True)
    link = "/dev/disk/by-id/google-data"
    vm.run(["ln", "-sf", f"../../{name}", link], check=True)
    try:
        said = vm.python(f"{GUEST}:located", _attachment("gcp").to_json())
    finally:
        vm.run(["rm", "-r", "/dev/disk"], check=True)
    assert said["error"] == "DeviceUnavailable"
