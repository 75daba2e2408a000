"""This VM: the control plane and the node plane together, up to a device that can be opened."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from cloudcrypt.device import locate
from cloudcrypt.errors import CloudcryptError, VolumeLost
from cloudcrypt.facade.node import Node
from cloudcrypt.journal import Entry, Journal, SqliteJournal, State
from cloudcrypt.ledger import Ledger
from cloudcrypt.model import Blank, BlockDevice, Volume
from cloudcrypt.provisioning import Provisioner, Report, Results, Step, VolumeRequest
from cloudcrypt.provisioning.many import Tally, for_each
from cloudcrypt.provisioning.provisioner import by_name
from cloudcrypt.provisioning.view import View, subject_of_volume
from cloudcrypt.provisioning.wishes import subject_of_name
from cloudcrypt.spi import CreateVolume, DeleteVolume, VolumeProvider
from cloudcrypt.waiting import Clock, Deadline

T = TypeVar("T")
Told = Callable[[Step], None]
"""Is told which step a volume has reached."""


@attrs.frozen
class Use(Generic[T]):
    """A volume that is in use: as what, and how that ends."""

    value: T
    end: Callable[[], None]


@attrs.frozen
class Host:
    """The verbs of both planes, and what the caller chose for all volumes."""

    provisioner: Provisioner
    node: Node
    instance: str
    root: Path
    clock: Clock
    deadline: Deadline | None

    def prepared(self, request: VolumeRequest, reached: Told) -> tuple[Volume, BlockDevice]:
        """Do what is left to do until the volume can be opened; return it and its device.

        Raises:
            UnknownVolume: the ledger does not know the volume, and nothing proves that it is new.
            VolumeLost: the ledger knows a volume of this name, and the provider has it no more.
            AlreadyRegistered: the volume has the other mode.
        """
        reached(Step.CREATING)
        self._refuse_loss(request.name)
        volume = self.provisioner.ensure_volume(request, deadline=self.deadline)
        reached(Step.ATTACHING)
        attachment = self.provisioner.ensure_attached(
            volume.id, self.instance, deadline=self.deadline
        )
        device = locate(attachment, root=self.root, deadline=self.until())
        self._register_if_new(volume, device)
        self.node.prepare(device, volume.origin, writing=lambda: reached(Step.FORMATTING))
        return volume, device

    def detach(self, volume_id: str) -> None:
        """Detach a volume that was closed."""
        self.provisioner.ensure_detached(volume_id, self.instance)

    def until(self) -> Deadline:
        """Return the caller's deadline, or that of one step."""
        return Deadline.after(clock=self.clock) if self.deadline is None else self.deadline

    def view(self) -> View:
        """Return the provider and the journal as they are seen now."""
        return View(self.provisioner.provider, self._journal, self.until())

    def _register_if_new(self, volume: Volume, device: BlockDevice) -> None:
        """Register the volume if the journal proves that it is new; that proof is good for once."""
        record = self.node.record(volume.id)
        creation = self._blank_creation(volume.id)
        if record is None and creation is not None and isinstance(volume.origin, Blank):
            record = self.node.register(device)
        if record is not None and creation is not None:
            self._journal.replace(creation, attrs.evolve(creation, blank=False))

    def _blank_creation(self, volume_id: str) -> Entry | None:
        """Return the entry that proves the volume to be new and blank, if there is one."""
        made = self._journal.entries(
            namespace=self.provisioner.provider.namespace,
            operation=CreateVolume.__name__,
            outcome=volume_id,
            states=[State.DONE],
        )
        return next((entry for entry in made if entry.blank), None)

    def _refuse_loss(self, name: str) -> None:
        """Return unless the name belongs to a volume of the ledger that is gone.

        An empty volume in its place would pass for one whose content was erased. One that was
        deleted through this journal is meant to be gone.

        Raises:
            VolumeLost: it does.
        """
        view = self.view()
        made = view.newest(subject_of_name(name), CreateVolume, State.DONE)
        if made is None or made.outcome is None or self._ledger.get(made.outcome) is None:
            return
        found = view.volume_named(name, made)
        if found is not None and found.id == made.outcome:
            return
        if view.newest(subject_of_volume(made.outcome), DeleteVolume, State.DONE) is None:
            raise VolumeLost(made.outcome, name)

    @property
    def _journal(self) -> Journal:
        return self.provisioner.journal

    @property
    def _ledger(self) -> Ledger:
        return self.node.ledger


@contextmanager
def host_with(
    provider: VolumeProvider,
    journal: Journal | None,
    node: Node,
    *,
    instance: str,
    root: Path,
    clock: Clock,
    deadline: Deadline | None,
) -> Generator[Host]:
    """Yield this VM; without a journal, one in memory lasts as long as the block."""
    if journal is None:
        with closing(SqliteJournal.in_memory()) as kept:
            yield Host(
                Provisioner(provider, kept, clock=clock), node, instance, root, clock, deadline
            )
        return
    yield Host(Provisioner(provider, journal, clock=clock), node, instance, root, clock, deadline)


@contextmanager
def all_in_use(
    requests: Iterable[VolumeRequest],
    begin: Callable[[VolumeRequest, Told], Use[T]],
    *,
    concurrency: int,
    progress: Callable[[Report], None] | None,
) -> Generator[Results[T]]:
    """Begin to use many volumes at once; yield the uses that began; end them after the block.

    Raises:
        InvalidRequest: two requests have the same name; nothing was begun.
        CloudcryptError: a use could not be ended; the others were.
    """
    wanted = by_name(requests)
    tally = Tally(wanted, progress)
    in_use: dict[str, Use[T]] = {}

    def begin_one(name: str) -> T:
        in_use[name] = begin(wanted[name], partial(tally.reached, name))
        return in_use[name].value

    try:
        yield for_each(wanted, begin_one, concurrency=concurrency, tally=tally)
    finally:
        ended = for_each(in_use, lambda name: in_use[name].end(), concurrency=concurrency)
        _raise_first(ended.errors)


def only(results: Results[T]) -> T:
    """Return the one value of results, or raise the one error."""
    for error in results.errors.values():
        raise error
    (value,) = results.values.values()
    return value


def _raise_first(errors: Mapping[str, CloudcryptError]) -> None:
    """Raise the first of ``errors``, with the others as notes; none is nothing to raise."""
    for error in errors.values():
        for name, other in errors.items():
            if other is not error:
                error.add_note(f"and for {name}: {other}")
        raise error
