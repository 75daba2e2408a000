"""Encrypted volumes as open files: `encrypted_volume`, and many at once."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from cloudcrypt.device import ROOT
from cloudcrypt.facade.host import Told, Use, all_in_use, host_with, only
from cloudcrypt.facade.node import Node
from cloudcrypt.journal import Journal
from cloudcrypt.keys import KeyService
from cloudcrypt.ledger import Ledger
from cloudcrypt.mapper import Mapper, UserspaceMapper
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt.provisioning import Report, Results, Step, VolumeRequest
from cloudcrypt.provisioning.many import CONCURRENCY
from cloudcrypt.spi import VolumeProvider
from cloudcrypt.stage import Stage, Trust
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline


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
        yield only(opened)


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
        mapper: how volumes become readable; in this process by default. With `KernelMapper` the
            kernel encrypts, and the payload is a block device meanwhile.
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
    mapper = UserspaceMapper() if mapper is None else mapper
    stage = Stage(ledger, keys, mapper, profiles=profiles)
    node = Node(stage, mapper, ledger, mode, policy, trust)
    with host_with(
        provider, journal, node, instance=instance, root=root, clock=clock, deadline=deadline
    ) as host:

        def begin(request: VolumeRequest, reached: Told) -> Use[RawIOBase]:
            volume, device = host.prepared(request, reached)
            reached(Step.OPENING)
            payload = node.open(device, raw=True).open()

            def end() -> None:
                try:
                    payload.close()
                finally:
                    stage.close(volume.id)
                if detach:
                    host.detach(volume.id)

            return Use(payload, end)

        with all_in_use(requests, begin, concurrency=concurrency, progress=progress) as opened:
            yield opened
