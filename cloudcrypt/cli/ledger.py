"""``cloudcrypt ledger``: what is recorded of volumes on this node."""

from contextlib import closing

import attrs
import click

from cloudcrypt.cli.luks import record_dict
from cloudcrypt.cli.options import ledger_option, open_ledger
from cloudcrypt.cli.output import Group, json_option, show, show_rows
from cloudcrypt.errors import InvalidRequest


@click.group(cls=Group)
def ledger() -> None:
    """Show, release and forget what is recorded of volumes."""


@ledger.command(name="list")
@ledger_option(required=True)
@json_option
def list_records(ledger_path: str) -> None:
    """List all records."""
    with closing(open_ledger(ledger_path)) as store:
        show_rows("records", [record_dict(record) for record in store.records()])


@ledger.command(name="get")
@click.argument("volume_id")
@ledger_option(required=True)
@json_option
def get_record(volume_id: str, ledger_path: str) -> None:
    """Show the record of a volume."""
    with closing(open_ledger(ledger_path)) as store:
        record = store.get(volume_id)
        if record is None:
            raise InvalidRequest("VOLUME_ID", volume_id, "one that the ledger knows")
        show(record_dict(record))


@ledger.command()
@click.argument("volume_id")
@ledger_option(required=True)
@json_option
@click.confirmation_option(prompt="Is the holder gone for good, and the volume detached from it?")
def release(volume_id: str, ledger_path: str) -> None:
    """Void the hold of a node that will never close the volume itself."""
    with closing(open_ledger(ledger_path)) as store:
        record = store.get(volume_id)
        if record is None:
            raise InvalidRequest("VOLUME_ID", volume_id, "one that the ledger knows")
        show(record_dict(store.replace(record, attrs.evolve(record, holder=None))))


@ledger.command()
@click.argument("volume_id")
@ledger_option(required=True)
@json_option
@click.confirmation_option(prompt="Is the volume deleted, or known to another ledger?")
def forget(volume_id: str, ledger_path: str) -> None:
    """Remove the record of a volume that no longer exists."""
    with closing(open_ledger(ledger_path)) as store:
        store.forget(volume_id)
    show({"forgotten": volume_id})
