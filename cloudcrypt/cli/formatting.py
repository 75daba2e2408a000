"""Formatting a volume that the caller says is new: what ``luks format`` and ``--new`` share."""

import warnings
from typing import Any

import click

from cloudcrypt.cli.output import Steps, progress, say
from cloudcrypt.errors import CloudcryptError
from cloudcrypt.ledger import Ledger, Record, State
from cloudcrypt.mapper import payload_size
from cloudcrypt.model import BlockDevice, KeyPolicy, Mode
from cloudcrypt.sizes import format_size
from cloudcrypt.stage import LargeVolumeWarning, Stage


def format_new(
    stage: Stage[Any], ledger: Ledger, device: BlockDevice, mode: Mode, policy: KeyPolicy
) -> Record:
    """Register a volume as new, and format it. Idempotent.

    A registration that led to nothing is taken back, so that another device can have the id.
    """
    is_first = ledger.get(device.volume_id) is None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LargeVolumeWarning)
        record = stage.register_new(
            device.volume_id, capacity=device.size, mode=mode, policy=policy
        )
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)
    payload = payload_size(record.mode, record.capacity)
    if record.mode is Mode.INTEGRITY:
        overhead = 100 * (record.capacity - payload) / record.capacity
        say(f"{format_size(payload)} of payload, {overhead:.1f} % of the device is overhead")
    try:
        with progress("initialise", payload) as advance:
            return stage.format(device, progress=Steps(advance))
    except CloudcryptError:
        found = ledger.get(device.volume_id)
        if is_first and found is not None and found.state is State.NEW:
            ledger.forget(device.volume_id)
        raise
