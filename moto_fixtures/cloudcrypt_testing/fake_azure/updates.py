"""Updates of virtual machines: what they do to the list of disks, and when it is done."""

from functools import partial

import attrs

from cloudcrypt_testing.fake_azure import errors, names
from cloudcrypt_testing.fake_azure.cloud import Cloud
from cloudcrypt_testing.fake_azure.errors import ArmError, Failure
from cloudcrypt_testing.fake_azure.records import DataDisk, Machine, Operation
from cloudcrypt_testing.fake_azure.runner import MACHINE_OPERATIONS, Job


@attrs.frozen
class Leaving:
    """One disk that is to be taken from a virtual machine."""

    disk: DataDisk
    is_forced: bool = False


@attrs.frozen
class Change:
    """What one update does to the list of disks."""

    attach: tuple[DataDisk, ...] = ()
    detach: tuple[Leaving, ...] = ()
    edit: tuple[DataDisk, ...] = ()
    """Disks that stay, in another way."""
    tags: dict[str, str] | None = None


def claim(cloud: Cloud, machine: Machine) -> Machine:
    """Return a virtual machine to which something can be done now.

    Raises:
        ArmError: something else is being done to it.
    """
    running = cloud.runner.running(machine.text)
    if running is None:
        return machine
    if not cloud.quirks.is_preempting:
        raise _busy(cloud, machine)
    cloud.runner.preempt(running.id)
    return cloud.machines[machine.text]


def begin(
    cloud: Cloud, machine: Machine, action: str, change: Change, failure: Failure | None = None
) -> Operation:
    """Begin an update that has been found to be right; ``failure`` is known to come."""
    for one in change.attach:
        machine = machine.with_disk(one)
        if failure is None:
            _hold(cloud, machine, one)
    for leaving in change.detach:
        machine = machine.with_disk(attrs.evolve(leaving.disk, is_going=True))
    cloud.put_machine(attrs.evolve(machine, state="Updating"))
    timings = cloud.timings
    job = Job(
        action,
        MACHINE_OPERATIONS,
        machine.location,
        machine.text,
        timings.attach if change.attach else timings.detach,
        partial(_finish, cloud, machine.text, change),
        partial(_undo, cloud, machine.text, change),
        failure,
    )
    return cloud.runner.begin(job)


def attach_now(cloud: Cloud, machine: Machine, disk: DataDisk) -> None:
    """Attach a disk at once, without an operation."""
    machine = cloud.put_machine(machine.with_disk(attrs.evolve(disk, is_there=True)))
    _hold(cloud, machine, disk)
    plug(cloud, machine.text, disk.unique_id)


def remove(cloud: Cloud, text: str, unique_id: str) -> None:
    """Take a disk from a virtual machine at once."""
    machine = cloud.machines[text]
    cloud.node(machine).detach(unique_id)
    cloud.put_machine(machine.without_disk(unique_id))
    _release(cloud, machine, unique_id)


def plug(cloud: Cloud, text: str, unique_id: str) -> None:
    """Show a disk on the host of a virtual machine, if it is attached and the machine runs."""
    machine = cloud.machines.get(text)
    one = machine.disk(unique_id) if machine is not None else None
    if machine is None or one is None or not one.is_there or machine.is_deallocated:
        return
    backing = cloud.backing.path(unique_id)
    cloud.node(machine).attach(unique_id, one.lun, one.name, backing)


def _busy(cloud: Cloud, machine: Machine) -> ArmError:
    if cloud.quirks.busy_code == "OperationNotAllowed":
        return errors.not_allowed(
            f"Operation 'Update VM' is not allowed on VM '{machine.name}' since another operation "
            "is in progress."
        )
    message = errors.busy(machine.name).message
    return ArmError(409, cloud.quirks.busy_code, message)


def _finish(cloud: Cloud, text: str, change: Change) -> None:
    for leaving in change.detach:
        _finish_detaching(cloud, text, leaving)
    machine = cloud.machines[text]
    for one in change.edit:
        if machine.disk(one.unique_id) is not None:  # nobody took it away meanwhile
            machine = machine.with_disk(one)
    coming = [one for one in machine.data_disks if _is_to_come(cloud, machine, one)]
    for one in coming:
        machine = machine.with_disk(attrs.evolve(one, is_there=True))
    tags = machine.tags if change.tags is None else change.tags
    cloud.quirks.stubborn.discard(text)
    cloud.put_machine(attrs.evolve(machine, state="Succeeded", tags=tags))
    for one in coming:
        later = partial(plug, cloud, text, one.unique_id)
        cloud.agenda.later(cloud.timings.appear, later)


def _is_to_come(cloud: Cloud, machine: Machine, one: DataDisk) -> bool:
    """Say whether an update attaches a disk of the list: a new one, or one that failed before."""
    is_held = cloud.holder_id(machine) in cloud.disks[one.unique_id].holders
    return is_held and not one.is_there and not one.is_going


def _finish_detaching(cloud: Cloud, text: str, leaving: Leaving) -> None:
    unique_id = leaving.disk.unique_id
    if unique_id in cloud.quirks.lingering and not leaving.is_forced:
        return
    cloud.quirks.lingering.discard(unique_id)
    if cloud.machines[text].disk(unique_id) is not None:
        remove(cloud, text, unique_id)


def _undo(cloud: Cloud, text: str, change: Change, *, leaves_failed: bool) -> None:
    if not leaves_failed:
        for one in change.attach:
            machine = cloud.machines[text]
            cloud.put_machine(machine.without_disk(one.unique_id))
            _release(cloud, machine, one.unique_id)
        for leaving in change.detach:
            machine = cloud.machines[text]
            if machine.disk(leaving.disk.unique_id) is not None:
                cloud.put_machine(machine.with_disk(leaving.disk))
    cloud.put_machine(attrs.evolve(cloud.machines[text], state="Failed"))


def _hold(cloud: Cloud, machine: Machine, one: DataDisk) -> None:
    disk = cloud.disks[one.unique_id]
    holders = (*disk.holders, cloud.holder_id(machine))
    is_reserved = machine.is_deallocated
    cloud.put(attrs.evolve(disk, holders=holders, is_reserved=is_reserved, owned=cloud.agenda.time))


def _release(cloud: Cloud, machine: Machine, unique_id: str) -> None:
    disk = cloud.disks.get(unique_id)
    if disk is not None:
        holder = cloud.holder_id(machine)
        holders = tuple(one for one in disk.holders if not names.same(one, holder))
        if holders != disk.holders:
            cloud.put(attrs.evolve(disk, holders=holders, owned=cloud.agenda.time))
