"""Looking at what EC2 has: by id or by tag, many callers in one request."""

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import attrs

from cloudcrypt.errors import NotFound, RequestRejected
from cloudcrypt.waiting import Deadline, retrying
from cloudcrypt_aws._batch import Batcher
from cloudcrypt_aws._client import PAGE, Api, is_worth_repeating
from cloudcrypt_aws._records import (
    InstanceKind,
    InstanceRecord,
    Modification,
    Shown,
    SnapshotRecord,
    VolumeRecord,
)
from cloudcrypt_aws._tags import NAME_TAG, OWNER_TAG, TOKEN_TAG

T = TypeVar("T")

IDS_MAX: Final = 500
"""Ids in one request for volumes or modifications, as the EBS CSI driver has it."""
INSTANCE_IDS_MAX: Final = 50
"""Ids in one request for instances, as the EBS CSI driver has it: each of them is long."""
FILTER_MAX: Final = 199
"""Values of one filter, and one more for the owner: EC2 takes 200 in a request (EC2 user guide,
"Filter")."""
AT_ONCE: Final = 4
"""Requests of one kind under way at a time. With one, a look takes one and a half times as long as
EC2 does, since it waits for the one before it; with four, little more (tests/benchmarks)."""
_SPECIAL: Final = re.compile(r"[\\\[\]]")  # EC2 takes the first for an escape, moto the others


@attrs.frozen
class _Thing:
    """How one kind of thing is described by its ids, or by a filter.

    ``owned`` and ``usable`` keep a filter from looking through what is public: they are the
    parameters for what this account owns, and for what it may use.
    """

    action: str
    ids: str
    filter: str
    things: str
    id: str
    limit: int = IDS_MAX
    owned: Mapping[str, object] = attrs.field(factory=dict[str, object], hash=False)
    usable: Mapping[str, object] = attrs.field(factory=dict[str, object], hash=False)


_VOLUMES: Final = _Thing("DescribeVolumes", "VolumeIds", "volume-id", "Volumes", "VolumeId")
_SNAPSHOTS: Final = _Thing(
    "DescribeSnapshots",
    "SnapshotIds",
    "snapshot-id",
    "Snapshots",
    "SnapshotId",
    owned={"OwnerIds": ["self"]},
    usable={"RestorableByUserIds": ["self"]},  # own ones, too (EC2 API reference)
)
_MODIFICATIONS: Final = _Thing(
    "DescribeVolumesModifications", "VolumeIds", "volume-id", "VolumesModifications", "VolumeId"
)
_INSTANCES: Final = _Thing(
    "DescribeInstances",
    "InstanceIds",
    "instance-id",
    "Reservations",
    "InstanceId",
    INSTANCE_IDS_MAX,
)


def filtered(name: str, *values: str) -> dict[str, object]:
    """Return one filter; what passes it may be more than asked for, never less.

    ``*`` and ``?`` are wildcards to EC2, a backslash escapes them. Whoever asks compares the answer
    with what it asked for, so signs of a special meaning need not be escaped, only let through.
    """
    return {"Name": name, "Values": [_SPECIAL.sub("?", value) for value in values]}


class Look:
    """What EC2 has now. Thread-safe; looks of several threads go in one request."""

    def __init__(self, api: Api, owner: str) -> None:
        """Look with ``api``; by name and token only at things of ``owner``."""
        self._api = api
        self._owner = owner
        self._kinds: dict[str, InstanceKind] = {}
        self._zones: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._volumes = self._by_id(_VOLUMES, VolumeRecord.of)
        self._snapshots = self._by_id(_SNAPSHOTS, SnapshotRecord.of)
        self._changes = self._by_id(_MODIFICATIONS, Modification.of, _is_later)
        self._instances = self._by_id(_INSTANCES, InstanceRecord.of)
        self._volume_tags = {
            tag: self._by_tag(_VOLUMES, tag, VolumeRecord.of) for tag in (NAME_TAG, TOKEN_TAG)
        }
        self._snapshot_tags = {
            tag: self._by_tag(_SNAPSHOTS, tag, SnapshotRecord.of) for tag in (NAME_TAG, TOKEN_TAG)
        }

    def volume(self, ebs_id: str, deadline: Deadline) -> VolumeRecord | None:
        """Return the volume, or None if EC2 does not show it."""
        return _patiently(self._volumes, ebs_id, deadline)

    def snapshot(self, ebs_id: str, deadline: Deadline) -> SnapshotRecord | None:
        """Return the snapshot, or None if EC2 does not show it."""
        return _patiently(self._snapshots, ebs_id, deadline)

    def instance(self, instance: str, deadline: Deadline) -> InstanceRecord | None:
        """Return the instance, or None if EC2 does not show it."""
        return _patiently(self._instances, instance, deadline)

    def modification(self, ebs_id: str, deadline: Deadline) -> Modification | None:
        """Return the latest change of the volume, or None if it was never changed."""
        return _patiently(self._changes, ebs_id, deadline)

    def volumes_with(self, tag: str, value: str, deadline: Deadline) -> tuple[VolumeRecord, ...]:
        """Return the owner's volumes with a name or token, oldest first."""
        found = _patiently(self._volume_tags[tag], value, deadline) or ()
        return tuple(sorted(found, key=lambda volume: volume.created))

    def snapshots_with(
        self, tag: str, value: str, deadline: Deadline
    ) -> tuple[SnapshotRecord, ...]:
        """Return the owner's snapshots with a name or token, oldest first."""
        found = _patiently(self._snapshot_tags[tag], value, deadline) or ()
        return tuple(sorted(found, key=lambda snapshot: snapshot.started))

    def all_volumes(self, deadline: Deadline) -> Iterator[VolumeRecord]:
        """Yield all volumes of the owner, in EC2's order."""
        return (VolumeRecord.of(one) for one in self._owned(_VOLUMES, deadline))

    def all_snapshots(self, deadline: Deadline) -> Iterator[SnapshotRecord]:
        """Yield all snapshots of the owner, in EC2's order."""
        return (SnapshotRecord.of(one) for one in self._owned(_SNAPSHOTS, deadline))

    def kind(self, instance_kind: str, deadline: Deadline) -> InstanceKind:
        """Return what a type of instance says; asked once for each.

        Raises:
            ProviderError: EC2 could not be asked, or does not know the type.
        """
        with self._lock:
            known = self._kinds.get(instance_kind)
        if known is None:
            parameters = {"InstanceTypes": [instance_kind]}
            answer = self._api.again("DescribeInstanceTypes", parameters, deadline)
            kinds: Sequence[Shown] = answer.get("InstanceTypes") or ()
            known = InstanceKind.of(kinds[0] if kinds else {})
            with self._lock:
                self._kinds[instance_kind] = known
        return known

    def zones(self, deadline: Deadline) -> tuple[str, ...]:
        """Return the availability zones that can be used, sorted; asked once."""
        with self._lock:
            known = self._zones
        if not known:
            parameters = {"Filters": [filtered("state", "available")]}
            answer = self._api.again("DescribeAvailabilityZones", parameters, deadline)
            zones: Sequence[Shown] = answer.get("AvailabilityZones") or ()
            usual = (zone for zone in zones if zone.get("ZoneType", _USUAL) == _USUAL)
            known = tuple(sorted(str(zone["ZoneName"]) for zone in usual))
            with self._lock:
                self._zones = known
        return known

    def _owned(
        self,
        thing: _Thing,
        deadline: Deadline,
        *filters: Mapping[str, object],
        is_patient: bool = True,
    ) -> Iterator[Shown]:
        """Yield the owner's things that pass ``filters``, in EC2's order."""
        ours = filtered(f"tag:{OWNER_TAG}", self._owner)
        page = {**thing.owned, "Filters": [ours, *filters], "MaxResults": PAGE}
        for shown in self._api.pages(
            thing.action, page, thing.things, deadline, is_patient=is_patient
        ):
            if _tag(shown, OWNER_TAG) == self._owner:
                yield shown

    def _by_id(
        self,
        thing: _Thing,
        read: Callable[[Shown], T],
        is_later: Callable[[T, T], bool] = lambda _new, _old: True,
    ) -> Batcher[T]:
        """Return lookups by id. One that does not exist does not spoil the others."""

        def fetch(ids: Sequence[str], deadline: Deadline) -> Mapping[str, T]:
            try:
                answer = self._api.once(thing.action, {thing.ids: list(ids)}, deadline)
                shown = _things(answer.get(thing.things) or [], thing)
            except (NotFound, RequestRejected):
                # EC2 answers for all of them or for none. A filter just leaves out what is missing.
                shown = self._those_that_exist(thing, ids, deadline)
            found: dict[str, T] = {}
            for one in shown:
                record, ebs_id = read(one), str(one[thing.id])
                if ebs_id not in found or is_later(record, found[ebs_id]):
                    found[ebs_id] = record
            return found

        return Batcher(fetch, thing.limit, at_once=AT_ONCE)

    def _those_that_exist(
        self, thing: _Thing, ids: Sequence[str], deadline: Deadline
    ) -> list[Shown]:
        found: list[Shown] = []
        for first in range(0, len(ids), FILTER_MAX):
            wanted = filtered(thing.filter, *ids[first : first + FILTER_MAX])
            page = {**thing.usable, "Filters": [wanted], "MaxResults": PAGE}
            shown = self._api.pages(thing.action, page, thing.things, deadline, is_patient=False)
            found += _things(shown, thing)
        return found

    def _by_tag(
        self, thing: _Thing, tag: str, read: Callable[[Shown], T]
    ) -> Batcher[tuple[T, ...]]:
        """Return lookups of the owner's things by the value of a tag."""

        def fetch(values: Sequence[str], deadline: Deadline) -> Mapping[str, tuple[T, ...]]:
            found: defaultdict[str, list[T]] = defaultdict(list)
            tagged = filtered(f"tag:{tag}", *values)
            for shown in self._owned(thing, deadline, tagged, is_patient=False):
                found[_tag(shown, tag)].append(read(shown))
            return {value: tuple(things) for value, things in found.items()}

        return Batcher(fetch, FILTER_MAX, at_once=AT_ONCE)


_USUAL: Final = "availability-zone"  # the others are local zones and wavelength zones


def _patiently(batcher: Batcher[T], key: str, deadline: Deadline) -> T | None:
    return retrying(
        lambda: batcher.get(key, deadline), deadline=deadline, is_safe=is_worth_repeating
    )


def _is_later(new: Modification, old: Modification) -> bool:
    return new.started >= old.started


def _tag(shown: Shown, tag: str) -> str:
    pairs: Sequence[Shown] = shown.get("Tags") or ()
    return next((str(pair.get("Value") or "") for pair in pairs if pair["Key"] == tag), "")


def _things(shown: Iterable[Shown], thing: _Thing) -> list[Shown]:
    if thing is _INSTANCES:
        return [one for reservation in shown for one in reservation.get("Instances") or ()]
    return list(shown)
