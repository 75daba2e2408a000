"""`GcpProvider`: the volumes of one owner in one region of a project of Google Cloud.

``begin`` asks GCE and returns when it has accepted; ``resume`` waits for the operation and looks at
what has come of it. What it takes to do each of these once, and only once, is in the modules
beside.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Self, TypeVar, cast

import attrs
from google.auth.credentials import Credentials

from cloudcrypt.errors import NotFound, UnsupportedOperation
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
from cloudcrypt_gcp import _marks, _types
from cloudcrypt_gcp._attachments import Attachments
from cloudcrypt_gcp._client import Api, Clients
from cloudcrypt_gcp._creations import Creations
from cloudcrypt_gcp._credentials import Login
from cloudcrypt_gcp._deletions import SnapshotDeletions, VolumeDeletions
from cloudcrypt_gcp._detachments import Detachments
from cloudcrypt_gcp._ids import Site
from cloudcrypt_gcp._labelling import Labels
from cloudcrypt_gcp._look import Look
from cloudcrypt_gcp._modifications import Modifications
from cloudcrypt_gcp._operations import Operations
from cloudcrypt_gcp._plans import Plans
from cloudcrypt_gcp._records import DiskRecord
from cloudcrypt_gcp._region import Operation, Region
from cloudcrypt_gcp._snapshots import Snapshots
from cloudcrypt_gcp._url import DEFAULT_OWNER, Place
from cloudcrypt_gcp._waits import settled

T = TypeVar("T")

LOOKING: Final = 60.0
"""Seconds for which a look is tried again while GCE throttles or cannot be reached."""


class GcpProvider:
    """Volumes of GCE; implements `cloudcrypt.spi.VolumeProvider`. Safe to use from threads.

    Several processes may use the same owner at once; what they must agree on are names and tokens.
    """

    def __init__(
        self,
        project: str | None,
        region: str,
        *,
        credentials: Credentials | None = None,
        service_account_file: str | None = None,
        endpoint: str | None = None,
        owner: str = DEFAULT_OWNER,
        zone: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Connect to nothing yet; the credentials are looked for when they are needed.

        Args:
            project: its ID; None is that of the credentials, which are then looked for at once.
            region: for example ``europe-west3``: disks of all its zones are this provider's.
            credentials: of google.auth; None are those of the file, or else the application
                default credentials.
            service_account_file: the path of the key of a service account, in JSON.
            endpoint: the URL of GCE, if it is not the usual one.
            owner: the label of what is this provider's; `list` shows nothing else.
            zone: where volumes are created that name no place; None lets the name decide.
            clock: what waits happen on.

        Raises:
            InvalidRequest: one of them cannot be, or no project is known.
            CredentialsRefused: there are none, and they are to name the project.
        """
        place = Place(project, region, zone, _marks.check_owner(owner), endpoint)
        login = Login(credentials, service_account_file)
        place = attrs.evolve(place, project=project or login.project())
        self._clock = clock
        self._url = str(place)
        site = Site(str(place.project), region)
        clients = Clients(login, endpoint, self._url)
        self._api = Api(clients, project=site.project, provider=self._url, clock=clock)
        look, operations = Look(self._api, site, owner), Operations(self._api)
        ours = Region(site, owner, self._api, look, operations, clock)
        self._region = ours
        self._attachments = Attachments(ours)
        self._snapshots = Snapshots(ours)
        self._labels = Labels(ours)
        changes = Modifications(ours)
        self._operations: Mapping[type[Intent[Any]], Operation[Any, Any]] = {
            AttachVolume: self._attachments,
            CreateSnapshot: self._snapshots,
            CreateVolume: Creations(ours, Plans(ours, zone)),
            DeleteSnapshot: SnapshotDeletions(ours),
            DeleteVolume: VolumeDeletions(ours),
            DetachVolume: Detachments(ours),
            ModifyVolume: changes,
            ResizeVolume: changes,
        }

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``gcp://PROJECT/REGION?zone=...&owner=...&endpoint=...``; only REGION is needed.

        Raises:
            InvalidRequest: it is not such a URL, or as for the constructor.
            CredentialsRefused: as for the constructor.
        """
        place = Place.parse(url)
        return cls(
            place.project,
            place.region,
            endpoint=place.endpoint,
            owner=place.owner,
            zone=place.zone,
        )

    @property
    def url(self) -> str:
        """The URL of this provider: project, region and owner, without credentials."""
        return self._url

    @property
    def namespace(self) -> str:
        """Project, region and owner, whichever zone or endpoint the URL names besides."""
        return self._region.namespace

    @property
    def capabilities(self) -> Capabilities:
        """What GCE offers, as documented.

        Sizes begin with that of the default type; some types have smaller volumes, some none as
        small.
        """
        return Capabilities(
            size_unit=_types.UNIT,
            size_min=_types.SIZE_MIN,
            size_max=_types.SIZE_MAX,
            online_resize=True,
            snapshots=True,
            clones=True,
            force_detach=False,
            modify=True,
            multi_attach=True,
            remembers_tokens=False,
            types=_types.TYPES,
        )

    def instance_name(self, instance: str) -> str:
        """Return ``ZONE/NAME``, also of the path of the resource."""
        return str(self._region.site.instance(instance))

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        """Hand ``intent`` to GCE; see `VolumeProvider.begin`.

        Idempotent by its token, which each request carries, for as long as GCE knows it; and by
        what the disk, the instance or the snapshot shows.
        """
        reference = self._operation(intent).begin(intent, self._until(deadline))
        return Handle(intent, str(reference))

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        """Return the handle of ``intent`` if GCE has it; see `VolumeProvider.find`.

        What GCE does not show is looked for until it would show it, which takes `SETTLE` seconds.
        """
        operation, until = self._operation(intent), self._until(deadline)
        reference = settled(
            lambda: operation.find(intent, until), until, type(intent).__name__, _subject(intent)
        )
        return None if reference is None else Handle(intent, str(reference))

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        """Wait for the outcome of ``handle``; see `VolumeProvider.resume`. Idempotent."""
        operation = self._operation(handle.intent)
        outcome = operation.resume(handle.reference, handle.intent, self._until(deadline))
        return cast("T", outcome)

    def get(self, volume_id: str) -> Volume:
        """Return the volume, whoever owns it; see `VolumeProvider.get`."""
        record = self._region.disk_or_none(volume_id, self._soon())
        if record is None:
            raise NotFound("volume", volume_id)
        return self._region.volume(record)

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        """Yield the volumes of this owner, oldest first; those of a ``name`` in one request."""
        look, until = self._region.look, self._until(None)
        found: Iterable[DiskRecord] = (
            look.disks(until) if name is None else look.disks_named(name, until)
        )
        return map(self._region.volume, sorted(found, key=lambda record: record.created))

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        """Yield the snapshots of this owner, oldest first; those of a ``name`` in one request."""
        return self._snapshots.all(name, self._until(None))

    def set_labels(
        self, volume_id: str, labels: Mapping[str, str], *, deadline: Deadline | None = None
    ) -> Volume:
        """Give a volume these labels in the place of its former ones. Idempotent.

        The labels by which cloudcrypt knows it stay. What was asked for when it was created stays
        recorded as well, so the creation may be asked for again with the former labels or these.

        Raises:
            InvalidRequest: they cannot be labels.
            NotFound: there is no such volume.
        """
        return self._labels.set(volume_id, labels, self._until(deadline))

    def attachment_limit(self, instance: str) -> int:
        """Return how many volumes ``instance`` may have, its boot disk included.

        Raises:
            InvalidRequest: it names no instance.
            NotFound: there is no such instance.
        """
        return self._attachments.limit(self._region.site.instance(instance), self._soon())

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
