"""What goes wrong in Azure itself, on demand: limits, failures, and what others do meanwhile."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Literal

from cloudcrypt_testing.fake_azure import errors, hosts, strangers, updates
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.names import as_is
from cloudcrypt_testing.fake_azure.quirks import FailureRule, Hold, Stockout
from cloudcrypt_testing.world.exchange import Exchange
from cloudcrypt_testing.world.layer import Hook

_SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "upper": str.upper,
    "lower": str.lower,
    "as it is": as_is,
}


class Races(ABC):
    """The settings of a test, as methods of the fake.

    ``instance`` is ``group/name`` or ``group/scale set/number``, ``disk`` a unique id, and ``on``
    an operation of the API such as ``disks.createOrUpdate``, or a pattern such as ``*.delete``.
    """

    @property
    @abstractmethod
    def _cloud(self) -> Cloud:
        """The state that they change."""

    @property
    @abstractmethod
    def hooks(self) -> list[Hook]:
        """Called before and after each request."""

    def fail_next(
        self,
        on: str,
        code: str = "InternalServerError",
        message: str | None = None,
        *,
        times: int = 1,
        leaves_failed: bool = False,
    ) -> None:
        """Let the next operations be accepted, and fail: HTTP says 200, the body Failed.

        Args:
            on: what was asked for.
            code: of the error, such as ``AllocationFailed``.
            message: for humans; one that fits the code if None.
            times: how many operations.
            leaves_failed: what was begun stays: a disk or snapshot, Failed; a disk in the list of
                a virtual machine, although its host never sees it; or a disk ``toBeDetached``.
        """
        rule = FailureRule(on, errors.failure(code, message), times, leaves_failed)
        self._cloud.quirks.failures.append(rule)

    def hold_next(self, on: str, *, seconds: float | None = None) -> None:
        """Let the next operation stay InProgress for long.

        Args:
            on: what was asked for.
            seconds: how much longer it takes than usual; None: until `let_go`.
        """
        self._cloud.quirks.holds.append(Hold(on, seconds))

    def let_go(self, operation: str) -> None:
        """Let the operation with this id, which came to a halt, go on to its end."""
        with self._cloud.lock:
            self._cloud.runner.let_go(operation)
            self._cloud.agenda.settle()

    def forget_operations(self) -> None:
        """Let all operations that are over be unknown, as they are after some hours."""
        with self._cloud.lock:
            self._cloud.runner.forget()

    def meanwhile(self, before: str, act: Callable[[], object], *, occurrence: int = 1) -> None:
        """Let somebody else act right before a request is looked at.

        Args:
            before: what is asked for.
            act: what they do, in a thread of the server.
            occurrence: which of the matching requests, counted from 1 and from now.
        """
        numbers = itertools.count(1)

        def hook(exchange: Exchange) -> None:
            if exchange.phase != "before" or not fnmatchcase(exchange.call.action, before):
                return
            if next(numbers) == occurrence:
                self.hooks.remove(hook)
                act()

        self.hooks.append(hook)

    def attach(self, instance: str, disk: str, lun: int | None = None) -> None:
        """Attach a disk at once, as if somebody else had done so.

        Args:
            instance: where to.
            disk: which one.
            lun: its logical unit number; the lowest one that is free if None.
        """
        with self._cloud.lock:
            self._cloud.agenda.settle()
            strangers.attach(self._cloud, instance, disk, lun)

    def attach_meanwhile(
        self,
        instance: str,
        disk: str,
        lun: int | None = None,
        *,
        before: str = "virtualMachine*.update",
        occurrence: int = 1,
    ) -> None:
        """Let a disk be attached by somebody else, between a client's look and its next update.

        An update of the whole list of disks takes that disk away again, unless If-Match says what
        the list was made from: the lost update.
        """
        act = partial(self.attach, instance, disk, lun)
        self.meanwhile(before, act, occurrence=occurrence)

    def take_lun(
        self,
        instance: str,
        lun: int | None = None,
        *,
        before: str = "*.attachDetachDataDisks",
        occurrence: int = 1,
    ) -> str:
        """Let somebody else take a logical unit number right before the next attachment.

        Args:
            instance: whose number it is.
            lun: which; the lowest one that is free then if None.
            before: the request that comes too late.
            occurrence: which one of them, counted from 1 and from now.

        Returns:
            The unique id of their disk, which exists already.
        """
        with self._cloud.lock:
            disk = strangers.disk(self._cloud, hosts.found(self._cloud, instance))
        self.attach_meanwhile(instance, disk, lun, before=before, occurrence=occurrence)
        return disk

    def rip_out(self, instance: str, disk: str) -> None:
        """Take a disk from an instance at once, without any request or operation."""
        with self._cloud.lock:
            self._cloud.agenda.settle()
            machine = hosts.found(self._cloud, instance)
            if machine.disk(disk) is None:
                raise ValueError(f"no disk {disk} on {instance}")
            updates.remove(self._cloud, machine.text, disk)

    def linger(self, disk: str) -> None:
        """Let detaching a disk end well, while it stays in the list, ``toBeDetached``.

        Until its detaching is forced, attaching it anywhere is AttachDiskWhileBeingDetached.
        """
        self._cloud.quirks.lingering.add(disk)

    def run_out_of_room(
        self, zone: str | None, code: str = "ZonalAllocationFailed", *, at_once: bool = False
    ) -> None:
        """Let no disk be made in a zone.

        Args:
            zone: which; None stands for disks in no zone.
            code: ``AllocationFailed``, ``ZonalAllocationFailed`` or ``SkuNotAvailable``.
            at_once: the request is refused; otherwise it is accepted, and the operation fails.
        """
        self._cloud.quirks.stockouts[zone or ""] = Stockout(code, at_once)

    def have_room(self, zone: str | None) -> None:
        """Let disks be made in a zone again."""
        self._cloud.quirks.stockouts.pop(zone or "", None)

    def limit_disks(self, most: int) -> None:
        """Let there be at most ``most`` disks, those of systems not counted."""
        self._cloud.quirks.quota = most

    def limit_attachments(self, instance: str, most: int) -> None:
        """Let an instance have at most ``most`` data disks."""
        with self._cloud.lock:
            machine = hosts.found(self._cloud, instance)
            self._cloud.quirks.most_disks[machine.text] = most

    def fail_instance(self, instance: str, *, takes_disks: bool = True) -> None:
        """Let an instance be Failed, until an update of it ends well.

        Args:
            instance: which.
            takes_disks: whether that can be an update that attaches a disk; if not, any other one
                must come first, such as one that changes nothing.
        """
        with self._cloud.lock:
            hosts.fail(self._cloud, hosts.found(self._cloud, instance), takes_disks=takes_disks)

    def withdraw_attach_detach(
        self, code: str = "NotFound", status: int = 404, message: str | None = None
    ) -> None:
        """Let there be no attachDetachDataDisks, as where it is not known or not enabled.

        Azure was seen to say "The attach detach data disks API is not enabled for the region.", and
        the same of the subscription; by default it does not know the action at all.
        """
        error = errors.no_action("attachDetachDataDisks")
        self._cloud.quirks.unavailable = errors.ArmError(status, code, message or error.message)

    def answer_busy(self, code: Literal["Conflict", "OperationNotAllowed"]) -> None:
        """Say what an instance answers while something else is being done to it."""
        self._cloud.quirks.busy_code = code

    def preempt_updates(self) -> None:
        """Let an update of an instance end the one before it: OperationPreempted."""
        self._cloud.quirks.is_preempting = True

    def forbid_online_resize(self) -> None:
        """Let no disk grow while it is attached to an instance that runs."""
        self._cloud.quirks.resizes_online = False

    def find_conflicts_late(self) -> None:
        """Let a disk that is attached elsewhere be found in the operation, not in the request."""
        self._cloud.quirks.finds_conflicts_late = True

    def copy_in_background(self) -> None:
        """Let all snapshots be Succeeded long before their ``completionPercent`` is 100."""
        self._cloud.quirks.copies_slowly = True

    def spell_groups(self, how: Literal["upper", "lower", "as it is"]) -> None:
        """Say how resource groups are written in lists and references; in capitals by default."""
        self._cloud.quirks.spelling = _SPELLINGS[how]

    def limit_pages(self, most: int) -> None:
        """Let a page of a list have at most ``most`` resources."""
        self._cloud.quirks.page = most

    def throttle_machines(self) -> None:
        """Put the limits of each single virtual machine in force.

        As in "Throttling limits for virtual machines": 12 updates at once and 4 a minute, 36 looks
        at once and 12 a minute.
        """
        self._cloud.quirks.counts_machine_requests = True

    def deallocate(self, instance: str) -> None:
        """Let an instance be deallocated at once; its disks stay, Reserved."""
        with self._cloud.lock:
            hosts.switch(self._cloud, hosts.found(self._cloud, instance), on=False)

    def start(self, instance: str) -> None:
        """Let an instance that was deallocated run again."""
        with self._cloud.lock:
            hosts.switch(self._cloud, hosts.found(self._cloud, instance), on=True)

    def delete_instance(self, instance: str) -> None:
        """Let an instance be gone at once; its data disks are free."""
        with self._cloud.lock:
            hosts.delete(self._cloud, hosts.found(self._cloud, instance))
