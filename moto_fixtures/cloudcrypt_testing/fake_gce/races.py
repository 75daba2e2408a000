"""What goes wrong in Compute Engine itself, on demand: limits, failures and races."""

from abc import ABC, abstractmethod
from typing import Literal

from cloudcrypt_testing.fake_gce import attachments, errors, instances
from cloudcrypt_testing.fake_gce.cloud import Cloud
from cloudcrypt_testing.fake_gce.quirks import FailureRule, Hold


class Races(ABC):
    """The settings of a test, as methods of the fake."""

    @property
    @abstractmethod
    def _cloud(self) -> Cloud:
        """The state that they change."""

    def fail_next(
        self,
        on: str,
        code: str = "INTERNAL_ERROR",
        message: str | None = None,
        *,
        times: int = 1,
        leaves_failed: bool = False,
    ) -> None:
        """Let the next operations be accepted, and be DONE with an error.

        Args:
            on: the method, such as ``instances.attachDisk``, or a pattern such as ``*.resize``.
            code: of ``error.errors``, such as ``QUOTA_EXCEEDED``.
            message: for humans; one that fits the code if None.
            times: how many operations.
            leaves_failed: what was to be made stays, and is FAILED, in the place of going away.
        """
        rule = FailureRule(on, errors.failure(code, message), times, leaves_failed)
        self._cloud.quirks.failures.append(rule)

    def hold_next(
        self,
        on: str,
        *,
        status: Literal["PENDING", "RUNNING"] = "RUNNING",
        seconds: float | None = None,
    ) -> None:
        """Let the next operation stay PENDING or RUNNING for long.

        Args:
            on: the method, such as ``disks.insert``, or a pattern.
            status: where it comes to a halt.
            seconds: how much longer it takes than usual; None: until `let_go`.
        """
        self._cloud.quirks.holds.append(Hold(on, status, seconds))

    def let_go(self, operation: str) -> None:
        """Let the operation with this id or name, which came to a halt, go on to its end."""
        with self._cloud.lock:
            self._cloud.runner.let_go(self._number(operation))
            self._cloud.agenda.settle()

    def late_detach(self, instance: str, device_name: str, *, seconds: float | None = None) -> str:
        """Begin to detach what has a device name, so slowly that a new attachment comes first.

        It is as if a client had asked for it, had lost patience, and had asked again. The operation
        stays PENDING, and anybody who lists operations sees it. In the end it takes away whatever
        has the device name then: the disk that was attached meanwhile, too.

        Args:
            instance: ``ZONE/NAME``.
            device_name: need not be that of a disk yet.
            seconds: how much longer it takes than usual; None: until `let_go`.

        Returns:
            The name of the operation.
        """
        cloud = self._cloud
        with cloud.lock:
            cloud.agenda.settle()
            found = instances.found(cloud, instance)
            job = attachments.detaching(cloud, found, device_name)
            return cloud.runner.begin(job, hold=Hold(job.action, "PENDING", seconds)).name

    def rip_out(self, instance: str, device_name: str) -> None:
        """Take a disk from an instance at once, without any request or operation."""
        cloud = self._cloud
        with cloud.lock:
            cloud.agenda.settle()
            found = instances.found(cloud, instance)
            attached = found.device(device_name)
            if attached is None:
                raise ValueError(f"no disk {device_name} on {instance}")
            cloud.unplug(found.path, attached.disk_id)

    def share_device_names(self) -> None:
        """Let instances take a second disk under a device name that another one has."""
        self._cloud.quirks.shares_device_names = True

    def find_conflicts_early(self) -> None:
        """Let the request be refused that attaches a disk which is used elsewhere.

        Otherwise it is accepted, and the operation fails. Compute Engine has been seen to do both.
        """
        self._cloud.quirks.finds_conflicts_early = True

    def take_names_only(self) -> None:
        """Let URLs in bodies, unlike those of requests, name resources by names, not by ids."""
        self._cloud.quirks.takes_names_only = True

    def hurry_waits(self, times: int = 1) -> None:
        """Let the next waits for operations return at once, as they do on a busy server."""
        self._cloud.quirks.short_waits = times

    def run_out_of_room(self, zone: str) -> None:
        """Let no disk be made in a zone: ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS."""
        self._cloud.quirks.stockouts.add(zone)

    def have_room(self, zone: str) -> None:
        """Let disks be made in a zone again."""
        self._cloud.quirks.stockouts.discard(zone)

    def limit_disks(self, most: int, *, at_once: bool = False) -> None:
        """Let there be at most ``most`` disks, boot disks not counted.

        Args:
            most: how many.
            at_once: the request is refused (403 quotaExceeded); otherwise it is accepted, and the
                operation fails (QUOTA_EXCEEDED).
        """
        self._cloud.quirks.quota = most
        self._cloud.quirks.is_quota_at_once = at_once

    def limit_attachments(self, instance: str, most: int) -> None:
        """Let an instance have at most ``most`` disks, its boot disk included."""
        with self._cloud.lock:
            found = instances.found(self._cloud, instance)
            self._cloud.quirks.most_disks[found.id] = most

    def limit_pending(self, instance: str, most: int) -> None:
        """Let an instance queue at most ``most`` operations; more are 403 rateLimitExceeded."""
        with self._cloud.lock:
            found = instances.found(self._cloud, instance)
            self._cloud.quirks.most_pending[found.id] = most

    def _number(self, operation: str) -> str:
        for one in self._cloud.operations.values():
            if operation in {one.id, one.name}:
                return one.id
        raise ValueError(f"no operation {operation}")
