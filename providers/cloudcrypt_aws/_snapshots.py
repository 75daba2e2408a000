"""Snapshots: EC2 has no client token for them, so the tags say whether there is one already."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import attrs

from cloudcrypt.errors import (
    InvalidRequest,
    OperationFailed,
    OperationPending,
    ProviderError,
    ProviderUnavailable,
    RequestConflict,
    RequestError,
    Vanished,
    WrongVolumeState,
)
from cloudcrypt.model import GENERATION_MAX, Snapshot, SnapshotState
from cloudcrypt.spi import CreateSnapshot
from cloudcrypt.waiting import Deadline
from cloudcrypt_aws import _tags
from cloudcrypt_aws._ids import Reference
from cloudcrypt_aws._records import SnapshotRecord
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._tags import NAME_TAG, TOKEN_TAG
from cloudcrypt_aws._waits import Still, absence, settled, until

_STATES: Final = {"completed": SnapshotState.READY, "error": SnapshotState.ERROR}


@attrs.frozen
class Snapshots:
    """New snapshots, and those there are."""

    region: Region

    def begin(self, intent: CreateSnapshot, deadline: Deadline) -> str:
        """Let EC2 take a snapshot, or find the one it has taken; return the reference.

        Whoever does not know whether the answer to an earlier request was lost asks `find`
        first: a snapshot that EC2 does not show yet would be taken twice.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            NotFound: there is no such volume.
            ProviderUnavailable: also where EC2 refused after an answer was lost.
        """
        if intent.generation is not None and intent.generation > GENERATION_MAX:
            raise InvalidRequest("generation", intent.generation, f"1 to {GENERATION_MAX}")
        ebs_id = self.region.ebs_volume(intent.volume_id)
        tags = _tags.of_snapshot(intent, self.region.owner)
        parameters = {
            "VolumeId": ebs_id,
            "Description": f"{intent.name} of {intent.volume_id}",
            "TagSpecifications": _tags.specification("snapshot", tags),
        }

        is_lost = False

        def attempt() -> str | Still:
            nonlocal is_lost
            existing = self._existing(intent, deadline)
            if existing is not None:
                return existing
            try:
                seen = self._create(parameters, intent, deadline)
            except (RequestError, ProviderError) as error:
                if is_lost and not isinstance(error, ProviderUnavailable):
                    raise self.region.api.in_doubt("CreateSnapshot", error) from error
                raise
            is_lost = isinstance(seen, Still)
            return seen

        return until(attempt, deadline, "snapshot", intent.volume_id)

    def find(self, intent: CreateSnapshot, deadline: Deadline) -> str | None:
        """Return the reference of the snapshot if EC2 has it, else None."""
        try:
            return self._existing(intent, deadline)
        except RequestConflict:
            return None

    def resume(self, reference: str, _intent: CreateSnapshot, deadline: Deadline) -> Snapshot:
        """Wait until the snapshot can be restored.

        Raises:
            OperationFailed: EC2 could not take it. It is left as it is.
            Vanished: EC2 does not show it, and has had time to.
        """
        ebs_id = Reference.parse(reference).ebs_id
        name, missing = self.region.volume_id(ebs_id), absence(self.region.clock)

        def look() -> Snapshot | Still:
            record = self.region.look.snapshot(ebs_id, deadline)
            if record is None:
                if missing.is_over():
                    raise Vanished("snapshot", name)
                return Still("not shown yet")
            missing.found()
            snapshot = self._snapshot(record)
            if snapshot.state is SnapshotState.ERROR:
                raise OperationFailed("snapshot", name, record.message or "EC2 gives no reason")
            return Still(record.state) if snapshot.state is SnapshotState.PENDING else snapshot

        return until(look, deadline, "snapshot", name)

    def all(self, name: str | None, deadline: Deadline) -> Iterator[Snapshot]:
        """Yield the snapshots of the owner, or those of a name, oldest first."""
        look = self.region.look
        found: Iterable[SnapshotRecord] = (
            look.all_snapshots(deadline)
            if name is None
            else look.snapshots_with(NAME_TAG, name, deadline)
        )
        return map(self._snapshot, sorted(found, key=lambda one: one.started))

    def _create(
        self, parameters: Mapping[str, object], intent: CreateSnapshot, deadline: Deadline
    ) -> str | Still:
        names = {"volume": intent.volume_id}
        try:
            answer = self.region.api.unless_throttled("CreateSnapshot", parameters, deadline, names)
        except ProviderUnavailable as error:
            # It may have been taken all the same. Only the tags can tell, and they show late.
            taken: str | None = None
            with suppress(OperationPending):  # the deadline ends, and the lost answer says why
                taken = settled(
                    lambda: self._existing(intent, deadline), deadline, "snapshot", intent.name
                )
            return Still("not known to be taken", error) if taken is None else taken
        except WrongVolumeState as error:
            record = self.region.look.volume(self.region.ebs_volume(intent.volume_id), deadline)
            state = error.state if record is None else record.state
            raise WrongVolumeState(
                intent.volume_id, state, "a snapshot", answer=error.answer
            ) from error
        return SnapshotRecord.of(answer).id

    def _existing(self, intent: CreateSnapshot, deadline: Deadline) -> str | None:
        """Return the snapshot with the name or the token of ``intent``, if one counts.

        What failed counts for its own token only, so that another attempt is one.

        Raises:
            RequestConflict: it is of another volume, or otherwise not what is asked for.
        """
        for tag, value in ((NAME_TAG, intent.name), (TOKEN_TAG, intent.token)):
            for record in self.region.look.snapshots_with(tag, value, deadline):
                is_ours = record.tags.get(TOKEN_TAG) == intent.token
                if record.state != "error" or is_ours:
                    return self._same(record, intent)
        return None

    def _same(self, record: SnapshotRecord, intent: CreateSnapshot) -> str:
        found = self._snapshot(record)
        same = {
            "generation": intent.generation in {None, found.generation},
            "name": intent.name == found.name,
            "volume_id": intent.volume_id == found.volume_id,
        }
        differing = tuple(field for field, is_same in same.items() if not is_same)
        if differing:
            raise RequestConflict(intent.name, differing)
        return record.id

    def _snapshot(self, record: SnapshotRecord) -> Snapshot:
        volume = record.tags.get(_tags.VOLUME_TAG) or self.region.volume_id(record.volume)
        return Snapshot(
            id=self.region.volume_id(record.id),
            name=_tags.name_of(record.tags, record.id),
            volume_id=volume,
            size=record.size,
            created=record.started,
            generation=_tags.generation_of(record.tags),
            state=_STATES.get(record.state, SnapshotState.PENDING),
        )
