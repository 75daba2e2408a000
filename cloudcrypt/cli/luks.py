"""``cloudcrypt luks``: encrypted volumes on an image file or a block device, without root."""

from pathlib import Path

import attrs
import click

from cloudcrypt.cli.formatting import format_new
from cloudcrypt.cli.options import (
    GENERATION,
    Node,
    image_command,
    journal_sections_option,
    policy_option,
)
from cloudcrypt.cli.output import (
    EXIT_CODES,
    Group,
    Steps,
    json_option,
    progress,
    show,
)
from cloudcrypt.cli.passphrase import passphrase
from cloudcrypt.cli.reports import show_report
from cloudcrypt.cli.size import Size
from cloudcrypt.cli.transfer import export_payload, import_payload, write_new
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import DeviceUnavailable, IntegrityError, InvalidRequest
from cloudcrypt.integrity import IntegrityEngine
from cloudcrypt.integrity.inspect import inspect as inspect_integrity
from cloudcrypt.integrity.scrub import scrub as scrub_volume
from cloudcrypt.ledger import Record, State
from cloudcrypt.ledger.payload import payload_to_dict
from cloudcrypt.luks2 import SectorFile, read_header
from cloudcrypt.luks2.inspect import Report
from cloudcrypt.luks2.inspect import inspect as inspect_header
from cloudcrypt.luks2.layout import DATA_OFFSET
from cloudcrypt.mapper import payload_size
from cloudcrypt.model import ClonedFrom, KeyPolicy, Mode, RestoredFrom
from cloudcrypt.profiles import PROFILES


@click.group(cls=Group)
def luks() -> None:
    """Format, verify, read, write and re-key encrypted volumes on an image or block device."""


luks.add_command(passphrase)


@luks.command(name="format")
@image_command(creates=True)
def format_image(here: Node) -> None:
    """Format a blank IMAGE; anything that is not blank is refused."""
    known = here.known
    record = format_new(here.stage, here.ledger, here.device, known.mode, known.policy)
    show({**record_dict(record), "payload": payload_size(record.mode, record.capacity)})


@luks.command()
@click.argument("image", type=click.Path(path_type=Path, readable=False))
@policy_option
@journal_sections_option
@json_option
def inspect(image: Path, policy: str, journal_sections: int | None) -> None:
    """Show every header field of IMAGE beside the profile; needs no key and proves nothing.

    Of a volume with integrity also superblock, journal and geometry.
    """
    with FileDisk(image) as disk:
        report = inspect_header(read_header(disk), PROFILES[KeyPolicy(policy)])
        integrity = inspect_integrity(disk, journal_sections) if _claims(report) else None
    show_report(report, integrity)


@luks.command()
@image_command()
def verify(here: Node) -> None:
    """Exit 0 only if IMAGE verifies as this volume, in this mode, and unlocks. Writes nothing.

    Of a volume with integrity also superblock and journal; 'luks scrub' verifies its data.
    """
    known = here.known
    with here.stage.examine(here.device, policy=known.policy, trust=here.trust) as examined:
        header = examined.volume.header
        show(
            {
                "volume_id": known.volume_id,
                "verified": True,
                "policy": known.policy.value,
                "mode": header.mode.value,
                "uuid": header.uuid,
                "generation": header.generation if header.profile.sealed else None,
                "payload": examined.engine().size,
            }
        )


@luks.command()
@image_command()
@click.pass_context
def scrub(context: click.Context, here: Node) -> None:
    """Verify every sector of IMAGE, a volume with integrity; exit 9 if one does not verify.

    Writes nothing. The report counts all such sectors, and lists the first 1000.
    """
    known = here.known
    with here.stage.examine(here.device, policy=known.policy, trust=here.trust) as examined:
        engine = examined.engine()
        if not isinstance(engine, IntegrityEngine):
            raise InvalidRequest("--integrity", "absent", "only volumes with integrity have tags")
        with progress("scrub", engine.size) as advance:
            report = scrub_volume(engine, advance)
    show(
        {
            "volume_id": known.volume_id,
            "sectors": report.sectors,
            "refused": report.refused,
            "listed": list(report.listed),
            "clean": report.is_clean,
        }
    )
    if not report.is_clean:
        context.exit(EXIT_CODES[IntegrityError])


@luks.command()
@image_command()
@click.option("--integrity-growth", is_flag=True, help="Grow a volume with integrity, too.")
@click.option(
    "--capacity",
    type=Size(),
    help="Bytes of IMAGE that the volume has used so far, if no ledger knows.",
)
def grow(here: Node, *, integrity_growth: bool, capacity: int | None) -> None:
    """Let the volume on IMAGE use all of it, after IMAGE was made larger."""
    if here.ledger.get(here.known.volume_id) is None:
        _assume_capacity(here, capacity)
    with progress("initialise", 0) as advance:
        record = here.stage.grow(
            here.device, integrity_growth=integrity_growth, progress=Steps(advance)
        )
    payload = payload_size(record.mode, record.capacity, record.journal_sections)
    show(
        {
            **record_dict(record),
            "journal_sections": record.journal_sections,
            "payload": payload,
        }
    )


@luks.command(name="export")
@image_command()
@click.option("--output", required=True, metavar="FILE|-", help="A new file, or standard output.")
def export_image(here: Node, output: str) -> None:
    """Decrypt the payload of IMAGE to a new file."""
    known = here.known
    with (
        here.stage.examine(here.device, policy=known.policy, trust=here.trust) as examined,
        SectorFile(examined.engine(), writable=False) as payload,
    ):
        count = export_payload(payload, output)
    if output != "-":
        show({"volume_id": known.volume_id, "exported": count, "output": output})


@luks.command(name="import")
@image_command()
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
@image_command()
@click.option("--to", type=GENERATION, help="The generation to reach; by default the next.")
def rotate(here: Node, to: int | None) -> None:
    """Move IMAGE to the next key generation; its data is not rewritten.

    Without a ledger --generation or --to says where from or where to, so that asking again is safe.
    """
    if here.ledger.get(here.known.volume_id) is None:
        _assume_rotating(here, to)
    show(record_dict(here.stage.rotate(here.device, generation=to)))


@luks.command()
@image_command()
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
    if here.known.policy is not KeyPolicy.BOUND:
        rule = "bound: a volume of the other policy has the identity of its UUID"
        raise InvalidRequest("--policy", here.known.policy, rule)
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
@image_command()
@click.option("--output", required=True, metavar="FILE", help="A new file.")
def header_backup(here: Node, output: str) -> None:
    """Write the verified header of IMAGE to a new file of 16 MiB."""
    backup = here.stage.backup_header(here.device, policy=here.known.policy, trust=here.trust)
    with write_new(output) as file:
        file.write(backup)
    show({"volume_id": here.known.volume_id, "output": output, "size": len(backup)})


@luks.command()
@image_command()
@click.option(
    "--input",
    "source",
    required=True,
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also where IMAGE has neither zeros nor a header of this volume.",
)
def header_restore(here: Node, source: Path, *, overwrite: bool) -> None:
    """Put a header backup of IMAGE back, after it was verified and has opened."""
    try:
        with source.open("rb") as file:
            backup = file.read(DATA_OFFSET + 1)
    except OSError as error:
        raise DeviceUnavailable(str(source), error.strerror or "unreadable") from error
    record = here.stage.restore_header(
        here.device,
        backup,
        policy=here.known.policy,
        trust=here.trust,
        overwrite=overwrite,
    )
    show(record_dict(record))


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
        "holds": payload_to_dict(record.payload),
    }


def _assume_rotating(here: Node, to: int | None) -> None:
    """Record a volume that only the options speak of as on its way to the next generation.

    So the command finishes a rotation that was cut short, or does one: either generation must still
    verify. A ledger that is kept remembers a volume only once it has verified.
    """
    known = here.known
    if here.is_kept:
        here.stage.open(here.device, policy=known.policy, trust=here.trust, writable=False)
        here.stage.close(known.volume_id)
        return
    if known.generation is None and to is None:
        rule = "the generation that IMAGE has (or --to, the one to reach) where no ledger knows it"
        raise InvalidRequest("--generation", "absent", rule)
    generation = known.generation or (to or 2) - 1
    here.ledger.add(
        Record(
            known.volume_id,
            State.ROTATING,
            known.mode,
            known.policy,
            here.device.size,
            generation,
            journal_sections=known.journal_sections,
        )
    )


def _assume_capacity(here: Node, capacity: int | None) -> None:
    """Record a volume that only the options speak of, as it was before IMAGE was made larger."""
    if capacity is None:
        rule = "what IMAGE had before, or a ledger that knows: growth is told from tampering by it"
        raise InvalidRequest("--capacity", "absent", rule)
    expectation = attrs.evolve(here.known.expectation, capacity=capacity)
    with here.stage.check(here.device, policy=here.known.policy, trust=expectation) as volume:
        header = volume.header
    here.ledger.add(
        Record(
            here.known.volume_id,
            State.READY,
            header.mode,
            here.known.policy,
            capacity,
            header.generation,
            header.uuid,
            journal_sections=header.journal_sections,
        )
    )


def _claims(report: Report) -> bool:
    """Say whether a header claims integrity, and the disk has a place for its superblock."""
    return report.mode is Mode.INTEGRITY
