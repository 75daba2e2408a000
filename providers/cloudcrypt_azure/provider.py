"""`AzureProvider`: the volumes of one owner in one resource group of Azure.

``begin`` asks Azure and returns when it has accepted; ``resume`` looks until the outcome shows.
What it takes to do each of these once, and only once, is in the modules beside.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self, TypeVar, cast

from azure.core.credentials import TokenCredential

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
from cloudcrypt_azure import _tags, _types
from cloudcrypt_azure._attachments import Attachments
from cloudcrypt_azure._client import Api
from cloudcrypt_azure._creations import Creations
from cloudcrypt_azure._deletions import SnapshotDeletions, VolumeDeletions
from cloudcrypt_azure._detachments import BLOCKED_AFTER, Detachments
from cloudcrypt_azure._group import Group, Operation
from cloudcrypt_azure._ids import Endpoint, Ids
from cloudcrypt_azure._machines import Machines
from cloudcrypt_azure._modifications import Modifications
from cloudcrypt_azure._plans import Plans
from cloudcrypt_azure._records import DiskRecord
from cloudcrypt_azure._slots import in_use
from cloudcrypt_azure._snapshots import Snapshots
from cloudcrypt_azure._transport import Credential, connect, default_credential
from cloudcrypt_azure._url import DEFAULT_ENDPOINT, DEFAULT_OWNER, Place
from cloudcrypt_azure._volumes import to_volume

T = TypeVar("T")

LOOKING: Final = 60.0
"""Seconds for which a look is tried again while Azure throttles or cannot be reached."""


class AzureProvider:
    """Azure managed disks; implements `cloudcrypt.spi.VolumeProvider`. Safe to use from threads.

    Several processes may use the same owner at once; what they must agree on are names and tokens.
    """

    def __init__(
        self,
        subscription: str,
        resource_group: str,
        *,
        location: str | None = None,
        zone: str | None = None,
        credential: TokenCredential | None = None,
        endpoint: str | None = None,
        owner: str = DEFAULT_OWNER,
        clock: Clock = SYSTEM_CLOCK,
        blocked_after: float = BLOCKED_AFTER,
    ) -> None:
        """Connect to nothing yet; the credential is asked for a token when that is needed.

        Args:
            subscription: its UUID.
            resource_group: where volumes and snapshots are.
            location: where volumes are created that name no place, for example ``westeurope``.
            zone: of that location, its number; None is no zone.
            credential: what tokens come from; None is azure-identity's ``DefaultAzureCredential``.
            endpoint: the URL of Azure Resource Manager, if it is not that of the public cloud.
            owner: the tag of what is this provider's; `list` shows nothing else.
            clock: what waits happen on.
            blocked_after: seconds of detaching after which that is an error.

        Raises:
            InvalidRequest: one of them cannot be.
        """
        place = Place(
            subscription, resource_group, location, zone, _tags.check_owner(owner), endpoint
        )
        self._clock = clock
        self._url = str(place)
        where = Endpoint(endpoint or DEFAULT_ENDPOINT, place.subscription)
        self._ours: Credential | None = None if credential else default_credential(where.url)
        client = connect(
            credential or cast("Credential", self._ours), place.subscription, where.url
        )
        self._api = Api(client, where, provider=self._url, clock=clock)
        ids = Ids(place.subscription, place.group)
        group = Group(ids, owner, self._api, clock)
        self._group = group
        machines = Machines(self._api)
        self._attachments = Attachments(group, machines)
        self._snapshots = Snapshots(group)
        changes = Modifications(group)
        self._operations: Mapping[type[Intent[Any]], Operation[Any, Any]] = {
            AttachVolume: self._attachments,
            CreateSnapshot: self._snapshots,
            CreateVolume: Creations(group, Plans(group, place.location, place.zone)),
            DeleteSnapshot: SnapshotDeletions(group),
            DeleteVolume: VolumeDeletions(group),
            DetachVolume: Detachments(group, machines, blocked_after),
            ModifyVolume: changes,
            ResizeVolume: changes,
        }

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open ``azure://SUBSCRIPTION/RESOURCE_GROUP?location=...&zone=...&owner=...&endpoint=...``.

        Raises:
            InvalidRequest: it is not such a URL, or as for the constructor.
        """
        place = Place.parse(url)
        return cls(
            place.subscription,
            place.group,
            location=place.location,
            zone=place.zone,
            endpoint=place.endpoint,
            owner=place.owner,
        )

    @property
    def url(self) -> str:
        """The URL of this provider: subscription, resource group and owner, no credentials."""
        return self._url

    @property
    def namespace(self) -> str:
        """The resource group and the owner: what names are unique in."""
        ids = self._group.ids
        return f"azure:{ids.subscription}/{ids.group}/{self._group.owner}"

    @property
    def capabilities(self) -> Capabilities:
        """What managed disks offer, as documented."""
        return Capabilities(
            size_unit=_types.UNIT,
            size_min=min(kind.size_min for kind in _types.TYPES),
            size_max=_types.SIZE_MAX,
            online_resize=True,
            snapshots=True,
            clones=True,
            force_detach=True,
            modify=True,
            multi_attach=True,
            remembers_tokens=False,
            types=_types.TYPES,
        )

    def instance_name(self, instance: str) -> str:
        """Return ``GROUP/MACHINE`` or ``GROUP/SCALE_SET/NUMBER`` in lower case."""
        return str(self._group.instance(instance))

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        """Hand ``intent`` to Azure; see `VolumeProvider.begin`.

        Azure knows no tokens. What makes an operation happen once is what the volume, the snapshot
        or the instance shows, and for the intents of this process what it remembers of them.
        """
        reference = self._operation(intent).begin(intent, self._until(deadline))
        return Handle(intent, reference)

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        """Return the handle of ``intent`` if Azure has it; see `VolumeProvider.find`.

        What does not show is looked for until Azure would show it.
        """
        reference = self._operation(intent).find(intent, self._until(deadline))
        return None if reference is None else Handle(intent, reference)

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        """Wait for the outcome of ``handle``; see `VolumeProvider.resume`. Idempotent."""
        operation = self._operation(handle.intent)
        outcome = operation.resume(handle.reference, handle.intent, self._until(deadline))
        return cast("T", outcome)

    def get(self, volume_id: str) -> Volume:
        """Return the volume, whoever owns it; see `VolumeProvider.get`."""
        unique = self._group.ids.unique_volume(volume_id)
        record = self._group.disks.unique(unique, self._soon())
        if record is None:
            raise NotFound("volume", volume_id)
        return to_volume(self._group.ids, record)

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        """Yield the volumes of this owner, oldest first; those of a ``name`` without a list."""
        disks, until = self._group.disks, self._until(None)
        if name is None:
            found = [*disks.all(until)]
        else:
            found = [one for one in in_use(disks, name, until) if isinstance(one, DiskRecord)]
        shown = [one for one in found if one.unique]  # else Azure is about to create it
        ours = [one for one in shown if _tags.is_of(one.tags, self._group.owner, name)]
        for record in sorted(ours, key=lambda record: record.created):
            yield to_volume(self._group.ids, record)

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        """Yield the snapshots of this owner, oldest first; see `list`."""
        return self._snapshots.all(name, self._until(None))

    def attachment_limit(self, instance: str) -> int | None:
        """Return how many data disks ``instance`` may have, by its size; None if nobody knows.

        The disk of its operating system does not count. Azure is asked once for each location.

        Raises:
            NotFound: there is no such instance.
        """
        return self._attachments.limit(instance, self._soon())

    def close(self) -> None:
        """Close the connections, and the credential if it was not given. Idempotent."""
        self._api.close()
        if self._ours is not None:
            self._ours.close()

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
