"""`AwsProvider`: the volumes of one owner in one region of AWS.

``begin`` asks EC2 and returns when it has accepted; ``resume`` looks until the outcome shows. What
it takes to do each of these once, and only once, is in the modules beside; docs/adr/0013 says why.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self, TypeVar, cast

import attrs
import boto3.session
from botocore import exceptions as botocore

from cloudcrypt.errors import InvalidRequest, NotFound, UnsupportedOperation
from cloudcrypt.model import Snapshot, Volume
from cloudcrypt.spi import (
    AttachVolume,
    Capabilities,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Handle,
    Intent,
    ModifyVolume,
    ResizeVolume,
)
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline
from cloudcrypt_aws import _tags, _types
from cloudcrypt_aws._attachments import STUCK_AFTER, Attachments
from cloudcrypt_aws._client import Api, connect
from cloudcrypt_aws._creations import Creations
from cloudcrypt_aws._deletions import SnapshotDeletions, VolumeDeletions
from cloudcrypt_aws._describe import Look
from cloudcrypt_aws._detachments import BLOCKED_AFTER, Detachments
from cloudcrypt_aws._ids import check_instance
from cloudcrypt_aws._modifications import Modifications
from cloudcrypt_aws._names import Names
from cloudcrypt_aws._plans import Plans
from cloudcrypt_aws._records import VolumeRecord
from cloudcrypt_aws._region import Operation, Region
from cloudcrypt_aws._snapshots import Snapshots
from cloudcrypt_aws._tags import NAME_TAG
from cloudcrypt_aws._url import DEFAULT_OWNER, Place
from cloudcrypt_aws._volumes import to_volume
from cloudcrypt_aws._waits import settled

T = TypeVar("T")

LOOKING: Final = 60.0
"""Seconds for which a look is tried again while EC2 throttles or cannot be reached."""


class AwsProvider:
    """Volumes of AWS EBS; implements `cloudcrypt.spi.VolumeProvider`. Safe to use from threads.

    Several processes may use the same owner at once; what they must agree on are names and tokens.
    """

    def __init__(
        self,
        region: str | None = None,
        *,
        session: boto3.session.Session | None = None,
        profile: str | None = None,
        endpoint: str | None = None,
        owner: str = DEFAULT_OWNER,
        zone: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        stuck_after: float = STUCK_AFTER,
        blocked_after: float = BLOCKED_AFTER,
    ) -> None:
        """Connect to nothing yet; the credentials are looked for when they are needed.

        Args:
            region: for example ``eu-central-1``; None is that of the session or environment.
            session: with the credentials; None is a new one, by boto3's usual chain.
            profile: of the AWS configuration files, for a new session.
            endpoint: the URL of EC2, if it is not the usual one of the region.
            owner: the tag of what is this provider's; `list` shows nothing else.
            zone: where volumes are created that name no place: a zone's name or its id.
            clock: what waits happen on.
            stuck_after: seconds of attaching after which that is an error.
            blocked_after: seconds of detaching after which that is an error.

        Raises:
            InvalidRequest: one of them cannot be, or no region is configured.
        """
        place = Place(region, zone, _tags.check_owner(owner), profile, endpoint)
        if profile is not None:
            if session is not None:
                raise InvalidRequest("profile", profile, "the session has one, or none")
            session = _session(profile)
        client = connect(region, session, endpoint)
        name = str(client.meta.region_name)
        self._clock = clock
        self._url = str(attrs.evolve(place, region=name))
        self._api = Api(client, provider=self._url, clock=clock)
        look = Look(self._api, owner)
        ours = Region(name, owner, self._api, look, clock)
        self._region = ours
        self._attachments = Attachments(ours, Names(clock), stuck_after)
        self._snapshots = Snapshots(ours)
        changes = Modifications(ours)
        self._operations: Mapping[type[Intent[Any]], Operation[Any, Any]] = {
            AttachVolume: self._attachments,
            CreateSnapshot: self._snapshots,
            CreateVolume: Creations(ours, Plans(ours, zone)),
            DeleteSnapshot: SnapshotDeletions(ours),
            DeleteVolume: VolumeDeletions(ours),
            DetachVolume: Detachments(ours, blocked_after),
            ModifyVolume: changes,
            ResizeVolume: changes,
        }

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``aws://REGION?zone=...&owner=...&profile=...&endpoint=...``, all optional.

        Raises:
            InvalidRequest: it is not such a URL, or as for the constructor.
        """
        place = Place.parse(url)
        return cls(
            place.region,
            profile=place.profile,
            endpoint=place.endpoint,
            owner=place.owner,
            zone=place.zone,
        )

    @property
    def url(self) -> str:
        """The URL of this provider: region and owner, without credentials."""
        return self._url

    @property
    def namespace(self) -> str:
        """Region and owner, whichever zone, profile or endpoint the URL names besides.

        The account is not part of it: one journal and owner are for one account.
        """
        return f"aws:{self._region.name}/{self._region.owner}"

    @property
    def capabilities(self) -> Capabilities:
        """What EBS offers, as documented; clones need a boto3 that knows CopyVolumes."""
        return Capabilities(
            size_unit=_types.UNIT,
            size_min=min(kind.size_min for kind in _types.TYPES),
            size_max=_types.SIZE_MAX,
            online_resize=True,
            snapshots=True,
            clones="CopyVolumes" in self._api.actions,
            force_detach=True,
            modify=True,
            multi_attach=True,
            remembers_tokens=False,
            types=_types.TYPES,
        )

    def instance_name(self, instance: str) -> str:
        """Return the id of the instance; EC2 has one spelling of it only."""
        return check_instance(instance)

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        """Hand ``intent`` to EC2; see `VolumeProvider.begin`.

        Creating a volume is idempotent by its token, for as long as EC2 knows it (hours) and the
        tags of the volume are there; the others by what the volume, the instance or the tags of the
        snapshot show.
        """
        reference = self._operation(intent).begin(intent, self._until(deadline))
        return Handle(intent, reference)

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        """Return the handle of ``intent`` if EC2 has it; see `VolumeProvider.find`.

        What EC2 does not show is looked for until it would show it, which takes `SETTLE` seconds.
        """
        operation, until = self._operation(intent), self._until(deadline)
        reference = settled(
            lambda: operation.find(intent, until), until, type(intent).__name__, _subject(intent)
        )
        return None if reference is None else Handle(intent, reference)

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        """Wait for the outcome of ``handle``; see `VolumeProvider.resume`. Idempotent."""
        operation = self._operation(handle.intent)
        outcome = operation.resume(handle.reference, handle.intent, self._until(deadline))
        return cast("T", outcome)

    def get(self, volume_id: str) -> Volume:
        """Return the volume, whoever owns it; see `VolumeProvider.get`."""
        record = self._region.look.volume(self._region.ebs_volume(volume_id), self._soon())
        if record is None or record.state == "deleted":
            raise NotFound("volume", volume_id)
        return to_volume(self._region.name, record)

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        """Yield the volumes of this owner, oldest first; those of a ``name`` in one request."""
        look, until = self._region.look, self._until(None)
        if name is None:
            found: Iterable[VolumeRecord] = look.all_volumes(until)
        else:
            found = look.volumes_with(NAME_TAG, name, until)
        existing = (record for record in found if record.state != "deleted")
        for record in sorted(existing, key=lambda record: record.created):
            yield to_volume(self._region.name, record)

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        """Yield the snapshots of this owner, oldest first; those of a ``name`` in one request."""
        return self._snapshots.all(name, self._until(None))

    def attachment_limit(self, instance: str) -> int | None:
        """Return how many volumes ``instance`` may have, its root disk included.

        Where the type of the instance shares the limit with network interfaces and disks of the
        host, those that it has now are taken off. None if EC2 does not say.

        Raises:
            NotFound: there is no such instance.
        """
        deadline = self._soon()
        record = self._attachments.instance(check_instance(instance), deadline)
        return self._attachments.limit(record, deadline)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._api.close()

    def _operation(self, intent: Intent[Any]) -> Operation[Any, Any]:
        operation = self._operations.get(type(intent))
        if operation is None:
            raise UnsupportedOperation(type(intent).__name__, "use a provider that offers it")
        return operation

    def _until(self, deadline: Deadline | None) -> Deadline:
        """Return ``deadline``; one that names no clock of its own is on that of this provider."""
        if deadline is None:
            return Deadline.after(clock=self._clock)
        if deadline.clock is not SYSTEM_CLOCK or self._clock is SYSTEM_CLOCK:
            return deadline
        return Deadline.after(
            deadline.remaining, clock=self._clock, cancellation=deadline.cancellation
        )

    def _soon(self) -> Deadline:
        return Deadline.after(LOOKING, clock=self._clock)


def _subject(intent: Intent[Any]) -> str:
    """Return the name or id that an intent is about, whichever it has."""
    names = (getattr(intent, name, None) for name in ("name", "volume_id", "snapshot_id"))
    return next((name for name in names if name is not None), intent.token)


def _session(profile: str) -> boto3.session.Session:
    try:
        return boto3.session.Session(profile_name=profile)
    except botocore.ProfileNotFound as error:
        raise InvalidRequest("profile", profile, "a profile of the AWS configuration") from error
