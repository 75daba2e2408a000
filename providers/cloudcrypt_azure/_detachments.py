"""Detaching volumes: from the holder alone, and by force only where that is asked for."""

from typing import Final

import attrs

from cloudcrypt.errors import (
    AttachedElsewhere,
    DetachBlocked,
    NotFound,
    OperationFailed,
    ProviderUnavailable,
    Throttled,
    WrongVolumeState,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import DetachVolume
from cloudcrypt.waiting import Deadline
from cloudcrypt_azure._group import Group
from cloudcrypt_azure._ids import Reference
from cloudcrypt_azure._instances import Instance
from cloudcrypt_azure._machines import Machines, Target
from cloudcrypt_azure._polling import Progress
from cloudcrypt_azure._records import DiskRecord, MachineRecord, Seat
from cloudcrypt_azure._volumes import to_volume
from cloudcrypt_azure._waits import Missing, Still, absence, settled, until

BLOCKED_AFTER: Final = 240.0
"""Seconds of detaching after which the instance is in the way: as long as the Azure Disk CSI driver
waits at least before it detaches by force, which is not done here. Detaching takes ten, usually."""


@attrs.frozen
class _Held:
    """What volume and instance say of one another; either may be older than the other."""

    disk: DiskRecord
    machine: MachineRecord | None
    seat: Seat | None
    is_held: bool

    @property
    def is_free(self) -> bool:
        """Whether both say that the instance has not got the volume; one that is gone has none."""
        return self.seat is None and not self.is_held


@attrs.frozen
class Detachments:
    """Takes volumes from instances, for one resource group."""

    group: Group
    machines: Machines
    blocked_after: float

    def begin(self, intent: DetachVolume, deadline: Deadline) -> str:
        """Let Azure detach a volume, unless it is detached; return the reference.

        The reference has the time, since Azure does not show when detaching began.

        Raises:
            AttachedElsewhere: another instance holds it.
            NotFound: there is no such volume.
            WrongVolumeState: it cannot be detached now.
        """
        instance = self.group.instance(intent.instance)
        return until(
            lambda: self._attempt(intent, instance, deadline),
            deadline,
            "detachment",
            intent.volume_id,
        )

    def find(self, intent: DetachVolume, deadline: Deadline) -> str | None:
        """Return the reference if the volume is not attached there, or about not to be."""
        instance = self.group.instance(intent.instance)

        def look() -> str | None:
            try:
                held = self._look(intent, instance, deadline)
            except NotFound as error:
                if error.kind != "volume":
                    raise
                return None
            if held.is_free:
                return str(Reference(held.disk.name, held.disk.unique))
            is_leaving = held.seat is None or held.seat.is_leaving
            return self._reference(held, None) if is_leaving else None

        return settled(look, deadline, "detachment", intent.volume_id)

    def resume(self, reference: str, intent: DetachVolume, deadline: Deadline) -> Volume:
        """Wait until neither volume nor instance show one another.

        Raises:
            DetachBlocked: the instance does not let go of it.
            OperationFailed: it is attached, as if nothing had been asked, or again.
            NotFound: the volume is gone.
        """
        unique = self.group.ids.unique_volume(intent.volume_id)
        asked = self.group.referred(reference, unique)
        instance = self.group.instance(intent.instance)
        names = {"volume": intent.volume_id, "instance": str(instance)}
        progress = self.group.progress(asked, "detachment", names)
        missing = absence(self.group.clock)

        def look() -> Volume | Still:
            state = progress.look(deadline)
            if state is not None:
                return self._leaving(asked, state, intent)
            held = self._look(intent, instance, deadline)
            if held.is_free:
                return to_volume(self.group.ids, held.disk)
            return self._staying(asked, held, missing, progress, intent)

        return until(look, deadline, "detachment", intent.volume_id)

    def _attempt(self, intent: DetachVolume, instance: Instance, deadline: Deadline) -> str | Still:
        sight = self.group.sight(lambda: self._look(intent, instance, deadline))
        held = sight.seen
        if held.is_free:
            others = held.disk.holders
            if others and not held.disk.is_shared:
                raise AttachedElsewhere(intent.volume_id, others[0])
            return str(Reference(held.disk.name, held.disk.unique))
        if held.machine is None or held.machine.is_going:
            return self._reference(held, None)  # the disk is free when that is done
        if held.seat is None:
            state = "not shown by its instance"
            return Still(state, WrongVolumeState(intent.volume_id, state, "detachment"))
        if held.seat.is_leaving and not intent.force:
            return self._reference(held, None)
        names = {"volume": intent.volume_id, "instance": str(instance)}
        target = Target(instance, held.machine, sight, names)
        return self._detach(held, target, held.seat, intent, deadline)

    def _detach(
        self,
        held: _Held,
        target: Target,
        seat: Seat,
        intent: DetachVolume,
        deadline: Deadline,
    ) -> str | Still:
        try:
            reply = self.machines.detach(
                target, held.disk, seat, force=intent.force, deadline=deadline
            )
        except (NotFound, WrongVolumeState, ProviderUnavailable, Throttled) as error:
            return Still("not known to be detached", error)  # it may be, or the instance is gone
        return self._reference(held, self.group.operation(reply.operation))

    def _look(self, intent: DetachVolume, instance: Instance, deadline: Deadline) -> _Held:
        disk = self.group.volume(intent.volume_id, deadline)
        machine = self.group.machine(instance, deadline)
        seat = None if machine is None else machine.seat(disk.path)
        return _Held(disk, machine, seat, str(instance) in disk.holders)

    def _staying(
        self,
        asked: Reference,
        held: _Held,
        missing: Missing,
        progress: Progress,
        intent: DetachVolume,
    ) -> Still:
        """Say what it means that volume or instance still show one another."""
        if progress.failure is not None and held.machine is not None:
            raise progress.failure
        if held.seat is None or held.seat.is_leaving:
            return self._leaving(asked, _state_of(held), intent)
        if missing.is_over():
            reason = f"it is attached to {intent.instance}"
            raise OperationFailed("detachment", intent.volume_id, reason)
        return Still("attached")

    def _leaving(self, asked: Reference, state: str, intent: DetachVolume) -> Still:
        now = self.group.clock.now().timestamp()
        seconds = max(0.0, now - (now if asked.time is None else asked.time))
        blocked = DetachBlocked(intent.volume_id, intent.instance, round(seconds, 3))
        if seconds >= self.blocked_after:
            raise blocked
        return Still(state)

    def _reference(self, held: _Held, operation: str | None) -> str:
        now = self.group.clock.now().timestamp()
        disk = held.disk
        return str(Reference(disk.name, disk.unique, operation, round(now, 3)))


def _state_of(held: _Held) -> str:
    if held.machine is None:
        return "held by an instance that is gone"
    return "detaching" if held.seat is not None else "not shown by its instance any more"
