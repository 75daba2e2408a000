"""What the node's commands of ``cloudcrypt volume`` share: documents, options, the plane itself."""

import functools
import json
import sys
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import click

from cloudcrypt.cli.journal import timeout_option
from cloudcrypt.cli.options import (
    GENERATION,
    compose,
    key_service,
    keys_options,
    ledger_option,
    open_ledger,
    policy_option,
)
from cloudcrypt.cli.output import json_option
from cloudcrypt.device import ROOT, grown, locate
from cloudcrypt.errors import DataKeyUnavailable, DeviceUnavailable, InvalidRequest
from cloudcrypt.facade.node import Node
from cloudcrypt.filesystem import FilesystemKind, PayloadChoice
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.mapper import KernelMapper, KernelMapping
from cloudcrypt.model import Attachment, BlockDevice, Expectation, KeyPolicy, Mode
from cloudcrypt.stage import Adopt, Stage, Trust
from cloudcrypt.waiting import Deadline

_LONGEST: Final = 64 * 1024
"""Characters of a document; one has some hundred."""

_CHOICES: Final = tuple(str(PayloadChoice(kind, mode)) for mode in Mode for kind in FilesystemKind)

purpose_options = compose(
    click.option(
        "--new",
        is_flag=True,
        help="The volume was just created blank: register it, and format it. Anything that is not "
        "blank is refused. Say it once: it makes a lost ledger and a blanked disk look new.",
    ),
    click.option(
        "--filesystem",
        type=click.Choice(_CHOICES),
        help="What the volume is for, and with integrity or without. It is made once: where the "
        "ledger says that nothing was ever written to the volume.",
    ),
    click.option("--integrity", is_flag=True, help="The volume has integrity."),
)
trust_options = compose(
    click.option(
        "--adopt",
        is_flag=True,
        help="Trust what the ledger does not know: the sealed header of the volume, and the "
        "filesystem that is there.",
    ),
    click.option(
        "--generation",
        type=GENERATION,
        help="With --adopt: the key generation that the header must have; by default any.",
    ),
)


@attrs.frozen
class Choice:
    """What the caller says of a volume, beside the document."""

    filesystem: PayloadChoice | None = None
    integrity: bool = False
    adopt: bool = False
    generation: int | None = None

    @property
    def mode(self) -> Mode | None:
        """The mode, if anything says it."""
        if self.filesystem is not None:
            return self.filesystem.mode
        return Mode.INTEGRITY if self.integrity else None

    @property
    def trust(self) -> Trust | None:
        """What the caller vouches for."""
        mode = self.mode or Mode.CRYPT
        if not self.adopt:
            return None
        return Adopt(mode) if self.generation is None else Expectation(mode, self.generation)


@attrs.frozen
class Plane:
    """The node plane for one command: what is asked for, and with which parts."""

    node: Node
    ledger: SqliteLedger
    mapper: KernelMapper
    deadline: Deadline
    unproven: bool = False

    @property
    def stage(self) -> Stage[KernelMapping]:
        """The verbs of the node."""
        return self.node.stage

    def locate(self, attachment: Attachment) -> BlockDevice:
        """Return the device of an attachment, waiting for it."""
        return locate(attachment, root=ROOT, deadline=self.deadline, unproven=self.unproven)

    def grown(self, attachment: Attachment, size: int | None) -> BlockDevice:
        """Return the device of an attachment once it has so many bytes."""
        goal = attachment.size if size is None else size
        return grown(attachment, goal, root=ROOT, deadline=self.deadline, unproven=self.unproven)


def read_attachment(source: str) -> Attachment:
    """Return the attachment of a file, or of standard input for ``-``.

    What ``volume attach --json`` prints is such a document, and so is its ``document`` alone.

    Raises:
        InvalidRequest: it is none.
        DeviceUnavailable: it cannot be read.
    """
    try:
        if source == "-":
            text = sys.stdin.read(_LONGEST)
        else:
            with Path(source).open(encoding="utf-8", errors="replace") as file:
                text = file.read(_LONGEST)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise DeviceUnavailable(source, reason or "unreadable") from error
    try:
        inner = json.loads(text)["document"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Attachment.from_json(text)
    return Attachment.from_json(json.dumps(inner))


def volume_id_of(text: str, ledger: SqliteLedger) -> str:
    """Return the id of a volume that is given by its id, or by a document.

    Raises:
        InvalidRequest: it is neither.
    """
    known = {record.volume_id for record in ledger.records()}
    if text in known:
        return text
    if text == "-" or Path(text).is_file():
        return read_attachment(text).volume_id
    raise InvalidRequest("VOLUME", text, "an id that the ledger knows, or a document")


@attrs.frozen
class Settings:
    """What every command that needs a key is told."""

    master_secret_path: str | None
    key_service_url: str | None
    ledger_path: str
    policy: str
    timeout: float
    discards: bool
    unproven: bool

    @contextmanager
    def plane(self, choice: Choice, *, creates: bool = False) -> Generator[Plane]:
        """Yield the node plane; a command that ``creates`` a volume may start a ledger.

        The key service is closed afterwards.
        """
        if choice.generation is not None and not choice.adopt:
            rule = "absent without --adopt: the ledger knows the generation"
            raise InvalidRequest("--generation", choice.generation, rule)
        with (
            closing(open_ledger(self.ledger_path, creates=creates)) as ledger,
            key_service(self.master_secret_path, self.key_service_url) as keys,
        ):
            mapper = KernelMapper(discards=self.discards)
            stage = Stage(ledger, keys, mapper)
            policy = KeyPolicy(self.policy)
            node = Node(stage, mapper, ledger, choice.mode, policy, choice.trust)
            yield Plane(node, ledger, mapper, Deadline.after(self.timeout), self.unproven)


def keyed_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command DOCUMENT, key, ledger and policy.

    It gets `Settings` and the attachment as its first arguments, and its own options by name.
    """

    @functools.wraps(command)
    def run(*, document: str, **options: Any) -> None:  # noqa: ANN401 - what click passes
        told = {field.name: options.pop(field.name) for field in attrs.fields(Settings)}
        command(Settings(**told), read_attachment(document), **options)

    options = compose(
        click.argument("document", metavar="DOCUMENT"),
        keys_options,
        ledger_option(required=True),
        policy_option,
        click.option(
            "--discards",
            is_flag=True,
            help="Tell the storage which blocks are not in use, which it then knows. Not with "
            "integrity.",
        ),
        click.option(
            "--unproven",
            is_flag=True,
            help="Look for a device that is known by its name alone, too, as Xen shows it. Its "
            "sealed header has to prove it; it is never formatted.",
        ),
        timeout_option,
        json_option,
    )
    return options(run)


def keyless_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command VOLUME and the ledger; it needs neither key nor device.

    It gets the plane and the id of the volume as its first arguments, and its own options by name.
    """

    @functools.wraps(command)
    def run(  # what click passes
        *, volume: str, ledger_path: str, timeout: float, **options: object
    ) -> None:
        with closing(open_ledger(ledger_path)) as ledger:
            mapper = KernelMapper()
            node = Node(Stage(ledger, _NoKeys(), mapper), mapper, ledger)
            plane = Plane(node, ledger, mapper, Deadline.after(timeout))
            command(plane, volume_id_of(volume, ledger), **options)

    options = compose(
        click.argument("volume", metavar="VOLUME"),
        ledger_option(required=True),
        timeout_option,
        json_option,
    )
    return options(run)


class _NoKeys:
    """The key service of commands that need no key."""

    def get_data_key(self, key_id: str, length: int) -> NoReturn:
        """Refuse.

        Raises:
            DataKeyUnavailable: in any case.
        """
        del length
        raise DataKeyUnavailable(key_id, "this command asks for no key")
