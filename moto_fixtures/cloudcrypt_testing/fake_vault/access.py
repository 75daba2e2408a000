"""Who may ask: roles that log in, tokens with a life, and what is denied."""

import uuid
from fnmatch import fnmatchcase

import attrs

from cloudcrypt_testing.fake_vault import errors
from cloudcrypt_testing.world.clock import FakeClock


@attrs.define
class Token:
    """A token; one without an end has a ``lease`` of 0."""

    value: str = attrs.field(repr=False)
    lease: int
    end: float
    last: float
    """When it ends however often it is renewed."""
    renewable: bool


@attrs.frozen
class Role:
    """Who has this JWT may log in."""

    jwt: str = attrs.field(repr=False)
    lease: int
    most: int
    """Seconds of life that a token has at most, renewals included."""


@attrs.define
class Access:
    """Roles, tokens and denials of one Vault."""

    clock: FakeClock
    root: str = attrs.field(factory=lambda: f"hvs.root-{uuid.uuid4().hex}", repr=False)
    roles: dict[tuple[str, str], Role] = attrs.field(factory=dict[tuple[str, str], Role])
    """By mount and name."""
    tokens: dict[str, Token] = attrs.field(factory=dict[str, Token], repr=False)
    denials: list[str] = attrs.field(factory=list[str])
    """Patterns of paths that nobody but root may use."""

    def issue(self, lease: int, most: int = 0) -> Token:
        """Make a token that lives ``lease`` seconds, and ``most`` with renewals."""
        now = self.clock.monotonic()
        end, last = (now + life if life else float("inf") for life in (lease, most))
        token = Token(f"hvs.{uuid.uuid4().hex}", lease, end, last, renewable=bool(lease))
        self.tokens[token.value] = token
        return token

    def log_in(self, mount: str, name: str, jwt: str) -> Token:
        """Give a token to whoever has the JWT of a role."""
        role = self.roles.get((mount, name))
        if role is None:
            raise errors.invalid(f'invalid role name "{name}"')
        if jwt != role.jwt:
            raise errors.denied()
        return self.issue(role.lease, role.most)

    def check(self, value: str, path: str) -> Token | None:
        """Return the token of a request to ``path``; None for root."""
        if value == self.root:
            return None
        token = self.tokens.get(value)
        if token is None or self.clock.monotonic() >= token.end:
            self.tokens.pop(value, None)
            raise errors.denied()
        if any(fnmatchcase(path, pattern) for pattern in self.denials):
            raise errors.denied()
        return token

    def renew(self, token: Token) -> None:
        """Let a token live on from now, but not longer than it may."""
        if not token.renewable:
            raise errors.invalid("lease is not renewable")
        now = self.clock.monotonic()
        token.end = min(now + token.lease, token.last)


def document(token: Token, now: float) -> dict[str, object]:
    """Return what Vault says when it gives or renews a token."""
    return {
        "client_token": token.value,
        "accessor": "",
        "policies": ["default", "disks"],
        "lease_duration": int(token.end - now) if token.lease else 0,
        "renewable": token.renewable,
        "token_type": "service",
    }
