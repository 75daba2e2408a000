"""The two ends meet: what is made in user space on the host is what the guest's kernel finds."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.keys import bound_key_id
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    Blank,
    DeviceIdentity,
    GoogleDeviceName,
    Mode,
    NvmeSerial,
)
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.vm import (
    VM,
    Presentation,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)
from cloudcrypt_testing.volumes import header_keys
from tests.unit.nodes import CONTENT, VOLUME, Node, key_service

SYSFS = "tests.kernel.guest.sysfs"
EBS = "Amazon Elastic Block Store"

IDENTITIES: dict[str, tuple[Presentation, DeviceIdentity, dict[str, Any]]] = {
    "aws": (ebs_volume("vol-0a"), NvmeSerial("vol0a", EBS), {"serial": "vol0a"}),
    "gcp": (google_disk("data"), GoogleDeviceName("data"), {"vendor": "Google"}),
    "azure": (azure_nvme_disk(4), AzureLun(4, "data"), {"nsid": 6}),
}


@pytest.mark.parametrize("cloud", IDENTITIES)
def test_the_device_of_an_attachment_is_found(
    vm: VM, image: Callable[..., Path], cloud: str
) -> None:
    presentation, identity, facts = IDENTITIES[cloud]
    vm.plug(presentation, image())
    attachment = Attachment(f"{cloud}:x/vol-0a", "node", 32 * MIB, Blank(), identity)
    found = vm.python("tests.kernel.guest.locating:located", attachment.to_json())
    name = vm.python(f"{SYSFS}:wait_for", facts)
    assert found == {"path": f"/dev/{name}", "size": 32 * MIB, "volume_id": attachment.volume_id}


@pytest.fixture
def node(tmp_path: Path) -> Any:
    with Node(tmp_path) as node:
        yield node


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_stock_cryptsetup_reads_what_user_space_wrote_and_the_other_way_round(
    vm: VM, node: Node, mode: Mode
) -> None:
    device = node.formatted(mode=mode)
    disk = vm.plug(google_disk("data"), device.path)
    name = vm.python(f"{SYSFS}:wait_for", {"vendor": "Google"})
    data_key = key_service().get_data_key(bound_key_id(VOLUME), 32)
    keys = header_keys(CHEAP, VOLUME, 1, bytes(data_key.reveal()))
    vm.write_bytes("/run/key", bytes(keys.passphrase.reveal()))
    opening = ["cryptsetup", "open", "--type", "luks2", "--key-file", "/run/key", f"/dev/{name}"]
    vm.run([*opening, "data"], check=True)
    try:
        assert vm.read_bytes("/dev/mapper/data")[: len(CONTENT)] == CONTENT
        written = os.urandom(len(CONTENT))
        vm.run(["dd", "of=/dev/mapper/data", "conv=fsync"], stdin=written, check=True)
    finally:
        vm.run(["cryptsetup", "close", "data"], check=True)
    disk.unplug()
    assert node.content(device) == written
