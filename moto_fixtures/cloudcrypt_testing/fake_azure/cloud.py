"""The state of the fake Azure: its records, their past, what is due, and the settings of a test."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from cloudcrypt_testing.fake_azure import kinds
from cloudcrypt_testing.fake_azure.devices import AzureNode
from cloudcrypt_testing.fake_azure.limits import MachineLimits
from cloudcrypt_testing.fake_azure.names import Site, same
from cloudcrypt_testing.fake_azure.quirks import Quirks
from cloudcrypt_testing.fake_azure.records import Disk, Machine, Operation, Snapshot
from cloudcrypt_testing.fake_azure.runner import Runner
from cloudcrypt_testing.world.agenda import Agenda
from cloudcrypt_testing.world.backing import Backing
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.forking import ForkLock

GIB: Final = 1024**3
_MEMORY: Final = 32  # changing requests that a stale read can go back


@attrs.frozen
class Timings:
    """Seconds that Azure takes; 0 means that it is done when the next request arrives."""

    create: float = 2.0
    """Of a new disk."""
    delete: float = 2.0
    """Of a disk or snapshot to be gone."""
    attach: float = 10.0
    """Of an update of a virtual machine that attaches disks."""
    appear: float = 0.0
    """From attached to the device on the host."""
    detach: float = 10.0
    """Of an update of a virtual machine that detaches disks, or does nothing to them."""
    resize: float = 3.0
    """Of a new size."""
    update: float = 3.0
    """Of other properties of a disk or snapshot."""
    snapshot: float = 5.0
    """Of a new snapshot."""
    copy: float = 60.0
    """Of the copy in the background, where there is one: of Ultra and Premium v2."""
    retry_after: int = 0
    """What answers about operations that are not over say in Retry-After."""


@attrs.frozen
class View:
    """The world at one moment, each record by its unique id or text."""

    disks: Mapping[str, Disk]
    snapshots: Mapping[str, Snapshot]
    machines: Mapping[str, Machine]
    operations: Mapping[str, Operation]


class Cloud:
    """The fake Azure of one subscription; `lock` is held by whoever looks or changes."""

    def __init__(self, folder: Path, clock: FakeClock, timings: Timings, site: Site) -> None:
        """Begin with one empty resource group, with all files below ``folder``."""
        self.lock = ForkLock()
        self.clock = clock
        self.timings = timings
        self.site = site
        self.agenda = Agenda(clock)
        self.backing = Backing(folder / "backing")
        self.quirks = Quirks()
        self.runner = Runner(self.agenda, self.quirks)
        self.operations = self.runner.operations
        self.groups = [site.group]
        self.limits = MachineLimits()
        self.encryption_sets: set[str] = set()
        """Ids, in lower case."""
        self.disks: dict[str, Disk] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.machines: dict[str, Machine] = {}
        self._folder = folder
        self._nodes: dict[str, AzureNode] = {}
        self._past: deque[View] = deque(maxlen=_MEMORY)

    def present(self) -> View:
        """Return the world as it is now, which stays as it is."""
        return View(
            dict(self.disks), dict(self.snapshots), dict(self.machines), dict(self.operations)
        )

    def remember(self, before: View) -> None:
        """Keep the world ``before`` a changing request for stale reads, if it has changed."""
        if before != self.view():
            self._past.append(before)

    def view(self, changes: int = 0) -> View:
        """Return the world as it was before the last ``changes`` changing requests."""
        if changes == 0 or not self._past:
            return View(self.disks, self.snapshots, self.machines, self.operations)
        return self._past[-min(changes, len(self._past))]

    def put(self, disk: Disk) -> Disk:
        """Take ``disk`` in, new or in the place of its former state, and return it."""
        self.disks[disk.unique_id] = disk
        return disk

    def put_machine(self, machine: Machine) -> Machine:
        """Take a virtual machine in, with a new ETag, and return it."""
        changed = attrs.evolve(machine, revision=machine.revision + 1)
        self.machines[machine.text] = changed
        return changed

    def bury(self, unique_id: str) -> None:
        """Let a disk and its bytes be gone."""
        del self.disks[unique_id]
        self.backing.remove(unique_id)

    def holder_id(self, machine: Machine) -> str:
        """Return the id of a virtual machine, as its disks say who has them.

        An instance of a scale set has its name in the place of its number there.
        """
        return self.machine_id(machine, machine.group, by_name=True)

    def machine_id(self, machine: Machine, group: str, *, by_name: bool = False) -> str:
        """Return the id of a virtual machine, with its group as it is spelt in ``group``."""
        if machine.scale_set is None:
            return self.site.path(group, "virtualMachines", machine.name)
        scale_set = self.site.path(group, "virtualMachineScaleSets", machine.scale_set)
        name = f"{machine.scale_set}_{machine.name}" if by_name else machine.name
        return f"{scale_set}/virtualMachines/{name}"

    def machine_of(self, holder_id: str) -> Machine | None:
        """Return the virtual machine that a disk says has it."""
        for machine in self.machines.values():
            if same(self.holder_id(machine), holder_id):
                return machine
        return None

    def most_disks(self, machine: Machine) -> int:
        """Return how many data disks a virtual machine can have."""
        return self.quirks.most_disks.get(
            machine.text, kinds.SIZES[machine.size.lower()].most_disks
        )

    def node(self, machine: Machine) -> AzureNode:
        """Return the host of a virtual machine."""
        node = self._nodes.get(machine.text)
        if node is None:
            node = AzureNode(self.node_folder(machine.text), is_nvme=machine.is_nvme)
            self._nodes[machine.text] = node
        return node

    def node_folder(self, text: str) -> Path:
        """Return the folder that looks like the host of a virtual machine."""
        return self._folder / "nodes" / text
