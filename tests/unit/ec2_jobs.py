"""The verbs of the control plane, each with what it starts from and what must be there in the end.

Shared by the matrices that kill the process and that let EC2 fail, at every request of a verb.
"""

from collections.abc import Callable
from pathlib import Path

import attrs
import boto3.session

from cloudcrypt.journal import SqliteJournal
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import FromSnapshot, FromVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import AwsProvider
from cloudcrypt_testing.fake_aws import FakeAws, FakeClock
from tests.unit.ec2_calls import ZONE

REQUEST = VolumeRequest("data", 10 * GIB, kind="gp3", labels={"team": "storage"})


def provisioner(aws: FakeAws, journal: Path, clock: FakeClock | None = None) -> Provisioner:
    """Return the control plane as a new process has it; the caller closes its parts."""
    return with_session(aws, aws.session(), journal, clock or aws.clock)


def with_session(
    aws: FakeAws, session: boto3.session.Session, journal: Path, clock: FakeClock
) -> Provisioner:
    provider = AwsProvider(
        aws.region, session=session, endpoint=aws.endpoint, zone=ZONE, clock=clock
    )
    return Provisioner(provider, SqliteJournal(journal), clock=clock)


def closed(plane: Provisioner) -> None:
    plane.provider.close()
    assert plane.unfinished() == ()
    assert isinstance(plane.journal, SqliteJournal)
    plane.journal.close()


@attrs.frozen
class Given:
    """What a job starts from: a volume, or nothing; where it is attached; what it was copied to."""

    volume_id: str = ""
    instance: str = ""
    snapshot_id: str = ""


Verb = Callable[[Provisioner, Given, Deadline], object]


@attrs.frozen
class Job:
    """A verb, what it starts from, and what EC2 must have when it has succeeded."""

    name: str
    verb: Verb
    has_volume: bool = True
    is_attached: bool = False
    has_snapshot: bool = False
    volumes: int = 1
    attachments: int = 0
    snapshots: int = 0
    modifications: int = 0

    def prepare(self, aws: FakeAws, plane: Provisioner) -> Given:
        """Bring about what the verb starts from."""
        instance = aws.run_instance(ZONE)
        if not self.has_volume:
            return Given(instance=instance)
        volume: Volume = plane.ensure_volume(REQUEST)
        if self.is_attached:
            plane.ensure_attached(volume.id, instance)
        snapshot = plane.ensure_snapshot(volume.id, "nightly").id if self.has_snapshot else ""
        return Given(volume.id, instance, snapshot)

    def truth(self, aws: FakeAws) -> tuple[int, int, int, int]:
        """Return how many volumes, attachments, snapshots and modifications there are."""
        aws.clock.advance(3600)  # whatever was accepted has come to its end
        volumes = aws.volumes()
        return (
            len(volumes),
            sum(len(volume.attachments) for volume in volumes.values()),
            len(aws.snapshots()),
            sum(len(aws.modifications(volume_id)) for volume_id in volumes),
        )

    @property
    def expected(self) -> tuple[int, int, int, int]:
        """What `truth` must be."""
        return self.volumes, self.attachments, self.snapshots, self.modifications


JOBS = (
    Job("volume", lambda plane, _, by: plane.ensure_volume(REQUEST, deadline=by), has_volume=False),
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
            VolumeRequest("copy", 10 * GIB, FromSnapshot(it.snapshot_id)), deadline=by
        ),
        has_snapshot=True,
        volumes=2,
        snapshots=1,
    ),
    Job(
        "cloned",
        lambda plane, it, by: plane.ensure_volume(
            VolumeRequest("copy", 10 * GIB, FromVolume(it.volume_id)), deadline=by
        ),
        volumes=2,
    ),
)
