"""``cloudcrypt luks passphrase``: what stock cryptsetup needs to open a volume."""

import functools
import os

import click

from cloudcrypt.cli.options import (
    GENERATION,
    key_service,
    keys_options,
    policy_option,
    volume_id_option,
)
from cloudcrypt.cli.transfer import write_all
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.keys import KeyService, bound_key_id, get_data_key
from cloudcrypt.luks2 import derive
from cloudcrypt.model import KeyPolicy, is_uuid
from cloudcrypt.secret import Secret


@click.command()
@volume_id_option
@keys_options
@policy_option
@click.option("--generation", type=GENERATION, default=1, show_default=True)
@click.option("--uuid", help="UUID of the header; policy constellation needs it.")
@click.option("--output-fd", type=click.IntRange(min=1), required=True, metavar="N")
def passphrase(  # one parameter an option
    volume_id: str,
    master_secret_path: str | None,
    key_service_url: str | None,
    policy: str,
    generation: int,
    uuid: str | None,
    output_fd: int,
) -> None:
    """Write the 32 raw bytes of the passphrase to a file descriptor, for stock cryptsetup.

    For recovery, into a pipe: cloudcrypt luks passphrase ... --output-fd 1 | cryptsetup open
    --key-file - IMAGE NAME
    """
    try:
        os.fstat(output_fd)
    except (OSError, OverflowError) as error:
        raise InvalidRequest("--output-fd", output_fd, "an open file descriptor") from error
    if os.isatty(output_fd):
        raise InvalidRequest("--output-fd", output_fd, "a pipe; a terminal would show the secret")
    with (
        key_service(master_secret_path, key_service_url) as keys,
        _passphrase(keys, volume_id, KeyPolicy(policy), generation, uuid) as key,
    ):
        write_all(functools.partial(os.write, output_fd), key.reveal(), "--output-fd")


def _passphrase(
    service: KeyService,
    volume_id: str,
    policy: KeyPolicy,
    generation: int,
    uuid: str | None,
) -> Secret:
    match policy:
        case KeyPolicy.BOUND:
            with get_data_key(service, bound_key_id(volume_id), existing=True) as data_key:
                keys = derive(data_key, volume_id, generation)
            keys.seal.key.wipe()
            return keys.passphrase
        case KeyPolicy.CONSTELLATION:
            if uuid is None or not is_uuid(uuid):
                raise InvalidRequest("--uuid", uuid, "the lower-case UUID of the header")
            return get_data_key(service, uuid, existing=True)
