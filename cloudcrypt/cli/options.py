"""Options that several commands share, and the stage that they describe."""

import functools
import resource
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import click

from cloudcrypt.cli.output import json_option
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import (
    GENERATION_MAX,
    BlockDevice,
    Expectation,
    KeyPolicy,
    Mode,
    check_volume_id,
)
from cloudcrypt.stage import Stage

GENERATION = click.IntRange(min=1, max=GENERATION_MAX)
"""A key generation."""

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def compose(*options: Decorator) -> Decorator:
    """Return the decorator that gives a command all of these, as if they stood one on another."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_LEDGER_HELP = """Keep here, off the disk, what is known of volumes. Guards against a disk that was
rolled back or blanked, and lets an interrupted format be finished. Without it, the options are all
that is known."""


def ledger_option(*, required: bool) -> Decorator:
    """Return the option --ledger."""
    return click.option(
        "--ledger",
        "ledger_path",
        required=required,
        envvar="CLOUDCRYPT_LEDGER",
        show_envvar=True,
        metavar="FILE",
        help=_LEDGER_HELP,
    )


policy_option = click.option(
    "--policy",
    type=click.Choice([policy.value for policy in KeyPolicy]),
    default=KeyPolicy.BOUND.value,
    show_default=True,
    help="bound: sealed, for this volume id. constellation: as Constellation writes and reads.",
)

journal_sections_option = click.option(
    "--journal-sections",
    type=click.IntRange(min=1),
    help="Of a volume with integrity that has grown; by default the ledger's, or computed.",
)

volume_id_option = click.option("--volume-id", required=True, help="What the volume is known as.")

master_secret_option = click.option(
    "--master-secret",
    "master_secret_path",
    required=True,
    metavar="FILE",
    help='File with {"key": BASE64, "salt": BASE64} or a kms://cluster-kms URI.',
)


@attrs.frozen
class Known:
    """What the caller says of a volume on the command line."""

    volume_id: str
    policy: KeyPolicy
    mode: Mode
    generation: int | None
    journal_sections: int | None

    @property
    def expectation(self) -> Expectation:
        """What the header must be if the ledger does not know the volume."""
        generation = 1 if self.generation is None else self.generation
        return Expectation(self.mode, generation, journal_sections=self.journal_sections)


@attrs.frozen
class Node:
    """The node plane for one command on one image."""

    known: Known
    device: BlockDevice
    ledger: SqliteLedger
    is_kept: bool
    stage: Stage[UserspaceMapping]

    @property
    def trust(self) -> Expectation:
        """What the caller vouches for; where the options are silent, what the ledger says."""
        record = self.ledger.get(self.known.volume_id)
        if record is None or self.known.generation is not None:
            return self.known.expectation
        return attrs.evolve(self.known.expectation, generation=record.generation)


def image_command(*, creates: bool = False) -> Decorator:
    """Give a command IMAGE, what the caller knows of it, ledger and master secret, as a `Node`.

    The command gets the node as its first argument, and its own options by name. One that
    ``creates`` a volume may start a ledger, and takes no generation: it begins with the first.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(
            *,
            image: Path,
            volume_id: str,
            master_secret_path: str,
            policy: str,
            integrity: bool,
            ledger_path: str | None,
            generation: int | None = None,
            journal_sections: int | None = None,
            **own: object,
        ) -> None:
            known = Known(
                check_volume_id(volume_id),
                KeyPolicy(policy),
                Mode.INTEGRITY if integrity else Mode.CRYPT,
                generation,
                journal_sections,
            )
            if known.policy is KeyPolicy.CONSTELLATION and generation is not None:
                rule = "absent: volumes of policy constellation have no generations"
                raise InvalidRequest("--generation", generation, rule)
            ledger = None if ledger_path is None else open_ledger(ledger_path, creates=creates)
            with node(known, image, master_secret_path, ledger) as here:
                command(here, **own)

        return compose(*_common_options(creates=creates))(run)

    return decorate


def _common_options(*, creates: bool) -> list[Decorator]:
    generation = click.option(
        "--generation",
        type=GENERATION,
        help="Key generation the header must have; by default the ledger's, else 1.",
    )
    return [
        click.argument("image", type=click.Path(path_type=Path, readable=False)),
        volume_id_option,
        master_secret_option,
        policy_option,
        click.option("--integrity", is_flag=True, help="The volume has integrity."),
        *([] if creates else [generation, journal_sections_option]),
        ledger_option(required=False),
        json_option,
    ]


def open_ledger(path: str, *, creates: bool = False) -> SqliteLedger:
    """Open the ledger at ``path``; only a command that creates a volume may start one.

    Raises:
        InvalidRequest: there is none.
    """
    if not creates and not Path(path).is_file():
        rule = "a ledger that exists; 'luks format' starts one"
        raise InvalidRequest("--ledger", path, rule)
    return SqliteLedger(path)


@contextmanager
def node(
    known: Known, image: Path, master_secret_path: str, kept: SqliteLedger | None
) -> Generator[Node]:
    """Yield the node plane for one image; the master secret is wiped afterwards."""
    with (
        closing(kept or SqliteLedger.in_memory()) as ledger,
        master_secret(master_secret_path) as secret,
    ):
        with FileDisk(image) as disk:
            device = BlockDevice(known.volume_id, image, disk.size, disk.identity)
        stage = Stage(ledger, MasterSecretKeyService(secret), UserspaceMapper())
        yield Node(known, device, ledger, kept is not None, stage)


@contextmanager
def master_secret(path: str) -> Generator[MasterSecret]:
    """Yield the master secret of a file; no core file will hold it, and it is wiped afterwards."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    secret = MasterSecret.from_file(path)
    try:
        yield secret
    finally:
        secret.wipe()
