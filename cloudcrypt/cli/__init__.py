"""The command line: ``cloudcrypt``.

Exit codes: 0 done; 2 the request was wrong (also click's own usage errors); 3 the header was
refused; 4 keys; 5 the device; 6 the provider; 7 the recorded state; 8 this host; 1 anything else,
which is a defect of cloudcrypt; 130 interrupted.
"""

import click

from cloudcrypt.cli.demo import demo
from cloudcrypt.cli.doctor import doctor
from cloudcrypt.cli.journal import journal
from cloudcrypt.cli.key import key
from cloudcrypt.cli.keyservice import keyservice
from cloudcrypt.cli.ledger import ledger
from cloudcrypt.cli.luks import luks
from cloudcrypt.cli.node import COMMANDS
from cloudcrypt.cli.output import Group
from cloudcrypt.cli.volume import volume

__all__ = ["main"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cloudcrypt", prog_name="cloudcrypt")
def main() -> None:
    """Disks for confidential VMs that the cloud can never read, swap or forge.

    Every command takes --json: one JSON document on standard output; an error is one on standard
    error. Exit codes: 0 done, 2 request, 3 header refused, 4 keys, 5 device, 6 provider, 7
    recorded state, 8 this host, 1 a defect of cloudcrypt.
    """


for _command in COMMANDS:
    volume.add_command(_command)
for _command in (demo, doctor, journal, key, keyservice, ledger, luks, volume):
    main.add_command(_command)
