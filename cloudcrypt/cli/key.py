"""``cloudcrypt key``: data keys that a KMS wraps and a store keeps; and which key a volume has."""

import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from cloudcrypt import luks2
from cloudcrypt.cli.options import compose
from cloudcrypt.cli.output import Group, json_option, show, show_rows, wants_json, working
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import InvalidRequest, KeyServiceError, ModeRefused, UnsupportedOperation
from cloudcrypt.keys import (
    EnvelopeKeyService,
    KeyManager,
    Rewrapped,
    StoredKey,
    bound_key_id,
    key_manager,
    open_key_service,
)
from cloudcrypt.keys.examining import Finding, examine
from cloudcrypt.kms import check_key_id
from cloudcrypt.model import Expectation, KeyPolicy, Mode, is_uuid
from cloudcrypt.profiles import PROFILES

_FAILED = 4  # the exit code of errors of keys

_LOST = """This deletes the data key {key_id!r}.
Whatever was encrypted with it cannot be read any more, by nobody: the volume, its snapshots, its
copies that were not rebound, its backups. There is no way back, except from a copy of the store."""


@click.group(cls=Group)
def key() -> None:
    """List data keys that a KMS wraps, wrap them anew, shred them; no verb prints a key.

    URL is that of the key service with its store, as for --key-service: a KMS such as
    aws-kms://alias/NAME?region=R&store=s3://BUCKET, or file://FILE for a file that holds one.
    """


_url = click.argument("url", metavar="URL")
_options = compose(_url, json_option)


@key.command()
@click.argument("volume_id", required=False)
@click.option(
    "--image",
    type=click.Path(path_type=Path, readable=False),
    metavar="DEVICE",
    help="Instead: a volume of policy constellation, whose key id is in its header.",
)
@json_option
def get_id(volume_id: str | None, image: Path | None) -> None:
    """Say under which id the key service has the key of a volume.

    Of a bound volume that follows from VOLUME_ID. A header is not believed: its UUID is an id to
    look for, and says nothing of whose volume it is.
    """
    if (volume_id is None) == (image is None):
        msg = "one of VOLUME_ID and --image is needed"
        raise click.UsageError(msg)
    if image is not None:
        show({"key_id": _header_uuid(image), "policy": KeyPolicy.CONSTELLATION.value})
    else:
        show({"key_id": bound_key_id(volume_id or ""), "policy": KeyPolicy.BOUND.value})


@key.command(name="list")
@_options
@click.option("--prefix", default="", help="Of the ids.")
def list_keys(url: str, prefix: str) -> None:
    """List the ids of stored keys, and by which key of the KMS each is said to be wrapped."""
    with _manager(url, "listing") as manager:
        show_rows("keys", [_stored_dict(item) for item in manager.list(prefix)])


@key.command()
@_options
@click.argument("key_ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that are stored.")
@click.option("--prefix", help="All whose ids begin with this.")
@click.pass_context
def rewrap(
    context: click.Context,
    url: str,
    key_ids: tuple[str, ...],
    everything: bool,  # noqa: FBT001  # click's way to give a flag
    prefix: str | None,
) -> None:
    """Wrap keys anew, with the version of the KMS's key that wraps now; exit 4 if one fails.

    Do it after the key of the KMS was rotated, and before an old version is disabled. The data keys
    stay the same: volumes may be in use.
    """
    if sum([bool(key_ids), everything, prefix is not None]) != 1:
        msg = "one of ID..., --all and --prefix is needed"
        raise click.UsageError(msg)
    with _manager(url, "wrapping anew") as manager, working("wrapping anew"):
        done = (
            [_rewrapped(manager, key_id) for key_id in key_ids]
            if key_ids
            else list(manager.rewrap_all(prefix or ""))
        )
    show_rows("keys", [_rewrapped_dict(item) for item in done])
    if any(item.problem for item in done):
        context.exit(_FAILED)


@key.command()
@_options
@click.argument("key_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
def shred(url: str, key_id: str, *, yes: bool) -> None:
    """Delete a stored key for good, and with it what it encrypts; asks for the id once more."""
    check_key_id(key_id)
    with _manager(url, "shredding") as manager:
        if not yes:
            _confirm(key_id)
        show({"shredded": key_id, "was_there": manager.shred(key_id)})


@key.command()
@_options
@click.pass_context
def doctor(context: click.Context, url: str) -> None:
    """Try out a KMS and its store; exit 4 if something is not as it must be.

    Random bytes are wrapped and unwrapped. Under an id of its own below cloudcrypt/doctor/ a blob
    is created, replaced and deleted: the caller needs the rights for that.
    """
    with _manager(url, "trying out") as manager, working("trying out"):
        if not isinstance(manager, EnvelopeKeyService):
            raise UnsupportedOperation("trying out this key service", "use its own tools")
        findings = list(examine(manager.kms, manager.store))
    show_rows("checks", [_finding_dict(finding) for finding in findings])
    if not all(finding.ready for finding in findings):
        context.exit(_FAILED)


@contextmanager
def _manager(url: str, operation: str) -> Generator[KeyManager]:
    """Yield what manages the keys of a key service; no core file will hold them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open_key_service(url, from_argv=True) as service:
        yield key_manager(service, operation)


def _confirm(key_id: str) -> None:
    """Return once somebody has typed the id.

    Raises:
        InvalidRequest: they typed something else, or nobody can be asked.
    """
    if wants_json():
        raise InvalidRequest("--yes", "absent", "given with --json, where nobody can be asked")
    click.echo(_LOST.format(key_id=key_id), err=True)
    if click.prompt("Type the id to go on", err=True) != key_id:
        raise InvalidRequest("the id that was typed", "another one", key_id)


def _header_uuid(image: Path) -> str:
    """Return the UUID of a header of policy constellation, well-formed and in lower case.

    Raises:
        HeaderRefused: it has none such.
        InvalidRequest: its UUID is not one.
    """
    with FileDisk(image) as disk:
        header = luks2.parse(luks2.read_header(disk))
    profile = PROFILES[KeyPolicy.CONSTELLATION]
    try:
        uuid = luks2.verify(header, profile, Expectation(Mode.CRYPT)).uuid
    except ModeRefused:
        uuid = luks2.verify(header, profile, Expectation(Mode.INTEGRITY)).uuid
    if not is_uuid(uuid):
        raise InvalidRequest("UUID of the header", uuid, "a lower-case UUID")
    return uuid


def _rewrapped(manager: KeyManager, key_id: str) -> Rewrapped:
    try:
        return manager.rewrap(key_id)
    except KeyServiceError as problem:
        return Rewrapped(key_id, problem=problem)


def _stored_dict(item: StoredKey) -> dict[str, object]:
    return {
        "id": item.key_id,
        "kms": item.kms,
        "version": item.version,
        "problem": None if item.problem is None else item.problem.message,
    }


def _rewrapped_dict(item: Rewrapped) -> dict[str, object]:
    return {
        "id": item.key_id,
        "changed": item.changed,
        "version_before": None if item.before is None else item.before.version,
        "version": None if item.after is None else item.after.version,
        "problem": None if item.problem is None else item.problem.message,
    }


def _finding_dict(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.what,
        "ready": finding.ready,
        "found": finding.found,
        "advice": finding.advice or None,
    }
