"""The main job, on two nodes of each cloud and each bus, and its disk read by everybody."""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.filesystem import PayloadChoice
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.ledger import Filesystem, SqliteLedger
from cloudcrypt.luks2 import SectorFile, layout
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB, MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.vm import VM
from cloudcrypt_testing.vm.following import Following
from cloudcrypt_testing.world.clock import FakeClock
from tests.kernel.guest.main_job import FILES, Work, key_service
from tests.kernel.machines import Machines, two_machines
from tests.unit.clouds import Aws, Azure, Cloud, Gce

GUEST = "tests.kernel.guest.main_job"
SECTOR = 4096

Ranges = list[tuple[int, int]]
"""Offsets and lengths of a payload, in bytes."""

FAKES: dict[str, tuple[Any, Any]] = {
    "aws": (FakeAws, Aws),
    "gce": (FakeGce, Gce),
    "azure": (FakeAzure, Azure),
}


@attrs.frozen
class Job:
    """One way of a disk to a node, and what it is for.

    A volume with integrity uses a part of its disk: an emulated processor takes a minute for the
    tags of a GiB.
    """

    cloud: str
    choice: str
    instance: dict[str, Any] = attrs.field(factory=dict[str, Any])
    size: int = GIB
    capacities: tuple[int | None, int | None] = (None, None)
    is_shown: bool = False
    """Whether the guest is told what QEMU cannot show: VMBus, Identify Namespace."""
    is_real: bool = False


PART = (64 * MIB, 96 * MIB)
V5, V6 = ({"size": f"Standard_D4s_{each}"} for each in ("v5", "v6"))
NVME = {"nvme": True}

JOBS = {
    "aws-nvme-integrity": Job("aws", "ext4-integrity", capacities=PART),
    "gcp-scsi": Job("gce", "ext4", size=10 * GIB),
    "gcp-scsi-integrity": Job("gce", "ext4-integrity", {}, 10 * GIB, PART),
    "gcp-nvme": Job("gce", "xfs", NVME, 10 * GIB, is_shown=True),
    "gcp-nvme-integrity": Job("gce", "ext4-integrity", NVME, 10 * GIB, PART, is_shown=True),
    "azure-scsi": Job("azure", "ext4", V5, is_shown=True),
    "azure-scsi-integrity": Job("azure", "ext4-integrity", V5, capacities=PART, is_shown=True),
    "azure-nvme": Job("azure", "ext4", V6),
    "azure-nvme-integrity": Job("azure", "ext4-integrity", V6, capacities=PART),
}
"""The control plane is on the host, and hands an attachment to the node."""

IN_ONE_CALL = {"aws-nvme": Job("aws", "xfs", is_real=True)}
"""The node asks the cloud itself, by the SDK that takes it the shortest time to import."""


@pytest.fixture(scope="module")
def machines(new_vm: Callable[..., VM]) -> Generator[Machines]:
    with two_machines(new_vm) as machines:
        yield machines


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Cloud]]:
    """Return the fake clouds, which all jobs share; they begin anew with each."""
    with ExitStack() as stack:
        yield {
            name: made(stack.enter_context(fake(tmp_path_factory.mktemp(name))))
            for name, (fake, made) in FAKES.items()
        }


@attrs.frozen
class Site:
    """A cloud whose two instances are the two virtual machines."""

    name: str
    job: Job
    cloud: Cloud
    machines: Machines
    instances: tuple[str, str]
    folder: Path

    @property
    def fake(self) -> Any:
        return self.cloud.fake

    def work(self, attachment: str = "", *, grown: bool = False) -> dict[str, Any]:
        """Return what a node is told."""
        pages = self.pages() if self.job.is_shown else None
        size = 2 * self.job.size if grown else None
        capacity = self.job.capacities[grown]
        work = Work(self.name, self.job.choice, self.job.is_real, attachment, pages, capacity, size)
        return attrs.asdict(work)

    def pages(self) -> dict[str, str]:
        """Return what the cloud's NVMe namespaces answer to Identify Namespace, by number."""
        shown = [
            device.block
            for instance in self.instances
            for device in self.fake.node(instance).devices.values()
        ]
        return {
            str(block["nsid"]).strip(): bytes(block["identify"]).hex()
            for block in shown
            if isinstance(block.get("identify"), bytes)
        }

    def carry_ledger(self) -> Path:
        """Give the second node the ledger of the first; return a copy of it."""
        path = f"/run/jobs/{self.name}/ledger.sqlite"
        content = self.machines.first.read_bytes(path)
        self.machines.second.run(["mkdir", "-p", str(Path(path).parent)], check=True)
        self.machines.second.write_bytes(path, content)
        copy = self.folder / "ledger.sqlite"
        copy.write_bytes(content)
        return copy

    def disk(self, vm: VM) -> Path:
        """Return the file of the one disk of a node; it stays when the disk goes."""
        (plugged,) = vm.disks
        path = self.folder / "disk"
        os.link(plugged.path, path)
        return path


@contextmanager
def site_of(name: str, job: Job, cloud: Cloud, machines: Machines, folder: Path) -> Generator[Site]:
    cloud.empty(FakeClock(tick=1.0))
    fake: Any = cloud.fake
    instances = (fake.run_instance(**job.instance), fake.run_instance(**job.instance))
    vms = (machines.first, machines.second)
    for instance, vm in zip(instances, vms, strict=True):
        fake.node(instance).watch(Following(vm))
    try:
        yield Site(name, job, cloud, machines, instances, folder)
    finally:
        for vm in vms:
            for disk in vm.disks:
                disk.unplug()


@pytest.mark.parametrize("name", JOBS)
def test_the_main_job(
    machines: Machines, clouds: dict[str, Cloud], name: str, tmp_path: Path
) -> None:
    job = JOBS[name]
    first, second = machines.first, machines.second
    with (
        site_of(name, job, clouds[job.cloud], machines, tmp_path) as site,
        closing(site.cloud.provider(site.fake.clock)) as provider,
        closing(SqliteJournal(tmp_path / "journal.sqlite")) as journal,
    ):
        here, there = site.instances
        provisioner = Provisioner(provider, journal, clock=site.fake.clock)
        volume = provisioner.ensure_volume(VolumeRequest("data", job.size))
        attachment = provisioner.ensure_attached(volume.id, here).to_json()
        before = first.python(f"{GUEST}:begin", site.work(attachment))
        provisioner.ensure_size(volume.id, 2 * job.size)
        after = first.python(f"{GUEST}:grow", site.work(attachment, grown=True))
        assert after["files"] == {file: digest_of(name, file) for file in FILES}
        assert before["size"] < after["size"]
        assert before["room"] < after["room"]
        disk = site.disk(first)
        provisioner.ensure_detached(volume.id, here)
        ledger = site.carry_ledger()
        attachment = provisioner.ensure_attached(volume.id, there).to_json()
        work = site.work(attachment, grown=True)
        with opened(site, volume.id, disk, ledger) as payload:
            ranges = samples(site, disk, payload)
            found = second.python(f"{GUEST}:read", work, ranges)
            require_same_bytes(payload, ranges, found)
        assert (found["files"], found["room"]) == (after["files"], after["room"])
        provisioner.ensure_detached(volume.id, there)
    assert (first.disks, second.disks) == ((), ())


@pytest.mark.parametrize("name", IN_ONE_CALL)
def test_the_main_job_in_one_call_on_the_node(
    machines: Machines, clouds: dict[str, Cloud], name: str, tmp_path: Path
) -> None:
    job = IN_ONE_CALL[name]
    first, second = machines.first, machines.second
    label = f"{name}-in-one-call"
    with site_of(label, job, clouds[job.cloud], machines, tmp_path) as site:
        endpoint = int(re.findall(r":(\d+)", site.fake.endpoint)[0])
        for vm in (first, second):
            vm.forward(endpoint)
        here, there = ({**site.cloud.facts(), "instance": each} for each in site.instances)
        done = first.python(f"{GUEST}:in_one_call", site.work(), here, job.size)
        assert done["files"] == {file: digest_of(label, file) for file in FILES}
        assert done["rooms"][0] < done["rooms"][1]
        assert done["capacity"] == 2 * job.size
        assert (first.disks, site.cloud.truth()[:2]) == ((), (1, 0))
        ledger = site.carry_ledger()
        found = second.python(f"{GUEST}:read_in_one_call", site.work(), there, 2 * job.size)
        assert found == {"files": done["files"], "room": done["rooms"][1]}
        disk = site.disk(second)
        with (
            closing(site.cloud.provider(site.fake.clock)) as provider,
            closing(SqliteJournal.in_memory()) as journal,
        ):
            provisioner = Provisioner(provider, journal, clock=site.fake.clock)
            volume_id, instance = done["volume_id"], site.instances[1]
            attachment = provisioner.ensure_attached(volume_id, instance).to_json()
            work = site.work(attachment, grown=True)
            with opened(site, volume_id, disk, ledger) as payload:
                ranges = samples(site, disk, payload)
                stored = second.python(f"{GUEST}:digests", work, ranges)
                require_same_bytes(payload, ranges, stored)
            provisioner.ensure_detached(volume_id, instance)


def digest_of(name: str, file: str) -> str:
    return hashlib.sha256(Work(name, "block").content(file)).hexdigest()


@contextmanager
def opened(site: Site, volume_id: str, disk: Path, ledger: Path) -> Generator[SectorFile]:
    """Open the payload of the disk's file in user space, for reading, with a copy of the ledger."""
    with closing(SqliteLedger(ledger)) as records:
        record = records.get(volume_id)
        assert record is not None
        assert record.holder is None
        assert isinstance(record.payload, Filesystem)
        profiles = Work(site.name, site.job.choice, site.job.is_real).profiles
        stage = Stage(records, key_service(), UserspaceMapper(), profiles=profiles)
        with (
            stage.examine(BlockDevice(volume_id, disk, record.capacity)) as examined,
            SectorFile(examined.engine(), writable=False) as payload,
        ):
            yield payload


def require_same_bytes(payload: SectorFile, ranges: Ranges, found: dict[str, Any]) -> None:
    """Compare what user space, our mapping, and that of stock cryptsetup hold."""
    here = hashlib.sha256()
    for offset, length in ranges:
        here.update(payload.pread(offset, length))
    assert (found["ours"], found["theirs"]) == (here.hexdigest(),) * 2
    assert found["sizes"] == [payload.size] * 2


def samples(site: Site, disk: Path, payload: SectorFile) -> Ranges:
    """Return what to compare: all that was written, of long pieces the ends; all of the files.

    The files have to be there, and nothing of them on the disk as the storage has it.
    """
    mode = PayloadChoice.parse(site.job.choice).mode
    ranges = [(0, payload.size)] if mode is Mode.INTEGRITY else list(written(disk, payload.size))
    where = {digest: at for each in ranges for at, digest in sectors(payload, *each)}
    contents = [Work(site.name, site.job.choice).content(file) for file in FILES]
    pieces = [
        content[at : at + SECTOR].ljust(SECTOR, b"\0")
        for content in contents
        for at in range(0, len(content), SECTOR)
    ]
    raw = read_raw(disk)
    assert not any(piece[:32] in raw for piece in pieces)
    found = [(where[hashlib.sha256(piece).digest()], SECTOR) for piece in pieces]
    return [short for each in ranges for short in ends(*each)] + found


def ends(offset: int, length: int) -> Ranges:
    if length <= 2 * MIB:
        return [(offset, length)]
    return [(offset, MIB), (offset + length - MIB, MIB)]


def sectors(payload: SectorFile, offset: int, length: int) -> Iterator[tuple[int, bytes]]:
    """Yield where each sector is, and its SHA-256."""
    for at in range(offset, offset + length, MIB):
        piece = payload.pread(at, min(MIB, offset + length - at))
        for start in range(0, len(piece), SECTOR):
            yield at + start, hashlib.sha256(piece[start : start + SECTOR]).digest()


def written(disk: Path, size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a payload without integrity that were written."""
    for start, stop in extents(disk):
        begin = max(start, layout.DATA_OFFSET) - layout.DATA_OFFSET
        end = min(stop - layout.DATA_OFFSET, size)
        if begin < end:
            yield begin, end - begin


def extents(path: Path) -> Iterator[tuple[int, int]]:
    """Return the parts of a file that are no holes, in whole sectors."""
    file = os.open(path, os.O_RDONLY)
    try:
        size, stop = os.fstat(file).st_size, 0
        while stop < size:
            try:
                start = os.lseek(file, stop, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            stop = os.lseek(file, start, os.SEEK_HOLE)
            yield start // SECTOR * SECTOR, min(size, -(-stop // SECTOR) * SECTOR)
    finally:
        os.close(file)


def read_raw(path: Path) -> bytes:
    """Return all that was ever written to a disk, as the storage has it."""
    with path.open("rb", buffering=0) as file:
        return b"".join(
            os.pread(file.fileno(), stop - start, start) for start, stop in extents(path)
        )
