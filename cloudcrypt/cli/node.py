"""``cloudcrypt volume open`` and the other commands of the node: volumes mapped by the kernel."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypedDict, Unpack

import attrs
import click

from cloudcrypt.cli.formatting import format_new
from cloudcrypt.cli.luks import record_dict
from cloudcrypt.cli.node_plane import (
    Choice,
    Plane,
    Settings,
    keyed_command,
    keyless_command,
    purpose_options,
    trust_options,
)
from cloudcrypt.cli.output import EXIT_CODES, Steps, progress, show, working
from cloudcrypt.cli.size import Size
from cloudcrypt.errors import DeviceError, InvalidRequest
from cloudcrypt.filesystem import Health, Mount, MountOptions, PayloadChoice
from cloudcrypt.ledger import Untouched
from cloudcrypt.mapper import Mapping
from cloudcrypt.model import Attachment, Blank, BlockDevice

_target_type = click.Path(path_type=Path, file_okay=False)
_read_only_option = click.option("--read-only", is_flag=True, help="For reading alone.")


class _Purpose(TypedDict):
    """What `purpose_options` and `trust_options` say."""

    new: bool
    filesystem: str | None
    integrity: bool
    adopt: bool
    generation: int | None


@attrs.frozen
class _Wish:
    """What a volume is opened for."""

    attachment: Attachment
    choice: Choice
    new: bool
    raw: bool
    to_mount: bool
    writable: bool


@click.command(name="open")
@keyed_command
@purpose_options
@click.option(
    "--raw",
    is_flag=True,
    help="Use it as a block device; no filesystem is ever made on it then. A volume that nothing "
    "was written to needs this or --filesystem.",
)
@trust_options
@_read_only_option
def open_volume(
    settings: Settings,
    attachment: Attachment,
    *,
    raw: bool,
    read_only: bool,
    **purpose: Unpack[_Purpose],
) -> None:
    """Verify, unlock and map an attached volume; it is the block device that is printed.

    DOCUMENT is what 'volume attach --json' printed, a file or - for standard input. Opened already,
    by whatever process, it is proven and left as it is. A restored or cloned volume gets its own
    identity first.
    """
    wish = _wish(attachment, purpose, raw=raw, to_mount=False, writable=not read_only)
    with (
        settings.plane(wish.choice, creates=wish.new) as plane,
        _opened(plane, wish) as (_, mapping),
    ):
        show(_open_dict(plane, mapping))


@click.command()
@keyed_command
@click.argument("target", type=_target_type)
@purpose_options
@trust_options
@_read_only_option
@click.option("--noexec", is_flag=True, help="No program on it is run.")
@click.option("--noatime", is_flag=True, help="Reading a file writes nothing.")
def mount(
    settings: Settings,
    attachment: Attachment,
    *,
    target: Path,
    read_only: bool,
    noexec: bool,
    noatime: bool,
    **purpose: Unpack[_Purpose],
) -> None:
    """Open an attached volume, if it is not, and mount its filesystem at TARGET, a folder.

    DOCUMENT is as for 'volume open'. The filesystem is the recorded one and no other; mounted there
    already, it is left as it is. Always with nosuid and nodev.
    """
    wish = _wish(attachment, purpose, raw=False, to_mount=True, writable=not read_only)
    options = MountOptions(
        read_only=read_only, noexec=noexec, noatime=noatime, discard=settings.discards
    )
    with (
        settings.plane(wish.choice, creates=wish.new) as plane,
        _opened(plane, wish) as (device, mapping),
    ):
        filesystem = plane.node.filesystem(device.volume_id)
        mounted = filesystem.mount(target, options, deadline=plane.deadline)
        show({**_open_dict(plane, mapping), "mount": _mount_dict(mounted)})


@click.command()
@keyed_command
@click.option("--size", type=Size(), help="Wait until the device has it; by default DOCUMENT's.")
@click.option("--integrity-growth", is_flag=True, help="Grow a volume with integrity, too.")
def grow(
    settings: Settings, attachment: Attachment, *, size: int | None, integrity_growth: bool
) -> None:
    """Let a volume use all of its device, after 'volume resize': mapping and filesystem, too.

    DOCUMENT is as for 'volume open', of before the resize or after it. Without integrity the volume
    stays mounted; with integrity it is unmounted and closed meanwhile, and comes back as it was. A
    filesystem that is not mounted does not grow: mount it and ask again.
    """
    with settings.plane(Choice()) as plane:
        plane.stage.require_growable(attachment.volume_id, integrity_growth=integrity_growth)
        with working("waiting for the size"):
            device = plane.grown(attachment, size)
        with progress("initialise", 0) as advance:
            grown = plane.node.grow(
                device,
                integrity_growth=integrity_growth,
                progress=Steps(advance),
                deadline=plane.deadline,
            )
        record = plane.node.require_record(grown.volume_id)
        show({**record_dict(record), "payload": grown.payload, "filesystem": grown.filesystem})


@click.command()
@keyed_command
@click.option("--quick", is_flag=True, help="Believe ext4 that says that it is clean.")
@click.pass_context
def check(
    context: click.Context, settings: Settings, attachment: Attachment, *, quick: bool
) -> None:
    """Check the filesystem of a volume that is not mounted; repair what loses nothing.

    DOCUMENT is as for 'volume open'. The volume is opened for it, if it is not. Exit 5 if it needs
    a person. The log of XFS is replayed by mounting it once; before that, nothing is known.
    """
    volume_id = attachment.volume_id
    with settings.plane(Choice()) as plane:
        was_active = plane.mapper.is_active(volume_id)
        with plane.node.opened(plane.locate(attachment), raw=False), working("checking"):
            verbs = plane.node.filesystem(volume_id)
            health = verbs.check(full=not quick, deadline=plane.deadline)
        if not was_active:
            plane.stage.close(volume_id)
    show({"volume_id": volume_id, "health": health.value})
    if health is Health.DAMAGED:
        context.exit(EXIT_CODES[DeviceError])


@click.command()
@keyless_command
@click.argument("target", type=_target_type, required=False)
@click.option("--lazy", is_flag=True, help="Also if it is in use: it goes with its last user.")
def umount(plane: Plane, volume_id: str, *, target: Path | None, lazy: bool) -> None:
    """Write out and unmount the filesystem of a volume: at TARGET, or wherever it is mounted.

    VOLUME is an id, or a document. Needs no key.
    """
    filesystem = plane.node.filesystem(volume_id)
    found = [mount.target for mount in filesystem.status().mounts]
    targets = found[::-1] if target is None else [target]
    for each in targets:
        filesystem.unmount(each, lazy=lazy, deadline=plane.deadline)
    show({"volume_id": volume_id, "unmounted": [str(each) for each in targets]})


@click.command()
@keyless_command
@click.option(
    "--deferred",
    is_flag=True,
    help="If it is in use, have the kernel close it as soon as it no longer is.",
)
def close(plane: Plane, volume_id: str, *, deferred: bool) -> None:
    """Flush and unmap a volume. One that is mounted is in use: unmount it first.

    VOLUME is an id, or a document. Needs no key.
    """
    plane.stage.close(volume_id, deferred=deferred)
    show({"volume_id": volume_id, "closed": plane.mapper.status(volume_id) is None})


@click.command()
@keyless_command
def status(plane: Plane, volume_id: str) -> None:
    """Show what is recorded of a volume, and whether it is open and mounted here.

    VOLUME is an id, or a document. Needs no key, and proves nothing.
    """
    record = plane.node.require_record(volume_id)
    mapping = plane.mapper.status(volume_id)
    mounts = plane.node.filesystem(volume_id).status().mounts
    document = {
        **record_dict(record),
        "open": None if mapping is None else mapping.state.value,
        "path": None if mapping is None else str(mapping.path),
        "payload": None if mapping is None else mapping.size,
        "read_only": None if mapping is None else mapping.read_only,
        "mounts": [_mount_dict(each) for each in mounts],
    }
    show(document)


COMMANDS: Final = (open_volume, mount, grow, check, umount, close, status)
"""What the group ``volume`` gets."""


@contextmanager
def _opened(plane: Plane, wish: _Wish) -> Generator[tuple[BlockDevice, Mapping]]:
    """Do what is left to do until the volume is open for what is wished.

    If the block fails, a volume that was closed before is closed again.
    """
    node, choice = plane.node, wish.choice
    with working("waiting for the device"):
        device = plane.locate(wish.attachment)
    if wish.new:
        format_new(plane.stage, plane.ledger, device, node.new_mode, node.policy)
    with progress("initialise", 0) as advance:
        node.prepare(device, wish.attachment.origin, writing=lambda: None, progress=Steps(advance))
    _require_purpose(plane, wish)
    with node.opened(device, raw=wish.raw, writable=wish.writable) as mapping:
        if choice.filesystem is not None or wish.to_mount:
            node.provide(
                device,
                None if choice.filesystem is None else choice.filesystem.kind,
                adopt=choice.adopt,
                writable=wish.writable,
                deadline=plane.deadline,
            )
        yield device, mapping


def _wish(
    attachment: Attachment, purpose: _Purpose, *, raw: bool, to_mount: bool, writable: bool
) -> _Wish:
    """Return what the options say.

    Raises:
        InvalidRequest: they contradict each other, or the document.
    """
    choice = Choice(
        _parsed(purpose["filesystem"]),
        purpose["integrity"],
        purpose["adopt"],
        purpose["generation"],
    )
    if choice.filesystem is not None and (raw or choice.integrity):
        rule = "without --raw and --integrity; ext4-integrity is a filesystem with integrity"
        raise InvalidRequest("--filesystem", str(choice.filesystem), rule)
    if purpose["new"]:
        if not isinstance(attachment.origin, Blank):
            raise InvalidRequest("--new", "said", "absent: the volume was made from another one")
        if choice.adopt or not writable or not (raw or choice.filesystem):
            rule = "with --filesystem or --raw, and neither --adopt nor --read-only"
            raise InvalidRequest("--new", "said", rule)
    return _Wish(attachment, choice, purpose["new"], raw, to_mount, writable)


def _require_purpose(plane: Plane, wish: _Wish) -> None:
    """Refuse to open for writing what nobody has said what it is for, and may be made or not.

    Raises:
        InvalidRequest: nothing was ever written to the volume, nor is it said what will be.
    """
    record = plane.node.record(wish.attachment.volume_id)
    is_untouched = record is not None and isinstance(record.payload, Untouched)
    if is_untouched and wish.writable and not wish.raw and wish.choice.filesystem is None:
        rule = "what a volume is for that nothing was ever written to; or say --raw to 'open'"
        raise InvalidRequest("--filesystem", "absent", rule)


def _parsed(filesystem: str | None) -> PayloadChoice | None:
    return None if filesystem is None else PayloadChoice.parse(filesystem)


def _open_dict(plane: Plane, mapping: Mapping) -> dict[str, object]:
    path = getattr(mapping, "path", None)
    return {
        **record_dict(plane.node.require_record(mapping.volume_id)),
        "path": None if path is None else str(path),
        "payload": mapping.size,
        "read_only": not mapping.writable,
    }


def _mount_dict(mount: Mount) -> dict[str, object]:
    return {
        "target": str(mount.target),
        "filesystem": mount.kind,
        "options": sorted(mount.options | mount.super_options),
        "root": mount.root,
    }
