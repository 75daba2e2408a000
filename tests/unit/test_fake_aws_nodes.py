"""What the host of an instance shows of its volumes."""

from pathlib import Path

from cloudcrypt_testing.fake_aws import FakeAws, Timings
from tests.unit.ec2_calls import TIMES, attach, attached, created, write

BY_ID = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"


def serial(volume_id: str) -> str:
    return volume_id.replace("-", "")


def link(root: Path, volume_id: str) -> Path:
    return root / f"{BY_ID}{serial(volume_id)}"


class TestNVMe:
    def test_a_disk_has_link_serial_model_size_and_the_bytes(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        root = fake_aws.node(instance_id).root
        block = root / "sys" / "block" / "nvme1n1"
        assert str(link(root, volume_id).readlink()) == "../../nvme1n1"
        assert link(root, volume_id).samefile(fake_aws.backing(volume_id))
        assert block.joinpath("device", "serial").read_text() == f"{serial(volume_id):<20}\n"
        model = "Amazon Elastic Block Store"
        assert block.joinpath("device", "model").read_text() == f"{model:<40}\n"
        assert block.joinpath("size").read_text() == f"{1024**3 // 512}\n"
        assert block.joinpath("dev").read_text() == "259:1\n"
        assert (root / "sys/class/nvme/nvme1/serial").exists()

    def test_nothing_is_there_before_the_volume_is_attached(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = created(fake_aws), fake_aws.run_instance()
        fake_aws.client().attach_volume(
            VolumeId=volume_id, InstanceId=instance_id, Device="/dev/xvdba"
        )
        assert list(fake_aws.node(instance_id).devices) == ["nvme0n1"]

    def test_a_device_can_appear_after_the_attachment_is_made(self, fake_aws: FakeAws) -> None:
        fake_aws.reset(timings=Timings(appear=5))
        volume_id, instance_id = attached(fake_aws)
        node = fake_aws.node(instance_id)
        before = node.name(volume_id)
        fake_aws.clock.advance(5)
        assert (before, node.name(volume_id)) == (None, "nvme1n1")

    def test_controllers_are_numbered_as_attached_and_not_as_asked(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance()
        volumes = [created(fake_aws) for _ in range(3)]
        for volume_id, device in zip(volumes, ("/dev/xvdbz", "/dev/xvdba"), strict=False):
            attach(fake_aws, volume_id, instance_id, device)
        node = fake_aws.node(instance_id)
        first = [node.name(volume_id) for volume_id in volumes]
        fake_aws.client().detach_volume(VolumeId=volumes[0])
        fake_aws.clock.advance(TIMES.detach)
        attach(fake_aws, volumes[2], instance_id, "/dev/xvdbc")
        assert first == ["nvme1n1", "nvme2n1", None]
        assert [node.name(volume_id) for volume_id in volumes] == [None, "nvme2n1", "nvme1n1"]

    def test_a_detached_disk_leaves_nothing(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        root = fake_aws.node(instance_id).root
        fake_aws.client().detach_volume(VolumeId=volume_id)
        fake_aws.clock.advance(TIMES.detach)
        left = [path for path in root.rglob("*") if "nvme1" in path.name]
        assert (left, link(root, volume_id).is_symlink()) == ([], False)

    def test_a_disk_grows_where_it_is(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        device = link(fake_aws.node(instance_id).root, volume_id)
        inode = device.stat().st_ino
        fake_aws.client().modify_volume(VolumeId=volume_id, Size=2)
        fake_aws.clock.advance(TIMES.modify)
        size = fake_aws.node(instance_id).root / "sys" / "block" / "nvme1n1" / "size"
        assert (device.stat().st_ino, device.stat().st_size) == (inode, 2 * 1024**3)
        assert size.read_text() == f"{2 * 1024**3 // 512}\n"

    def test_what_is_written_on_one_host_is_read_on_the_next(self, fake_aws: FakeAws) -> None:
        volume_id, instance_id = attached(fake_aws)
        write(link(fake_aws.node(instance_id).root, volume_id), b"kept")
        fake_aws.client().detach_volume(VolumeId=volume_id)
        fake_aws.clock.advance(TIMES.detach)
        other = fake_aws.run_instance()
        attach(fake_aws, volume_id, other)
        with link(fake_aws.node(other).root, volume_id).open("rb") as device:
            assert device.read(4) == b"kept"

    def test_a_link_can_be_left_behind_pointing_to_another_disk(self, fake_aws: FakeAws) -> None:
        stale, instance_id = attached(fake_aws)
        node = fake_aws.node(instance_id)
        fake_aws.client().detach_volume(VolumeId=stale)
        fake_aws.clock.advance(TIMES.detach)
        other = created(fake_aws)
        attach(fake_aws, other, instance_id)
        node.leave_stale_link(stale, "nvme1n1")
        assert link(node.root, stale).samefile(fake_aws.backing(other))
        fake_aws.client().detach_volume(VolumeId=other)
        fake_aws.clock.advance(TIMES.detach)
        assert link(node.root, stale).is_symlink()


class TestXen:
    def test_a_disk_has_the_name_that_was_asked_for_and_no_serial(self, fake_aws: FakeAws) -> None:
        instance_id = fake_aws.run_instance(xen=True)
        first, second = created(fake_aws), created(fake_aws)
        attach(fake_aws, first, instance_id, "/dev/xvdba")
        attach(fake_aws, second, instance_id, "/dev/sdf")
        root = fake_aws.node(instance_id).root
        assert (root / "dev/xvdba").samefile(fake_aws.backing(first))
        assert (root / "dev/xvdf").samefile(fake_aws.backing(second))
        assert (root / "dev/xvda1").exists()
        assert list((root / "dev/disk/by-id").iterdir()) == []
        assert not (root / "sys/block/xvdf/device/serial").exists()

    def test_the_type_of_the_instance_decides_unless_the_test_does(self, fake_aws: FakeAws) -> None:
        old, new = fake_aws.run_instance(kind="t2.micro"), fake_aws.run_instance(kind="m5.large")
        odd = fake_aws.run_instance(kind="t2.micro", xen=False)
        found = [fake_aws.node(one).is_nvme for one in (old, new, odd)]
        assert found == [False, True, True]
