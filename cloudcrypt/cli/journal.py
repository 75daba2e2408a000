"""``cloudcrypt journal``: operations that were begun at providers, to see, finish and forget."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import attrs
import click

from cloudcrypt import spi
from cloudcrypt.cli.options import Decorator
from cloudcrypt.cli.output import Group, json_option, show, show_rows, working
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.journal import Entry, SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.registry import open_provider
from cloudcrypt.waiting import SYSTEM_CLOCK, Deadline

_DAYS: Final = 30


def journal_option(*, required: bool, remember: Callable[..., None] | None = None) -> Decorator:
    """Return the option --journal; with ``remember`` the command does not see it itself."""
    return click.option(
        "--journal",
        "journal_path",
        required=required,
        expose_value=remember is None,
        callback=remember,
        envvar="CLOUDCRYPT_JOURNAL",
        show_envvar=True,
        metavar="FILE",
        help="Keep here what is asked for, before it is: asking again finishes it, once.",
    )


provider_option = click.option(
    "--provider",
    "url",
    required=True,
    metavar="URL",
    envvar="CLOUDCRYPT_PROVIDER",
    show_envvar=True,
    help="Where the volumes are, such as local:///var/lib/volumes.",
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=86400),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
)


_Verb = Callable[[Provisioner, Any, Deadline], Any]
_VERBS: Final[Mapping[type[spi.Intent[Any]], _Verb]] = {
    spi.AttachVolume: lambda plane, it, by: plane.ensure_attached(
        it.volume_id, it.instance, deadline=by
    ),
    spi.CreateSnapshot: lambda plane, it, by: plane.ensure_snapshot(
        it.volume_id, it.name, it.generation, deadline=by
    ),
    spi.CreateVolume: lambda plane, it, by: plane.ensure_volume(
        VolumeRequest(**_without_token(it)), deadline=by
    ),
    spi.DeleteSnapshot: lambda plane, it, by: plane.ensure_snapshot_gone(
        it.snapshot_id, deadline=by
    ),
    spi.DeleteVolume: lambda plane, it, by: plane.ensure_gone(it.volume_id, deadline=by),
    spi.DetachVolume: lambda plane, it, by: plane.ensure_detached(
        it.volume_id, it.instance, force=it.force, deadline=by
    ),
    spi.ModifyVolume: lambda plane, it, by: plane.ensure_modified(
        **_without_token(it), deadline=by
    ),
    spi.ResizeVolume: lambda plane, it, by: plane.ensure_size(it.volume_id, it.size, deadline=by),
}


def ensured(plane: Provisioner, intent: spi.Intent[spi.T], deadline: Deadline) -> spi.T:
    """Make true what ``intent`` asks for, in the journal of ``plane``; its token is not used."""
    return cast("spi.T", _VERBS[type(intent)](plane, intent, deadline))


def _without_token(intent: spi.Intent[Any]) -> dict[str, Any]:
    fields = attrs.asdict(intent, recurse=False)
    return {name: fields[name] for name in fields if name not in {"token", "maker"}}


@click.group(cls=Group)
def journal() -> None:
    """Show, finish and forget operations that were begun at providers."""


@journal.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Finished ones too.")
@journal_option(required=True)
@json_option
def list_entries(journal_path: str, *, everything: bool) -> None:
    """List the operations that are not finished, newest first."""
    with closing(_existing(journal_path)) as store:
        found = [entry for entry in store.entries() if everything or not entry.is_finished]
        show_rows("operations", [_entry_dict(entry) for entry in found])


@journal.command()
@click.argument("operation_id", required=False)
@journal_option(required=True)
@provider_option
@timeout_option
@json_option
def resume(journal_path: str, url: str, operation_id: str | None, timeout: float) -> None:
    """Finish an operation, or all of a provider: whoever began them.

    Of all, those that detach or delete are not begun: what the provider has not accepted yet is
    given up. The exit code is that of the first one that cannot be finished.
    """
    deadline = Deadline.after(timeout)
    with (
        closing(_existing(journal_path)) as store,
        closing(open_provider(url)) as provider,
        working("finishing operations"),
    ):
        plane = Provisioner(provider, store)
        if operation_id is not None:
            show(_entry_dict(plane.resume(operation_id, deadline=deadline)))
            return
        resumed = plane.resume_all(deadline=deadline)
        show_rows("operations", [_entry_dict(each.entry) for each in resumed])
        for each in resumed:
            if each.error is not None:
                raise each.error


@journal.command()
@click.option("--days", type=click.IntRange(min=0), default=_DAYS, show_default=True)
@journal_option(required=True)
@json_option
def prune(journal_path: str, days: int) -> None:
    """Remove operations that were finished so many days ago."""
    with closing(_existing(journal_path)) as store:
        show({"removed": store.prune(SYSTEM_CLOCK.now() - timedelta(days=days))})


def _existing(path: str) -> SqliteJournal:
    if not Path(path).is_file():
        raise InvalidRequest("--journal", path, "a journal that exists; 'volume' verbs start one")
    return SqliteJournal(path)


def _entry_dict(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "operation": entry.operation,
        "subject": entry.subject,
        "state": entry.state.value,
        "attempt": entry.attempt,
        "changed": entry.changed.isoformat(),
        "outcome": entry.outcome,
        "error": entry.error,
        "provider": entry.provider,
    }
