"""What a fake cloud attaches to an instance is in the guest, and proven to be what it says."""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.model import Attachment
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.vm import VM, GuestRaised
from cloudcrypt_testing.vm.following import Following
from cloudcrypt_testing.world.clock import FakeClock
from tests.unit.clouds import Aws, Azure, Cloud, Gce

INSTANCES: dict[str, dict[str, Any]] = {
    "aws": {},
    "gce": {},
    "azure": {"size": "Standard_D4s_v6"},  # which shows its disks on NVMe
}


@pytest.fixture
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Cloud]:
    match request.param:
        case "aws":
            with FakeAws(tmp_path / "cloud") as aws:
                yield Aws(aws)
        case "gce":
            with FakeGce(tmp_path / "cloud") as gce:
                yield Gce(gce)
        case _:
            with FakeAzure(tmp_path / "cloud") as azure:
                yield Azure(azure)


def located(vm: VM, attachment: Attachment) -> dict[str, Any]:
    """Return what the guest finds of an attachment, waiting for it."""
    found: dict[str, Any] = vm.python("tests.kernel.guest.locating:located", attachment.to_json())
    return found


@pytest.mark.parametrize("cloud", INSTANCES, indirect=True)
def test_a_volume_of_a_cloud_comes_grows_and_goes(vm: VM, cloud: Cloud, tmp_path: Path) -> None:
    fake: Any = cloud.fake
    cloud.empty(FakeClock(tick=1.0))
    instance = fake.run_instance(**INSTANCES[cloud.name])
    fake.node(instance).watch(Following(vm))
    with (
        closing(cloud.provider(fake.clock)) as provider,
        closing(SqliteJournal(tmp_path / "journal.sqlite")) as journal,
    ):
        provisioner = Provisioner(provider, journal, clock=fake.clock)
        volume = provisioner.ensure_volume(VolumeRequest("data", 10 * GIB))
        attachment = provisioner.ensure_attached(volume.id, instance)
        device = located(vm, attachment)
        assert (device["volume_id"], device["size"]) == (volume.id, 10 * GIB)
        provisioner.ensure_size(volume.id, 20 * GIB)
        name = Path(device["path"]).name
        vm.python("tests.kernel.guest.sysfs:wait_for", {"name": name, "size": 20 * GIB})
        assert {**device, "size": 20 * GIB} == located(vm, attachment)
        provisioner.ensure_detached(volume.id, instance)
    assert vm.disks == ()
    with pytest.raises(GuestRaised) as caught:
        vm.python("tests.kernel.guest.locating:located", attachment.to_json(), patience=0)
    assert caught.value.kind == "cloudcrypt.errors._device.DeviceUnavailable"
