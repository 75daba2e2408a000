"""``cloudcrypt luks``: encrypted volumes on an image file or a block device, without root."""

import os
import warnings
from pathlib import Path

import click

from cloudcrypt.cli.options import (
    Node,
    image_command,
    master_secret,
    master_secret_option,
    policy_option,
    volume_id_option,
)
from cloudcrypt.cli.output import Group, json_option, say, show, show_rows, wants_json
from cloudcrypt.cli.transfer import export_payload, import_payload, write_new
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import CloudcryptError, DeviceUnavailable, InvalidRequest
from cloudcrypt.keys import MasterSecretKeyService, bound_key_id, get_data_key
from cloudcrypt.ledger import Record, State
from cloudcrypt.luks2 import derive, read_header
from cloudcrypt.luks2.inspect import inspect as inspect_header
from cloudcrypt.luks2.layout import DATA_OFFSET
from cloudcrypt.model import ClonedFrom, KeyPolicy, RestoredFrom, is_uuid
from cloudcrypt.profiles import PROFILES
from cloudcrypt.secret import Secret
from cloudcrypt.stage import LargeVolumeWarning


@click.group(cls=Group)
def luks() -> None:
    """Format, verify, read, write and re-key encrypted volumes on an image or block device."""


@luks.command(name="format")
@image_command
def format_image(here: Node) -> None:
    """Format a blank IMAGE; anything that is not blank is refused."""
    known = here.known
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LargeVolumeWarning)
        here.stage.register_new(
            known.volume_id, capacity=here.device.size, mode=known.mode, policy=known.policy
        )
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)
    try:
        record = here.stage.format(here.device)
    except CloudcryptError:
        _forget_if_untouched(here)
        raise
    show(record_dict(record))


def _forget_if_untouched(here: Node) -> None:
    """Take back a registration that led to nothing, so that another image can have the id."""
    record = here.ledger.get(here.known.volume_id)
    if record is not None and record.state is State.NEW:
        here.ledger.forget(here.known.volume_id)


@luks.command()
@click.argument("image", type=click.Path(path_type=Path))
@policy_option
@json_option
def inspect(image: Path, policy: str) -> None:
    """Show every header field of IMAGE beside the profile; needs no key and proves nothing."""
    with FileDisk(image) as disk:
        report = inspect_header(read_header(disk), PROFILES[KeyPolicy(policy)])
    rows = [
        {
            "field": field.path,
            "found": field.found,
            "profile": field.expected,
            "agrees": field.agrees,
        }
        for field in report.fields
    ]
    if wants_json():
        show(
            {
                "device": report.device,
                "device_size": report.device_size,
                "profile": report.profile,
                "mode": report.mode.value,
                "agrees": report.agrees,
                "fields": rows,
            }
        )
        return
    show_rows("fields", rows)
    differing = sum(not field.agrees for field in report.fields)
    say(
        f"{differing} of {len(report.fields)} fields differ from profile {report.profile}"
        if differing
        else f"all {len(report.fields)} fields agree with profile {report.profile}; "
        "only 'luks verify' proves whose header this is"
    )


@luks.command()
@image_command
def verify(here: Node) -> None:
    """Exit 0 only if IMAGE verifies as this volume, in this mode, and unlocks. Writes nothing."""
    with here.stage.check(here.device, policy=here.known.policy, trust=here.trust) as volume:
        header = volume.header
        show(
            {
                "volume_id": here.known.volume_id,
                "verified": True,
                "policy": here.known.policy.value,
                "mode": header.mode.value,
                "uuid": header.uuid,
                "generation": header.generation,
                "payload": header.payload_size,
            }
        )


@luks.command(name="export")
@image_command
@click.option("--output", required=True, metavar="FILE|-", help="A new file, or standard output.")
def export_image(here: Node, output: str) -> None:
    """Decrypt the payload of IMAGE to a new file."""
    with here.stage.check(here.device, policy=here.known.policy, trust=here.trust) as volume:
        count = export_payload(here.device, volume, output)
    if output != "-":
        show({"volume_id": here.known.volume_id, "exported": count, "output": output})


@luks.command(name="import")
@image_command
@click.option("--input", "source", required=True, metavar="FILE|-", help="Or standard input.")
def import_image(here: Node, source: str) -> None:
    """Encrypt FILE into the payload of IMAGE, from its first byte on."""
    mapping = here.stage.open(here.device, policy=here.known.policy, trust=here.trust)
    try:
        count = import_payload(mapping, source)
    finally:
        here.stage.close(here.known.volume_id)
    show({"volume_id": here.known.volume_id, "imported": count, "payload": mapping.size})


@luks.command()
@image_command
@click.option(
    "--to", type=click.IntRange(min=2), help="The generation to reach; by default the next."
)
def rotate(here: Node, to: int | None) -> None:
    """Move IMAGE to the next key generation; its data is not rewritten."""
    if here.ledger.get(here.known.volume_id) is None:
        _assume_rotating(here)
    show(record_dict(here.stage.rotate(here.device, generation=to)))


@luks.command()
@image_command
@click.option("--origin", required=True, metavar="ID", help="The volume this is a copy of.")
@click.option(
    "--kind",
    type=click.Choice(["snapshot", "clone"]),
    default="snapshot",
    show_default=True,
    help="How the copy was made.",
)
def rebind(here: Node, origin: str, kind: str) -> None:
    """Give IMAGE, a restored or cloned volume, the identity of its own volume id.

    --generation is that of the origin when it was copied.
    """
    made = RestoredFrom if kind == "snapshot" else ClonedFrom
    generation = here.known.generation
    unknown = here.ledger.get(origin) is None
    expectation = here.known.expectation if unknown else None
    show(
        record_dict(
            here.stage.rebind(here.device, made(origin, generation), expectation=expectation)
        )
    )


@luks.command()
@image_command
@click.option("--output", required=True, metavar="FILE", help="A new file.")
def header_backup(here: Node, output: str) -> None:
    """Write the verified header of IMAGE to a new file of 16 MiB."""
    backup = here.stage.backup_header(here.device, policy=here.known.policy, trust=here.trust)
    with write_new(output) as file:
        file.write(backup)
    show({"volume_id": here.known.volume_id, "output": output, "size": len(backup)})


@luks.command()
@image_command
@click.option("--input", "source", required=True, type=click.Path(path_type=Path), metavar="FILE")
def header_restore(here: Node, source: Path) -> None:
    """Put a header backup of IMAGE back, after it was verified and has opened."""
    try:
        with source.open("rb") as file:
            backup = file.read(DATA_OFFSET + 1)
    except OSError as error:
        raise DeviceUnavailable(str(source), error.strerror or "unreadable") from error
    record = here.stage.restore_header(
        here.device, backup, policy=here.known.policy, trust=here.trust
    )
    show(record_dict(record))


@luks.command()
@volume_id_option
@master_secret_option
@policy_option
@click.option("--generation", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--uuid", help="UUID of the header; policy constellation needs it.")
@click.option("--output-fd", type=click.IntRange(min=1), required=True, metavar="N")
def passphrase(  # one parameter an option
    volume_id: str,
    master_secret_path: str,
    policy: str,
    generation: int,
    uuid: str | None,
    output_fd: int,
) -> None:
    r"""Write the 32 raw bytes of the passphrase to a file descriptor, for stock cryptsetup.

    \b
    For recovery:
    cloudcrypt luks passphrase ... --output-fd 1 | cryptsetup open --key-file - IMAGE NAME
    """
    try:
        os.fstat(output_fd)
    except OSError as error:
        raise InvalidRequest("--output-fd", output_fd, "an open file descriptor") from error
    if os.isatty(output_fd):
        raise InvalidRequest("--output-fd", output_fd, "a pipe; a terminal would show the secret")
    with (
        master_secret(master_secret_path) as secret,
        _passphrase(
            MasterSecretKeyService(secret), volume_id, KeyPolicy(policy), generation, uuid
        ) as key,
    ):
        os.write(output_fd, key.reveal())


def _passphrase(
    service: MasterSecretKeyService,
    volume_id: str,
    policy: KeyPolicy,
    generation: int,
    uuid: str | None,
) -> Secret:
    match policy:
        case KeyPolicy.BOUND:
            with get_data_key(service, bound_key_id(volume_id)) as data_key:
                keys = derive(data_key, volume_id, generation)
            keys.seal.key.wipe()
            return keys.passphrase
        case KeyPolicy.CONSTELLATION:
            if uuid is None or not is_uuid(uuid):
                raise InvalidRequest("--uuid", uuid, "the lower-case UUID of the header")
            return get_data_key(service, uuid)


def record_dict(record: Record) -> dict[str, object]:
    """Return a ledger record as it is printed."""
    return {
        "volume_id": record.volume_id,
        "state": record.state.value,
        "mode": record.mode.value,
        "policy": record.policy.value,
        "uuid": record.uuid,
        "generation": record.generation,
        "capacity": record.capacity,
        "holder": None if record.holder is None else record.holder.node,
    }


def _assume_rotating(here: Node) -> None:
    """Record a volume that only the options speak of as on its way to the next generation.

    So the command finishes a rotation that was cut short, or does one: either generation must still
    verify. A ledger that is kept remembers a volume only once it has verified.
    """
    trust = here.trust
    if here.is_kept:
        here.stage.open(here.device, policy=here.known.policy, trust=trust, writable=False)
        here.stage.close(here.known.volume_id)
        return
    here.ledger.add(
        Record(
            here.known.volume_id,
            State.ROTATING,
            trust.mode,
            here.known.policy,
            here.device.size,
            trust.generation,
        )
    )
