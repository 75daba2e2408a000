"""``cloudcrypt volume``: volumes of a provider, from creation to deletion."""

import json
import secrets
from collections.abc import Sequence
from contextlib import closing
from typing import TypedDict, Unpack

import attrs
import click

from cloudcrypt import spi
from cloudcrypt.cli.journal import ensured, journal_option, provider_option, timeout_option
from cloudcrypt.cli.options import GENERATION, compose
from cloudcrypt.cli.output import Group, json_option, show, show_rows, working
from cloudcrypt.cli.size import Size
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.model import Attachment, Snapshot, Volume, identity_to_dict, origin_to_dict
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.registry import open_provider
from cloudcrypt.waiting import Deadline


@click.group(cls=Group)
def volume() -> None:
    """Create, attach, resize, snapshot and delete volumes of a provider; use them on a node.

    On the node, with keys and no provider: open, mount, grow, check, umount, close, status.
    """


_JOURNAL = "cloudcrypt.journal"


def _remember(context: click.Context, _: click.Parameter, path: str | None) -> None:
    context.meta[_JOURNAL] = path


_provider_options = compose(provider_option, json_option)
_asking_options = compose(
    click.option(
        "--token",
        metavar="TEXT",
        default=lambda: secrets.token_hex(16),
        help="Makes the request idempotent: the same token is the same operation. Random by "
        "default, and not looked at with --journal.",
    ),
    timeout_option,
    journal_option(required=False, remember=_remember),
    _provider_options,
)


def _perform(url: str, intent: spi.Intent[spi.T], timeout: float) -> spi.T:
    path: str | None = click.get_current_context().meta[_JOURNAL]
    with closing(open_provider(url)) as provider, working("working on the volume"):
        if path is None:
            return spi.perform(provider, intent, timeout=timeout)
        with closing(SqliteJournal(path)) as journal:
            plane = Provisioner(provider, journal)
            return ensured(plane, intent, Deadline.after(timeout))


def _labels(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            msg = "a label is NAME=VALUE"
            raise click.BadParameter(msg)
        pairs[name] = value
    return pairs


_IOPS = click.option("--iops", type=click.IntRange(min=1), help="Operations a second.")
_THROUGHPUT = click.option("--throughput", type=Size(), help="Bytes a second, such as 250MiB.")
_KIND = click.option("--kind", metavar="TYPE", help="The cloud's volume type, such as gp3.")
_creation_options = compose(
    click.option("--name", required=True, help="Unique among the volumes of the provider."),
    click.option("--place", metavar="ZONE", help="Zone or location."),
    _KIND,
    _IOPS,
    _THROUGHPUT,
    click.option("--cloud-key", metavar="KEY", help="For the encryption that the cloud does."),
    click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=_labels),
    _asking_options,
)


class _Choices(TypedDict):
    place: str | None
    kind: str | None
    iops: int | None
    throughput: int | None
    cloud_key: str | None
    labels: dict[str, str]


@volume.command()
@click.option("--size", required=True, type=Size(), help="Such as 10GiB.")
@_creation_options
def create(
    url: str, name: str, size: int, token: str, timeout: float, **choices: Unpack[_Choices]
) -> None:
    """Create a blank volume; one of the same name and parameters is returned as it is."""
    show(volume_dict(_perform(url, spi.CreateVolume(token, name, size, **choices), timeout)))


@volume.command()
@click.argument("snapshot_id")
@click.option("--size", required=True, type=Size(), help="At least that of the snapshot.")
@_creation_options
def restore(
    url: str,
    snapshot_id: str,
    name: str,
    size: int,
    token: str,
    timeout: float,
    **choices: Unpack[_Choices],
) -> None:
    """Create a volume from a snapshot; rebind it before it is opened."""
    source = spi.FromSnapshot(snapshot_id)
    intent = spi.CreateVolume(token, name, size, source, **choices)
    show(volume_dict(_perform(url, intent, timeout)))


@volume.command()
@click.argument("volume_id")
@click.option("--size", required=True, type=Size(), help="At least that of the volume.")
@click.option("--generation", type=GENERATION, help="Key generation of the volume now.")
@_creation_options
def clone(
    url: str,
    volume_id: str,
    name: str,
    size: int,
    generation: int | None,
    token: str,
    timeout: float,
    **choices: Unpack[_Choices],
) -> None:
    """Create a volume as a copy of another one; rebind it before it is opened."""
    source = spi.FromVolume(volume_id, generation)
    intent = spi.CreateVolume(token, name, size, source, **choices)
    show(volume_dict(_perform(url, intent, timeout)))


@volume.command()
@click.argument("volume_id")
@_provider_options
def get(url: str, volume_id: str) -> None:
    """Show a volume."""
    with closing(open_provider(url)) as provider:
        show(volume_dict(provider.get(volume_id)))


@volume.command(name="list")
@_provider_options
def list_volumes(url: str) -> None:
    """List all volumes, oldest first."""
    with closing(open_provider(url)) as provider:
        show_rows("volumes", [volume_dict(item) for item in provider.list()])


@volume.command()
@_provider_options
def snapshots(url: str) -> None:
    """List all snapshots, oldest first."""
    with closing(open_provider(url)) as provider:
        show_rows("snapshots", [_snapshot_dict(item) for item in provider.snapshots()])


@volume.command()
@click.argument("volume_id")
@click.option("--instance", required=True, help="The instance that gets the volume.")
@_asking_options
def attach(url: str, volume_id: str, instance: str, token: str, timeout: float) -> None:
    """Attach a volume to an instance; it is never taken from another one."""
    outcome = _perform(url, spi.AttachVolume(token, volume_id, instance), timeout)
    show(_attachment_dict(outcome))


@volume.command()
@click.argument("volume_id")
@click.option("--instance", required=True, help="The instance that has the volume.")
@click.option("--force", is_flag=True, help="Although the instance still uses it.")
@_asking_options
def detach(  # one parameter an option
    url: str, volume_id: str, instance: str, token: str, timeout: float, *, force: bool
) -> None:
    """Detach a volume from an instance."""
    intent = spi.DetachVolume(token, volume_id, instance, force)
    show(volume_dict(_perform(url, intent, timeout)))


@volume.command()
@click.argument("volume_id")
@click.argument("size", type=Size())
@_asking_options
def resize(url: str, volume_id: str, size: int, token: str, timeout: float) -> None:
    """Grow a volume to SIZE; grow the encrypted volume on the node afterwards."""
    show(volume_dict(_perform(url, spi.ResizeVolume(token, volume_id, size), timeout)))


@volume.command()
@click.argument("volume_id")
@click.option("--size", type=Size(), help="Grow to this size.")
@_KIND
@_IOPS
@_THROUGHPUT
@_asking_options
def modify(
    url: str,
    volume_id: str,
    size: int | None,
    kind: str | None,
    iops: int | None,
    throughput: int | None,
    token: str,
    timeout: float,
) -> None:
    """Change type, performance and size of a volume at once: clouds count changes."""
    intent = spi.ModifyVolume(token, volume_id, size, kind, iops, throughput)
    show(volume_dict(_perform(url, intent, timeout)))


@volume.command()
@click.argument("volume_id")
@click.option("--name", required=True)
@click.option("--generation", type=GENERATION, help="Key generation of the volume now.")
@_asking_options
def snapshot(  # one parameter an option
    url: str, volume_id: str, name: str, generation: int | None, token: str, timeout: float
) -> None:
    """Take a snapshot of a volume."""
    intent = spi.CreateSnapshot(token, volume_id, name, generation)
    show(_snapshot_dict(_perform(url, intent, timeout)))


@volume.command()
@click.argument("volume_id")
@_asking_options
def delete(url: str, volume_id: str, token: str, timeout: float) -> None:
    """Delete a volume that is attached to nothing; one that is gone is deleted."""
    _perform(url, spi.DeleteVolume(token, volume_id), timeout)
    show({"deleted": volume_id})


@volume.command()
@click.argument("snapshot_id")
@_asking_options
def delete_snapshot(url: str, snapshot_id: str, token: str, timeout: float) -> None:
    """Delete a snapshot; one that is gone is deleted."""
    _perform(url, spi.DeleteSnapshot(token, snapshot_id), timeout)
    show({"deleted": snapshot_id})


_OF_CLOUDS = ("place", "kind", "iops", "throughput", "cloud_key", "multi_attach")


def volume_dict(item: Volume) -> dict[str, object]:
    """Return a volume as it is printed."""
    return {
        "id": item.id,
        "name": item.name,
        "size": item.size,
        "state": item.state.value,
        "origin": origin_to_dict(item.origin),
        "created": item.created.isoformat(),
        "holders": list(item.holders),
        **{name: getattr(item, name) for name in _OF_CLOUDS if getattr(item, name)},
        "labels": dict(item.labels),
    }


def _snapshot_dict(item: Snapshot) -> dict[str, object]:
    return {
        **attrs.asdict(item),
        "state": item.state.value,
        "created": item.created.isoformat(),
    }


def _attachment_dict(item: Attachment) -> dict[str, object]:
    return {
        "volume_id": item.volume_id,
        "instance": item.instance,
        "size": item.size,
        "device": identity_to_dict(item.identity),
        "origin": origin_to_dict(item.origin),
        "document": json.loads(item.to_json()),
    }
