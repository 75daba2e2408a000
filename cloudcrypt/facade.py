"""Both planes at once, for scripts on the VM that uses the disk: one call, one open disk.

    with encrypted_volume(provider, VolumeRequest("data", 10 * GIB), instance=instance,
                          keys=keys, ledger=ledger, journal=journal) as disk:
        disk.write(b"only this VM reads this")

Called again, after a crash too, it opens the same volume with the same content. It formats what the
journal proves to have been made, blank, for this very call, and the ledger has never seen; nothing
else, whatever the disk or the provider say.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, closing, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import attrs

from cloudcrypt.device import ROOT, locate
from cloudcrypt.errors import AlreadyRegistered, CloudcryptError, UnknownVolume, VolumeLost
from cloudcrypt.journal import Entry, Journal, SqliteJournal, State
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Ledger, Record
from cloudcrypt.ledger import State as Recorded
from cloudcrypt.mapper import Mapper, UserspaceMapper
from cloudcrypt.model import Blank, BlockDevice, KeyPolicy, Mode, Volume
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.provisioning import Provisioner, Report, Results, Step, VolumeRequest
from cloudcrypt.provisioning.many import CONCURRENCY, Tally, for_each
from cloudcrypt.provisioning.provisioner import by_name
from cloudcrypt.provisioning.view import View, subject_of_volume
from cloudcrypt.provisioning.wishes import subject_of_name
from cloudcrypt.spi import CreateVolume, DeleteVolume, VolumeProvider
from cloudcrypt.stage import Stage, Trust
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

_UNFORMATTED = (Recorded.NEW, Recorded.FORMATTING, Recorded.INITIALISING)


class Choices(TypedDict, total=False):
    """What a caller of `encrypted_volume` can choose; `encrypted_volumes` says what it means."""

    instance: Required[str]
    keys: Required[KeyService]
    ledger: Required[Ledger]
    journal: Journal | None
    mapper: Mapper[Any] | None
    mode: Mode
    policy: KeyPolicy
    trust: Trust | None
    detach: bool
    profiles: Mapping[KeyPolicy, Profile]
    root: Path
    clock: Clock
    deadline: Deadline | None


@contextmanager
def encrypted_volume(
    provider: VolumeProvider, request: VolumeRequest, **choices: Unpack[Choices]
) -> Generator[RawIOBase]:
    """Create, attach, format if new, and open a volume; close and detach it after the block.

    Idempotent: what exists is used as it is. A copy (``request.source``) gets its own identity
    first, for which the ledger has to know its origin. A failure to open leaves everything as it
    is, attached too; a crash within the block leaves a volume that the same call opens again.

    Args:
        provider: whom to ask for the volume.
        request: the volume.
        choices: as for `encrypted_volumes`.

    Yields:
        The payload as a raw binary file, writable; closed after the block.

    Raises:
        UnknownVolume: the ledger does not know the volume, and nothing proves that it is new.
        VolumeLost: the ledger knows a volume of this name, and the provider has it no more.
        AlreadyRegistered: the volume has the other mode.
        CloudcryptError: as `Provisioner.ensure_volume`, `Provisioner.ensure_attached`,
            `cloudcrypt.device.locate`, and the verbs of `Stage`.
    """
    with encrypted_volumes(provider, [request], concurrency=1, **choices) as opened:
        for error in opened.errors.values():
            raise error
        yield opened.values[request.name]


@contextmanager
def encrypted_volumes(
    provider: VolumeProvider,
    requests: Iterable[VolumeRequest],
    *,
    instance: str,
    keys: KeyService,
    ledger: Ledger,
    journal: Journal | None = None,
    mapper: Mapper[Any] | None = None,
    mode: Mode = Mode.CRYPT,
    policy: KeyPolicy = KeyPolicy.BOUND,
    trust: Trust | None = None,
    detach: bool = True,
    profiles: Mapping[KeyPolicy, Profile] = PROFILES,
    root: Path = ROOT,
    clock: Clock = SYSTEM_CLOCK,
    deadline: Deadline | None = None,
    concurrency: int = CONCURRENCY,
    progress: Callable[[Report], None] | None = None,
) -> Generator[Results[RawIOBase]]:
    """Do `encrypted_volume` for many volumes at once.

    Args:
        provider: whom to ask for the volumes.
        requests: the volumes, of different names.
        instance: this VM, as the provider calls it.
        keys: where data keys come from.
        ledger: the trust anchor of this node.
        journal: where operations are kept. Without one they end with this process: a volume that a
            crash leaves created and not yet recorded in the ledger is then unknown, for ever.
        mapper: how volumes become readable; in this process by default.
        mode: with integrity or without; a volume of the other mode is refused.
        policy: how the keyslot gets its passphrase.
        trust: for formatted volumes that the ledger does not know; see `Stage.open`.
        detach: whether to detach after the block.
        profiles: what is written and accepted under each policy.
        root: the folder that has ``dev`` and ``sys``; see `cloudcrypt.device.locate`.
        clock: the time, where there is no ``deadline``.
        deadline: until when to wait for the volumes to be there, each step 300 s by default.
        concurrency: how many are worked on at a time, at most; they are formatted and unlocked
            one after the other.
        progress: is told each step of each volume.

    Yields:
        The open payloads by name, and the errors of the volumes that could not be opened. All that
        are open are closed after the block.

    Raises:
        InvalidRequest: two requests have the same name; nothing was asked.
        CloudcryptError: a volume could not be closed or detached after the block; the others were.
    """
    wanted = by_name(requests)
    tally = Tally(wanted, progress)
    opened: dict[str, _Opened] = {}
    with ExitStack() as parts:
        if journal is None:
            journal = parts.enter_context(closing(SqliteJournal.in_memory()))
        host = _Host(
            Provisioner(provider, journal, clock=clock),
            Stage(ledger, keys, mapper or UserspaceMapper(), profiles=profiles),
            ledger,
            instance,
            mode,
            policy,
            trust,
            root,
            clock,
            deadline,
        )

        def open_one(name: str) -> RawIOBase:
            opened[name] = host.open(wanted[name], lambda step: tally.reached(name, step))
            return opened[name].payload

        try:
            yield for_each(wanted, open_one, concurrency=concurrency, tally=tally)
        finally:
            closed = for_each(
                opened,
                lambda name: host.close(opened[name], detach=detach),
                concurrency=concurrency,
            )
            _raise_first(closed.errors)


def _raise_first(errors: Mapping[str, CloudcryptError]) -> None:
    """Raise the first of ``errors``, with the others as notes; none is nothing to raise."""
    for error in errors.values():
        for name, other in errors.items():
            if other is not error:
                error.add_note(f"and for {name}: {other}")
        raise error


@attrs.frozen
class _Opened:
    """A volume that is open."""

    volume_id: str
    payload: RawIOBase


@attrs.frozen
class _Host:
    """This VM: the verbs of both planes, and what the caller chose for all its volumes."""

    provisioner: Provisioner
    stage: Stage[Any]
    ledger: Ledger
    instance: str
    mode: Mode
    policy: KeyPolicy
    trust: Trust | None
    root: Path
    clock: Clock
    deadline: Deadline | None

    def open(self, request: VolumeRequest, reached: Callable[[Step], None]) -> _Opened:
        """Do what is left to do until the volume is open."""
        reached(Step.CREATING)
        self._refuse_loss(request.name)
        volume = self.provisioner.ensure_volume(request, deadline=self.deadline)
        reached(Step.ATTACHING)
        attachment = self.provisioner.ensure_attached(
            volume.id, self.instance, deadline=self.deadline
        )
        device = locate(attachment, root=self.root, deadline=self._until())
        self._prepare(volume, device, reached)
        reached(Step.OPENING)
        mapping = self.stage.open(device, policy=self.policy, trust=self.trust)
        return _Opened(volume.id, mapping.open())

    def close(self, opened: _Opened, *, detach: bool) -> None:
        """Close the volume, and detach it if that succeeded and is wanted."""
        try:
            opened.payload.close()
        finally:
            self.stage.close(opened.volume_id)
        if detach:
            self.provisioner.ensure_detached(opened.volume_id, self.instance)

    def _prepare(
        self, volume: Volume, device: BlockDevice, reached: Callable[[Step], None]
    ) -> None:
        """Format or rebind the volume, if the ledger says so or the journal proves that it is new.

        Raises:
            UnknownVolume: neither does.
        """
        record = self._agreed(self.ledger.get(volume.id))
        creation = self._blank_creation(volume.id)
        is_blank = isinstance(volume.origin, Blank)
        if record is None and is_blank and creation is not None:
            record = self.stage.register_new(
                volume.id, capacity=device.size, mode=self.mode, policy=self.policy
            )
        if record is None and is_blank and self.trust is None:
            raise UnknownVolume(volume.id)
        if record is not None and creation is not None:  # a proof is good for once
            self._journal.replace(creation, attrs.evolve(creation, blank=False))
        if record is not None and record.state in _UNFORMATTED:
            reached(Step.FORMATTING)
            self.stage.format(device)
        is_foreign = self.trust is None if record is None else record.state is Recorded.REBINDING
        if not isinstance(volume.origin, Blank) and is_foreign:
            reached(Step.FORMATTING)
            record = self.stage.rebind(device, volume.origin)
            self._agreed(record)

    def _agreed(self, record: Record | None) -> Record | None:
        """Return ``record`` if it agrees with the mode that the caller chose.

        Raises:
            AlreadyRegistered: it has the other mode.
        """
        if record is not None and record.mode is not self.mode:
            raise AlreadyRegistered(record.volume_id, ("mode",))
        return record

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
        view = View(self.provisioner.provider, self._journal, self._until())
        made = view.newest(subject_of_name(name), CreateVolume, State.DONE)
        if made is None or made.outcome is None or self.ledger.get(made.outcome) is None:
            return
        found = view.volume_named(name, made)
        if found is not None and found.id == made.outcome:
            return
        if view.newest(subject_of_volume(made.outcome), DeleteVolume, State.DONE) is None:
            raise VolumeLost(made.outcome, name)

    def _until(self) -> Deadline:
        return Deadline.after(clock=self.clock) if self.deadline is None else self.deadline

    @property
    def _journal(self) -> Journal:
        return self.provisioner.journal
