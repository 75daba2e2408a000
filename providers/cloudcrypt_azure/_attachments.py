"""Attaching volumes: one logical unit number, one holder, and proof that it came about."""

import contextlib

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    AttachmentLimit,
    CloudRefused,
    NotFound,
    OperationFailed,
    ProviderError,
    ProviderUnavailable,
    RequestError,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.model import Attachment, AzureLun, VolumeState
from cloudcrypt.spi import AttachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._instances import Instance
from cloudcrypt_azure._machines import Machines, Target
from cloudcrypt_azure._memory import Begun
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import LUNS, DiskRecord, MachineRecord, Seat
from cloudcrypt_azure._volumes import origin_of
from cloudcrypt_azure._waits import Still, absence, settled, until

_KIND = AttachVolume.__name__


@attrs.frozen
class Attachments:
    """Which volumes are where, for one resource group."""

    group: Group
    machines: Machines

    def begin(self, intent: AttachVolume, deadline: Deadline) -> str:
        """Let Azure attach a volume, unless it is attached there; return the reference.

        A volume that is still being created, or detached, is waited for.

        Raises:
            AttachedElsewhere: it is attached to another instance.
            AttachmentLimit: the instance takes no further volume.
            NotFound: there is no such volume or instance.
            WrongVolumeState: it cannot be attached now.
        """
        self.group.ids.unique_volume(intent.volume_id)
        instance = self.group.instance(intent.instance)
        return until(
            lambda: self._attempt(intent, instance, deadline),
            deadline,
            "attachment",
            intent.volume_id,
        )

    def find(self, intent: AttachVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is attached there, or about to be, else None."""
        instance = self.group.instance(intent.instance)
        unique = self.group.ids.unique_volume(intent.volume_id)

        def look() -> str | None:
            disk = self.group.disks.unique(unique, deadline)
            machine = None if disk is None else self.group.machine(instance, deadline)
            seat = None if disk is None or machine is None else machine.seat(disk.path)
            if disk is None or seat is None or seat.is_leaving:
                return None
            return self._reference(intent, disk, seat)

        return settled(look, deadline, "attachment", intent.volume_id)

    def resume(self, reference: str, intent: AttachVolume, deadline: Deadline) -> Attachment:
        """Wait until volume and instance both show the attachment.

        Raises:
            AttachedElsewhere: the volume is attached to another instance, against all rules also.
            OperationFailed: Azure could not attach it.
            NotFound: it is not attached there any more, or one of the two is gone.
            WrongVolumeState: it is being detached.
        """
        unique = self.group.ids.unique_volume(intent.volume_id)
        asked = self.group.referred(reference, unique)
        instance = self.group.instance(intent.instance)
        names = {"volume": intent.volume_id, "instance": str(instance)}
        progress = self.group.progress(asked, "attachment", names)
        missing = absence(self.group.clock)

        def look() -> Attachment | Still:
            state = progress.look(deadline)
            if state is not None:
                return Still(state)
            disk = self.group.volume(intent.volume_id, deadline)
            machine = self._machine(intent, instance, deadline)
            seat = machine.seat(disk.path)
            elsewhere = self._elsewhere(disk, intent, instance, deadline)
            if elsewhere is not None:
                return elsewhere
            if not self._is_good(progress, disk, machine, seat, instance, deadline):
                raise _failed(progress, machine, intent)
            if seat is None:
                if missing.is_over():
                    raise NotFound("attachment", f"of {intent.volume_id} to {instance}")
                return Still("not shown yet")
            missing.found()
            return self._proven(asked, disk, machine, seat, intent, progress)

        return until(look, deadline, "attachment", intent.volume_id)

    def limit(self, text: str, deadline: Deadline) -> int | None:
        """Return how many data disks an instance may have, by its size.

        Raises:
            NotFound: there is no such instance.
            ProviderError: Azure could not be asked.
        """
        machine = self.group.machine(self.group.instance(text), deadline)
        if machine is None:
            raise NotFound("instance", text)
        return self.group.limit(machine, deadline)

    def _attempt(self, intent: AttachVolume, instance: Instance, deadline: Deadline) -> str | Still:
        sight = self.group.sight(
            lambda: (
                self.group.volume(intent.volume_id, deadline),
                self._machine(intent, instance, deadline),
            )
        )
        disk, machine = sight.seen
        seat = machine.seat(disk.path)
        if seat is not None and not seat.is_leaving:
            return self._reference(intent, disk, seat)
        waiting = self._elsewhere(disk, intent, instance, deadline)
        waiting = waiting or self._not_yet(disk, seat, intent, instance)
        names = {"volume": intent.volume_id, "instance": str(instance)}
        target = Target(instance, machine, sight, names)
        return waiting or self._attach(disk, target, intent, deadline)

    def _elsewhere(
        self, disk: DiskRecord, intent: AttachVolume, instance: Instance, deadline: Deadline
    ) -> Still | None:
        """Return what to wait for if another instance holds the volume, but lets it go.

        Raises:
            AttachedElsewhere: it does not.
        """
        others = [holder for holder in disk.holders if holder != str(instance)]
        if not others or disk.is_shared:
            return None
        elsewhere = AttachedElsewhere(intent.volume_id, others[0])
        if not self._is_leaving(disk, others[0], deadline):
            raise elsewhere
        return Still(f"being detached from {others[0]}", elsewhere)

    def _not_yet(
        self, disk: DiskRecord, seat: Seat | None, intent: AttachVolume, instance: Instance
    ) -> Still | None:
        """Return what has to be waited for before the volume can be attached.

        Raises:
            WrongVolumeState: its creation failed.
        """
        if disk.is_stillborn:
            raise WrongVolumeState(intent.volume_id, VolumeState.ERROR.value, "attachment")
        state = disk.state if disk.is_in_flight else None
        if seat is not None:  # a seat that was not left is told before
            state = "being detached"
        elif str(instance) in disk.holders:
            state = "not shown by its instance"
        if state is None:
            return None
        return Still(state, WrongVolumeState(intent.volume_id, state, "attachment"))

    def _attach(
        self,
        disk: DiskRecord,
        target: Target,
        intent: AttachVolume,
        deadline: Deadline,
    ) -> str | Still:
        instance, machine = target.instance, target.record
        lun = machine.free_lun()
        if lun is None:
            raise AttachmentLimit(str(instance), LUNS)
        try:
            reply = self.machines.attach(target, disk, lun, deadline)
        except (WrongVolumeState, ProviderUnavailable, Throttled) as error:
            return Still("not known to be attached", error)  # also a number that is taken: look
        except AttachedElsewhere as error:
            return self._judged(error, intent, instance, deadline)
        except CloudRefused as error:
            what = f"an attachment to an instance that is {machine.state}"
            raise CloudRefused(what, answer=error.answer) from error
        except AttachmentLimit as error:
            limit = error.limit
            with contextlib.suppress(ProviderError):  # the limit is good to know, no more
                limit = self.group.limit(machine, deadline) or limit
            raise AttachmentLimit(str(instance), limit, answer=error.answer) from error
        operation = self.group.operation(reply.operation)
        asked = str(Reference(disk.name, disk.unique, operation, lun=lun))
        begun = Begun(disk.name, asked, disk.unique)
        return self.group.memory.put(_KIND, intent.token, begun).reference

    def _judged(
        self,
        error: AttachedElsewhere,
        intent: AttachVolume,
        instance: Instance,
        deadline: Deadline,
    ) -> Still:
        """Look who holds the volume: Azure's message may name it in some way, or be of the past."""
        disk = self.group.volume(intent.volume_id, deadline)
        try:
            waiting = self._elsewhere(disk, intent, instance, deadline)
        except AttachedElsewhere as seen:
            raise AttachedElsewhere(intent.volume_id, seen.holder, answer=error.answer) from error
        return waiting or Still("held, as Azure says", error)

    def _is_leaving(self, disk: DiskRecord, holder: str, deadline: Deadline) -> bool:
        """Say whether a holder is about to let the volume go, or is itself gone."""
        if holder.startswith("/"):
            return False  # not a machine: nobody knows
        instance = self.group.instance(holder)
        machine = self.group.machine(instance, deadline)
        seat = None if machine is None else machine.seat(disk.path)
        return machine is None or seat is None or seat.is_leaving

    def _machine(
        self, intent: AttachVolume, instance: Instance, deadline: Deadline
    ) -> MachineRecord:
        machine = self.group.machine(instance, deadline)
        if machine is None or machine.is_going:
            raise NotFound("instance", intent.instance)
        return machine

    def _is_good(
        self,
        progress: Progress,
        disk: DiskRecord,
        machine: MachineRecord,
        seat: Seat | None,
        instance: Instance,
        deadline: Deadline,
    ) -> bool:
        """Say whether nothing speaks against it that the volume is attached, or will be.

        What counts is what volume and instance show: an operation may fail because of something
        else of the instance. But the list of a failed instance may have a disk that its host never
        saw; so the host is asked, too.
        """
        if seat is None or str(instance) not in disk.holders:
            return progress.failure is None and not (machine.has_failed and seat is not None)
        if progress.has_succeeded or not machine.has_failed:
            return True
        viewed = self.group.machine(instance, deadline, with_view=True)
        return viewed is not None and seat.name.lower() in viewed.present

    def _proven(
        self,
        asked: Reference,
        disk: DiskRecord,
        machine: MachineRecord,
        seat: Seat,
        intent: AttachVolume,
        progress: Progress,
    ) -> Attachment | Still:
        if seat.is_leaving:
            raise WrongVolumeState(intent.volume_id, "being detached", "attachment")
        if asked.lun not in {None, seat.lun}:
            reason = f"it is at LUN {seat.lun}, and was asked for at {asked.lun}"
            raise OperationFailed("attachment", intent.volume_id, reason)
        instance = str(self.group.instance(intent.instance))
        if instance not in disk.holders:
            return Still("shown by the instance, and not by the volume")
        if machine.is_in_flight and not progress.has_succeeded:
            return Still(f"attached to an instance that is {machine.state}")
        return Attachment(
            volume_id=self.group.ids.volume(disk.unique),
            instance=instance,
            size=disk.size,
            origin=origin_of(self.group.ids, disk),
            identity=AzureLun(seat.lun, seat.name or disk.name),
        )

    def _reference(self, intent: AttachVolume, disk: DiskRecord, seat: Seat) -> str:
        """Return the text of the reference: the same as before, if this process gave one out."""
        begun = self.group.memory.recall(_KIND, intent.token)
        if begun is not None and self._is_at(begun, disk, seat):
            return begun.reference
        begun = Begun(disk.name, str(Reference(disk.name, disk.unique)), disk.unique)
        return self.group.memory.put(_KIND, intent.token, begun).reference

    def _is_at(self, begun: Begun, disk: DiskRecord, seat: Seat) -> bool:
        asked = self.group.referred(begun.reference)
        return begun.unique == disk.unique and asked.lun in {None, seat.lun}


def _failed(
    progress: Progress, machine: MachineRecord, intent: AttachVolume
) -> ProviderError | RequestError:
    """Return the error of an attachment that did not come about, with the state of the instance."""
    failure, state = progress.failure, f"the instance is {machine.state or 'in an unknown state'}"
    if failure is None:
        return OperationFailed("attachment", intent.volume_id, state)
    if not isinstance(failure, OperationFailed):
        return failure
    told = attrs.evolve(failure, reason=f"{failure.reason} ({state})")
    told.__cause__ = failure.__cause__
    return told
