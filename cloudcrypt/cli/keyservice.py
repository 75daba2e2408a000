"""``cloudcrypt keyservice``: hands out data keys over gRPC, as Constellation's key service does."""

import os
import signal
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from cloudcrypt.cli.options import key_service, keys_options
from cloudcrypt.cli.output import json_option
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.plugins import needing

_STOP = {signal.SIGTERM, signal.SIGINT}
_RELOAD = {signal.SIGHUP}

_FILE = click.Path(path_type=Path, readable=False)


@click.command()
@keys_options
@click.option(
    "--listen", default="127.0.0.1:9000", show_default=True, metavar="ADDRESS:PORT", help="Where."
)
@click.option("--certificate", type=_FILE, metavar="FILE", help="Its certificate, with the chain.")
@click.option("--key", type=_FILE, metavar="FILE", help="The private key of it.")
@click.option("--client-ca", type=_FILE, metavar="FILE", help="Authorities of the callers.")
@click.option("--plaintext", is_flag=True, help="No TLS: callers are anonymous, keys are readable.")
@click.option(
    "--policy", type=_FILE, metavar="FILE", help="Who may ask for which ids; by default: volumes."
)
@click.option("--audit-log", type=_FILE, metavar="FILE", help="By default standard error.")
@click.option("--rate", default=100.0, show_default=True, help="Calls a second of one caller.")
@click.option("--total-rate", default=1000.0, show_default=True, help="Calls a second of all.")
@click.option("--grace", default=20.0, show_default=True, help="Seconds for calls in flight.")
@json_option
def keyservice(
    master_secret_path: str | None,
    key_service_url: str | None,
    listen: str,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    plaintext: bool,  # noqa: FBT001  # click's way to give a flag
    policy: Path | None,
    audit_log: Path | None,
    rate: float,
    total_rate: float,
    grace: float,
) -> None:
    """Serve data keys over gRPC until SIGTERM; SIGHUP reads certificates and policy again.

    Callers prove who they are by certificates (mutual TLS), unless --plaintext is said.
    """
    # The C core of gRPC would report each failed handshake, between the lines of the audit log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with needing("the key service", "keyservice"):
        from cloudcrypt.keyservice.audit import AuditLog  # noqa: PLC0415  # needs an extra
        from cloudcrypt.keyservice.certificates import TlsFiles  # noqa: PLC0415  # likewise
        from cloudcrypt.keyservice.limits import Limits  # noqa: PLC0415  # likewise
        from cloudcrypt.keyservice.server import KeyServer  # noqa: PLC0415  # likewise
    files = _files(certificate, key, client_ca, plaintext=plaintext)
    tls = None if files is None else TlsFiles(*files)
    with (
        _signals() as next_signal,
        key_service(master_secret_path, key_service_url) as keys,
        closing(AuditLog(audit_log)) as audit,
    ):
        limits = Limits(rate, total_rate)
        server = KeyServer(keys, listen, tls=tls, policy=policy, limits=limits, audit=audit)
        server.start()
        try:
            while next_signal() in _RELOAD:
                server.reload()
        finally:
            server.stop(grace)


def _files(
    certificate: Path | None, key: Path | None, client_ca: Path | None, *, plaintext: bool
) -> tuple[Path, Path, Path] | None:
    """Return authorities, certificate and key, or None for plain text.

    Raises:
        InvalidRequest: not all are given, or some beside --plaintext.
    """
    if plaintext:
        if certificate or key or client_ca:
            raise InvalidRequest("--plaintext", "given", "absent where there are certificates")
        return None
    if not (certificate and key and client_ca):
        rule = "given, all three, for mutual TLS; --plaintext is without"
        raise InvalidRequest("--certificate, --key, --client-ca", "incomplete", rule)
    return client_ca, certificate, key


@contextmanager
def _signals() -> Generator[Callable[[], int]]:
    """Yield a function that waits for a signal and returns it; none of them interrupts anything.

    They are blocked in this thread before others are begun, which inherit that.
    """
    watched = _STOP | _RELOAD
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        yield lambda: signal.sigwait(watched)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
