"""Who calls: the names within the certificate that a client has proven, or an address."""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

ANONYMOUS: Final = "anonymous"
"""What a caller without a certificate is called in policies and logs."""

_NAMES: Final = (("URI", "peer_uri"), ("DNS", "peer_dns"), ("CN", "x509_common_name"))
"""The kinds of names, and where gRPC has them: authentication context of a secure channel."""


@attrs.frozen
class Caller:
    """Whoever calls.

    ``names`` are those of its certificate, each with its kind (``URI:spiffe://...``, ``DNS:...``,
    ``CN:...``), so that one kind cannot pass for another. ``address`` is where it calls from,
    without the port.
    """

    names: tuple[str, ...]
    address: str
    authenticated: bool = attrs.field(kw_only=True)

    @property
    def name(self) -> str:
        """The first name, or what stands for one: never empty."""
        if self.names:
            return self.names[0]
        return "unnamed" if self.authenticated else ANONYMOUS

    @property
    def account(self) -> str:
        """To whom calls are counted: the name, or the address of a caller without one."""
        return self.name if self.names else f"{self.name} {self.address}"


def caller_of(properties: Mapping[str, Iterable[bytes]], peer: str) -> Caller:
    """Return who is at the other end of a call.

    Args:
        properties: the authentication context that gRPC gives: proven by the handshake.
        peer: what gRPC calls the other end, such as ``ipv4:192.0.2.1:4711``.
    """
    names = tuple(
        f"{kind}:{value.decode('utf-8', 'backslashreplace')}"
        for kind, key in _NAMES
        for value in properties.get(key, ())
        if value
    )
    authenticated = any(properties.get("x509_pem_cert", ()))
    shown = names if authenticated else ()
    return Caller(shown, _address(peer), authenticated=authenticated)


def _address(peer: str) -> str:
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return peer
    return rest.replace("%5B", "[").replace("%5D", "]").rpartition(":")[0]
