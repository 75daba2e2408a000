"""The state of the fake compute API: its records, their past, and what is due."""

import itertools
import shutil
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import attrs

from cloudcrypt_testing.fake_gce import errors
from cloudcrypt_testing.fake_gce.devices import GoogleNode
from cloudcrypt_testing.fake_gce.names import Site, is_id
from cloudcrypt_testing.fake_gce.quirks import Quirks
from cloudcrypt_testing.fake_gce.records import AttachedDisk, Disk, Instance, Operation, Snapshot
from cloudcrypt_testing.fake_gce.render import Renderer
from cloudcrypt_testing.fake_gce.runner import Runner
from cloudcrypt_testing.world.agenda import Agenda
from cloudcrypt_testing.world.backing import Backing
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.forking import ForkLock

GIB: Final = 1024**3
_MEMORY: Final = 32  # changing requests that a stale read can go back

Record = TypeVar("Record", Disk, Snapshot, Instance, Operation)


@attrs.frozen
class Timings:
    """Seconds that operations take, from the request to DONE.

    0 means that one is DONE when the next request arrives.
    """

    queue: float = 0.5
    """For how much of its time every operation is PENDING, at most."""
    create: float = 2.5
    """The insert of a disk, blank or not."""
    delete: float = 2.5
    """Of a disk or snapshot."""
    attach: float = 2.5
    """attachDisk."""
    appear: float = 0.0
    """From the end of attachDisk to the device on the host."""
    detach: float = 2.5
    """detachDisk."""
    resize: float = 3.0
    """resize."""
    update: float = 3.0
    """update: performance, or a size."""
    labels: float = 1.0
    """setLabels."""
    snapshot: float = 30.0
    """createSnapshot, and the insert of a snapshot."""
    upload: float = 0.0
    """From the end of the operation that makes a snapshot to READY."""


@attrs.frozen
class View:
    """The world at one moment, each record by its id."""

    disks: Mapping[str, Disk]
    snapshots: Mapping[str, Snapshot]
    instances: Mapping[str, Instance]
    operations: Mapping[str, Operation]


class Cloud:
    """The fake compute API of one project; `lock` is held by whoever looks or changes."""

    def __init__(self, folder: Path, clock: FakeClock, timings: Timings, site: Site) -> None:
        """Begin empty, with all files below ``folder``."""
        self.lock = ForkLock()
        self.clock = clock
        self.timings = timings
        self.site = site
        self.agenda = Agenda(clock)
        self.backing = Backing(folder / "backing")
        self.quirks = Quirks()
        self.render = Renderer(site)
        self.disks: dict[str, Disk] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.instances: dict[str, Instance] = {}
        self.runner = Runner(self.agenda, self.quirks, timings.queue)
        self.operations = self.runner.operations
        self.numbers = itertools.count(1)
        """Of instances for which nobody chose a name."""
        self._folder = folder
        self._nodes: dict[str, GoogleNode] = {}
        self._past: deque[View] = deque(maxlen=_MEMORY)

    def present(self) -> View:
        """Return the world as it is now, which stays as it is."""
        return View(
            dict(self.disks), dict(self.snapshots), dict(self.instances), dict(self.operations)
        )

    def remember(self, before: View) -> None:
        """Keep the world ``before`` a changing request for stale reads, if it has changed."""
        if before != self.view():
            self._past.append(before)

    def view(self, changes: int = 0) -> View:
        """Return the world as it was before the last ``changes`` changing requests."""
        if changes == 0 or not self._past:
            return View(self.disks, self.snapshots, self.instances, self.operations)
        return self._past[-min(changes, len(self._past))]

    def put(self, disk: Disk) -> Disk:
        """Take ``disk`` in, new or in the place of its former state, and return it."""
        self.disks[disk.id] = disk
        return disk

    def bury(self, disk_id: str) -> None:
        """Let a disk, its bytes and its devices be gone."""
        disk = self.disks.pop(disk_id)
        for path in disk.users:
            self.unplug(path, disk_id)
        self.backing.remove(disk_id)

    def path(self, field: str, url: str) -> str:
        """Return the path within the project of what the URL in a field of a body names."""
        path = self.site.path(field, url)
        if self.quirks.takes_names_only and is_id(path.rpartition("/")[2]):
            raise errors.invalid(field, url, "The URL is malformed.")
        return path

    def instance_at(self, path: str) -> Instance | None:
        """Return the instance whose path within the project is ``path``."""
        scope, _, name = path.rpartition("/instances/")
        return named(self.instances, scope, name)

    def most_disks(self, instance: Instance) -> int:
        """Return how many disks an instance can have, its boot disk included."""
        return self.quirks.most_disks.get(instance.id, instance.machine.most_disks)

    def node(self, instance: Instance) -> GoogleNode:
        """Return the host of an instance."""
        node = self._nodes.get(instance.id)
        if node is None:
            node = GoogleNode(self.node_folder(instance.text), is_nvme=instance.is_nvme)
            self._nodes[instance.id] = node
        return node

    def forget_node(self, instance: Instance) -> None:
        """Let the host of an instance be gone. Idempotent."""
        self._nodes.pop(instance.id, None)
        shutil.rmtree(self.node_folder(instance.text), ignore_errors=True)

    def node_folder(self, text: str) -> Path:
        """Return the folder that looks like the host of the instance ``ZONE/NAME``."""
        return self._folder / "nodes" / text

    def plug(self, path: str, disk_id: str, device_name: str) -> None:
        """Show a disk on the host of an instance, if it still is attached to it."""
        instance = self.instance_at(path)
        attached = instance.disk(disk_id) if instance is not None else None
        if instance is None or attached is None or attached.device_name != device_name:
            return
        self.node(instance).attach(disk_id, device_name, self.backing.path(disk_id))

    def unplug(self, path: str, disk_id: str) -> AttachedDisk | None:
        """Take a disk from an instance, and return what was there. Idempotent."""
        instance = self.instance_at(path)
        attached = instance.disk(disk_id) if instance is not None else None
        if instance is None or attached is None:
            return None
        rest = tuple(one for one in instance.disks if one is not attached)
        self.instances[instance.id] = attrs.evolve(instance, disks=rest)
        self.node(instance).detach(disk_id)
        disk = self.disks.get(disk_id)
        if disk is not None:
            users = tuple(user for user in disk.users if user != path)
            self.put(attrs.evolve(disk, users=users, last_detached=self.agenda.time))
        return attached


def named(table: Mapping[str, Record], scope: str, name: str) -> Record | None:
    """Return the record in ``scope`` with this name, or with this id; None if there is none."""
    if is_id(name):
        found = table.get(name)
        return found if found is not None and found.scope == scope else None
    return next((one for one in table.values() if one.name == name and one.scope == scope), None)
