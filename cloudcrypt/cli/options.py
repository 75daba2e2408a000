"""Options that several commands share, and the stage that they describe."""

import functools
import resource
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import attrs
import click

from cloudcrypt.cli.output import json_option
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.keys import KeyService, LocalKeyService, MasterSecret, open_key_service
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

keys_options = compose(
    click.option(
        "--master-secret",
        "master_secret_path",
        metavar="FILE",
        help='File with {"key": BASE64, "salt": BASE64} or a kms://cluster-kms URI.',
    ),
    click.option(
        "--key-service",
        "key_service_url",
        envvar="CLOUDCRYPT_KEY_SERVICE",
        show_envvar=True,
        metavar="URL",
        help="Instead: constellation://HOST:PORT?..., a KMS with a store such as "
        "aws-kms://KEY?store=s3://BUCKET, or file://FILE, which may hold another URL.",
    ),
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
            master_secret_path: str | None,
            key_service_url: str | None,
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
            keys = key_service(master_secret_path, key_service_url)
            with node(known, image, keys, ledger) as here:
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
        keys_options,
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
        rule = "a ledger that exists; 'luks format' and 'volume open --new' start one"
        raise InvalidRequest("--ledger", path, rule)
    return SqliteLedger(path)


@contextmanager
def node(
    known: Known,
    image: Path,
    keys: AbstractContextManager[KeyService],
    kept: SqliteLedger | None,
) -> Generator[Node]:
    """Yield the node plane for one image; the key service is closed afterwards."""
    with closing(kept or SqliteLedger.in_memory()) as ledger, keys as service:
        with FileDisk(image) as disk:
            device = BlockDevice(known.volume_id, image, disk.size, disk.identity)
        stage = Stage(ledger, service, UserspaceMapper())
        yield Node(known, device, ledger, kept is not None, stage)


@contextmanager
def key_service(master_secret_path: str | None, url: str | None) -> Generator[KeyService]:
    """Yield the key service of a command; no core file will hold its keys, and it is closed after.

    A master secret that is named counts, whatever the environment says of a key service.

    Raises:
        InvalidRequest: the URL carries secrets.
        click.UsageError: neither of the two is given.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if master_secret_path is not None:
        with LocalKeyService(MasterSecret.from_file(master_secret_path)) as service:
            yield service
    elif url is not None:
        with open_key_service(url, from_argv=True) as opened:
            yield opened
    else:
        raise click.UsageError("one of --master-secret and --key-service is needed")
