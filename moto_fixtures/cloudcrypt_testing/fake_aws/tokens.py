"""Client tokens: a creation that is repeated with the same token creates nothing again."""

from typing import Final

import attrs

from cloudcrypt_testing.fake_aws.errors import EC2Error
from cloudcrypt_testing.fake_aws.query import Query

LIFE: Final = 12 * 3600.0
"""Seconds that a token is known for."""
_LONGEST: Final = 64  # characters


@attrs.frozen
class _Use:
    fingerprint: tuple[tuple[str, str], ...]
    volume_id: str
    moment: float


class Tokens:
    """The tokens that were used in the last hours, whatever became of their volumes."""

    def __init__(self) -> None:
        """Begin without any."""
        self._uses: dict[tuple[str, str], _Use] = {}

    def volume_id(self, query: Query, moment: float) -> str | None:
        """Return the volume that was created with the token of ``query``, dead or alive.

        Raises:
            EC2Error: the token is too long, or was used with other parameters.
        """
        token = query.text("ClientToken")
        if token is None:
            return None
        if len(token) > _LONGEST:
            raise EC2Error("InvalidParameterValue", "The client token is too long.")
        use = self._uses.get((query.action, token))
        if use is None or moment - use.moment >= LIFE:
            return None
        if use.fingerprint != query.fingerprint:
            message = (
                "The client token you have provided is associated with a resource "
                "that has different parameters."
            )
            raise EC2Error("IdempotentParameterMismatch", message)
        return use.volume_id

    def keep(self, query: Query, volume_id: str, moment: float) -> None:
        """Remember which volume the token of ``query`` created."""
        token = query.text("ClientToken")
        if token is not None:
            use = _Use(query.fingerprint, volume_id, moment)
            self._uses[query.action, token] = use
