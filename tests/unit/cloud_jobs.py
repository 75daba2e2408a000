"""The verbs of the control plane, each with what it starts from and what must be there in the end.

Shared by the matrices: one kills the process at every request of a verb, one lets the cloud fail.
"""

from collections.abc import Callable
from pathlib import Path

import attrs

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import FromSnapshot, FromVolume
from cloudcrypt.waiting import Clock, Deadline
from tests.unit.clouds import Cloud


def request(cloud: Cloud) -> VolumeRequest:
    return VolumeRequest("data", 10 * GIB, kind=cloud.kind, labels={"team": "storage"})


def copy(it: "Given", source: FromSnapshot | FromVolume) -> VolumeRequest:
    return VolumeRequest("copy", 10 * GIB, source, kind=it.cloud.kind)


def provisioner(cloud: Cloud, journal: Path, clock: Clock | None = None) -> Provisioner:
    """Return the control plane as a new process has it; the caller closes its parts."""
    clock = clock or cloud.fake.clock
    return Provisioner(cloud.provider(clock), SqliteJournal(journal), clock=clock)


def closed(plane: Provisioner) -> None:
    plane.provider.close()
    assert plane.unfinished() == ()
    assert isinstance(plane.journal, SqliteJournal)
    plane.journal.close()


@attrs.frozen
class Given:
    """What a job starts from: a volume, or nothing; where it is attached; what it was copied to."""

    cloud: Cloud
    volume_id: str = ""
    instance: str = ""
    snapshot_id: str = ""


Verb = Callable[[Provisioner, Given, Deadline], object]


@attrs.frozen
class Job:
    """A verb, what it starts from, and what the cloud must have when it has succeeded."""

    name: str
    verb: Verb
    has_volume: bool = True
    is_attached: bool = False
    has_snapshot: bool = False
    volumes: int = 1
    attachments: int = 0
    snapshots: int = 0
    modifications: int = 0

    def prepare(self, cloud: Cloud, plane: Provisioner) -> Given:
        """Bring about what the verb starts from."""
        instance = cloud.instance()
        if not self.has_volume:
            return Given(cloud, instance=instance)
        volume: Volume = plane.ensure_volume(request(cloud))
        if self.is_attached:
            plane.ensure_attached(volume.id, instance)
        snapshot = plane.ensure_snapshot(volume.id, "nightly").id if self.has_snapshot else ""
        return Given(cloud, volume.id, instance, snapshot)

    @property
    def expected(self) -> tuple[int, int, int, int]:
        """What `Cloud.truth` must be."""
        return self.volumes, self.attachments, self.snapshots, self.modifications


JOBS = (
    Job(
        "volume",
        lambda plane, it, by: plane.ensure_volume(request(it.cloud), deadline=by),
        has_volume=False,
    ),
    Job(
        "attached",
        lambda plane, it, by: plane.ensure_attached(it.volume_id, it.instance, deadline=by),
        attachments=1,
    ),
    Job(
        "size",
        lambda plane, it, by: plane.ensure_size(it.volume_id, 20 * GIB, deadline=by),
        modifications=1,
    ),
    Job(
        "modified",
        lambda plane, it, by: plane.ensure_modified(
            it.volume_id, size=20 * GIB, iops=4000, deadline=by
        ),
        is_attached=True,
        attachments=1,
        modifications=1,
    ),
    Job(
        "detached",
        lambda plane, it, by: plane.ensure_detached(it.volume_id, it.instance, deadline=by),
        is_attached=True,
    ),
    Job("gone", lambda plane, it, by: plane.ensure_gone(it.volume_id, deadline=by), volumes=0),
    Job(
        "snapshot",
        lambda plane, it, by: plane.ensure_snapshot(it.volume_id, "nightly", deadline=by),
        snapshots=1,
    ),
    Job(
        "snapshot gone",
        lambda plane, it, by: plane.ensure_snapshot_gone(it.snapshot_id, deadline=by),
        has_snapshot=True,
    ),
    Job(
        "restored",
        lambda plane, it, by: plane.ensure_volume(
            copy(it, FromSnapshot(it.snapshot_id)), deadline=by
        ),
        has_snapshot=True,
        volumes=2,
        snapshots=1,
    ),
    Job(
        "cloned",
        lambda plane, it, by: plane.ensure_volume(copy(it, FromVolume(it.volume_id)), deadline=by),
        volumes=2,
    ),
)
