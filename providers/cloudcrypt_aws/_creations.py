"""Creating volumes: once for each name and token, whatever is lost on the way."""

from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    NotFound,
    OperationFailed,
    ProviderError,
    ProviderUnavailable,
    QuotaExceeded,
    RequestConflict,
    RequestError,
    UnsupportedOperation,
    Vanished,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import CreateVolume
from cloudcrypt.waiting import Deadline, retrying
from cloudcrypt_aws._client import is_worth_repeating
from cloudcrypt_aws._ids import Reference
from cloudcrypt_aws._plans import Creation, Plans
from cloudcrypt_aws._records import VolumeRecord
from cloudcrypt_aws._region import Region
from cloudcrypt_aws._tags import NAME_TAG, TOKEN_TAG
from cloudcrypt_aws._volumes import to_volume
from cloudcrypt_aws._waits import GRACE, Still, absence, settled, until


@attrs.frozen
class Creations:
    """New volumes, by what `Plans` makes of their intents."""

    region: Region
    plans: Plans

    def begin(self, intent: CreateVolume, deadline: Deadline) -> str:
        """Let EC2 create a volume, or find the one it has created; return the reference.

        Raises:
            RequestConflict: there is one of this name, or of this token, which is another one.
            Vanished: the token was used, and its volume is gone: another attempt needs a new one.
        """
        existing = self._existing(intent, deadline)
        if existing is not None:
            return self._same(existing, intent)
        creation = self.plans.creation(intent, deadline)
        if creation.action not in self.region.api.actions:
            raise UnsupportedOperation("cloning", "use a newer boto3, which knows CopyVolumes")
        try:
            record = self._create(creation, intent, deadline)
        except RequestConflict as error:
            return self._of_token(intent, deadline, error)
        return self._same(record, intent) if record.tags else record.id

    def find(self, intent: CreateVolume, deadline: Deadline) -> str | None:
        """Return the reference of the volume if EC2 has it, else None."""
        existing = self._existing(intent, deadline)
        if existing is None or self.plans.differing(existing, intent):
            return None
        return existing.id

    def resume(self, reference: str, _intent: CreateVolume, deadline: Deadline) -> Volume:
        """Wait until the volume can be used.

        Raises:
            Vanished: EC2 does not show it, and has had time to.
            OperationFailed: EC2 could not create it. It is left as it is.
            NotFound: it was deleted since.
        """
        ebs_id = Reference.parse(reference).ebs_id
        name, missing = self.region.volume_id(ebs_id), absence(self.region.clock)

        def look() -> Volume | Still:
            record = self.region.look.volume(ebs_id, deadline)
            if record is None:
                if missing.is_over():
                    raise Vanished("volume", name)
                return Still("not shown yet")
            missing.found()
            if record.is_gone:
                raise NotFound("volume", name)
            if record.state == "error":
                raise OperationFailed("creation", name, record.message or "EC2 gives no reason")
            return (
                Still("creating")
                if record.state == "creating"
                else to_volume(self.region.name, record)
            )

        return until(look, deadline, "creation", name)

    def _create(self, creation: Creation, intent: CreateVolume, deadline: Deadline) -> VolumeRecord:
        """Ask until EC2 answers: the client token makes that one request.

        Raises:
            ProviderUnavailable: also where EC2 refused after an answer was lost, and shows nothing:
                the token must not be given up for that.
        """
        api, action, is_lost = self.region.api, creation.action, False

        def send() -> Mapping[str, Any]:
            nonlocal is_lost
            try:
                return api.once(action, creation.parameters, deadline, creation.names)
            except ProviderUnavailable:
                is_lost = True
                raise

        try:
            answer = retrying(send, deadline=deadline, is_safe=is_worth_repeating)
        except (ProviderUnavailable, RequestConflict):
            raise
        except (RequestError, ProviderError) as error:
            # EC2 also says that a quota is reached about a volume that it has created already.
            if not (is_lost or isinstance(error, QuotaExceeded)):
                raise
            existing = settled(
                lambda: self._existing(intent, deadline),
                deadline,
                "creation",
                intent.name,
                cause=error,
            )
            if existing is not None:
                return existing
            if is_lost:
                raise api.in_doubt(action, error) from error
            raise
        return VolumeRecord.of(answer["Volumes"][0] if "Volumes" in answer else answer)

    def _existing(self, intent: CreateVolume, deadline: Deadline) -> VolumeRecord | None:
        """Return the volume with the name of ``intent``, if there is one that counts.

        What failed to be created counts for its own token only, so that another attempt is one.
        """
        for record in self.region.look.volumes_with(NAME_TAG, intent.name, deadline):
            is_ours = record.tags.get(TOKEN_TAG) == intent.token
            if not record.is_gone and (record.state != "error" or is_ours):
                return record
        return None

    def _same(self, existing: VolumeRecord, intent: CreateVolume) -> str:
        differing = self.plans.differing(existing, intent)
        if differing:
            raise RequestConflict(intent.name, differing)
        return existing.id

    def _of_token(self, intent: CreateVolume, deadline: Deadline, error: CloudcryptError) -> str:
        """Return the volume that used the token of ``intent``; EC2 says that there was one.

        Another maker's request differs in its tags, so this is also what the second of two hosts
        comes by that ask for the same at once.
        """

        def look() -> VolumeRecord | None:
            found = self.region.look.volumes_with(TOKEN_TAG, intent.token, deadline)
            return next((record for record in found if not record.is_gone), None)

        record = settled(look, deadline, "creation", intent.name, seconds=GRACE, cause=error)
        if record is None:
            raise Vanished("volume", intent.name, answer=error.answer) from error
        return self._same(record, intent)
