"""Changing the disks of a machine: by what is to change, never by writing down all disks.

Whoever writes the whole list of a machine's disks, as most software does, takes away what another
writer has added since it was read (terraform-provider-azurerm#6082, azure-cli#19568). Where Azure
does not know ``attachDetachDataDisks`` the list has to be written; then only if the
machine is still the one that was read.
"""

import re
from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt.errors import CloudcryptError, NotFound, UnsupportedOperation
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure import _calls
from cloudcrypt_azure._answers import Reply
from cloudcrypt_azure._client import Api
from cloudcrypt_azure._instances import Instance
from cloudcrypt_azure._records import DiskRecord, MachineRecord, Seat, Shown
from cloudcrypt_azure._sight import Sight

_UNWANTED: Final = frozenset({"diskIOPSReadWrite", "diskMBpsReadWrite"})
"""What Azure shows of a disk of a machine, and does not take back for all machines
(kubernetes-sigs/azuredisk-csi-driver#3403)."""
_UNKNOWN_ACTION: Final = frozenset({404, 405})
_NOT_ENABLED: Final = re.compile(r"attach detach data disks api is not enabled", re.IGNORECASE)
"""What Azure says of regions and subscriptions without it, whatever the code."""


@attrs.frozen
class Target:
    """A machine, as it was read; ``names`` are what errors name.

    ``sight`` is what was seen of it and of the disk.
    """

    instance: Instance
    record: MachineRecord
    sight: Sight[object]
    names: Mapping[str, str]


@attrs.frozen
class Machines:
    """Attaches and detaches, one disk at a time."""

    api: Api

    def attach(self, target: Target, disk: DiskRecord, lun: int, deadline: Deadline) -> Reply:
        """Ask Azure to attach a disk at a logical unit number.

        Nothing of it is cached on the host, and it survives the machine.

        Raises:
            Throttled, WrongVolumeState: nothing was done, see `Api.if_true`.
            RequestError, ProviderError: see `cloudcrypt_azure._errors`.
        """
        added = {"diskId": disk.id, "lun": lun, "caching": "None", "deleteOption": "Detach"}
        whole: Shown = {
            "lun": lun,
            "name": disk.name,
            "createOption": "Attach",
            "caching": "None",
            "deleteOption": "Detach",
            "managedDisk": {"id": disk.id},
        }
        disks = [*map(_kept, target.record.disks), whole]
        return self._changed(target, {"dataDisksToAttach": [added]}, disks, deadline)

    def detach(
        self, target: Target, disk: DiskRecord, seat: Seat, *, force: bool, deadline: Deadline
    ) -> Reply:
        """Ask Azure to detach a disk from where it is.

        Raises:
            Throttled, WrongVolumeState: nothing was done, see `Api.if_true`.
            RequestError, ProviderError: see `cloudcrypt_azure._errors`.
        """
        option = {"detachOption": "ForceDetach"} if force else {}
        disks: list[Shown] = [
            {**_kept(one), **({"toBeDetached": True, **option} if Seat.of(one) == seat else {})}
            for one in target.record.disks
        ]
        removed = {"diskId": disk.id, **option}
        return self._changed(target, {"dataDisksToDetach": [removed]}, disks, deadline)

    def _changed(
        self,
        target: Target,
        change: Mapping[str, object],
        disks: list[Shown],
        deadline: Deadline,
    ) -> Reply:
        call = _calls.change_disks(target.instance, change, target.names)
        try:
            return self.api.if_true(call, target.sight, deadline)
        except CloudcryptError as error:
            if not _is_unknown(error):
                raise
            return self._written(target, disks, error, deadline)

    def _written(
        self, target: Target, disks: list[Shown], error: CloudcryptError, deadline: Deadline
    ) -> Reply:
        """Write the whole list, if nobody has changed the machine since it was read."""
        etag = target.record.etag
        if target.instance.scale_set is not None or etag is None:
            instead = "use an endpoint that knows attachDetachDataDisks"
            raise UnsupportedOperation(
                f"changing the disks of {target.instance}", instead, answer=error.answer
            ) from error
        body = {"properties": {"storageProfile": {"dataDisks": disks}}}
        call = _calls.patch_machine(target.instance, body, etag, target.names)
        return self.api.if_true(call, target.sight, deadline)


def _kept(disk: Shown) -> Shown:
    return {key: value for key, value in disk.items() if key not in _UNWANTED}


def _is_unknown(error: CloudcryptError) -> bool:
    """Say whether Azure does not know the action: the machine itself was there a moment ago."""
    if isinstance(error, UnsupportedOperation):
        return True
    if error.answer is None or isinstance(error, NotFound):
        return False
    is_off = _NOT_ENABLED.search(error.answer.message) is not None
    return is_off or error.answer.status in _UNKNOWN_ACTION
