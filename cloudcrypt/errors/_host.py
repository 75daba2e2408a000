"""Errors of this machine."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class HostError(CloudcryptError):
    """This machine."""

    grpc_code = "FAILED_PRECONDITION"


@attrs.frozen(str=False)
class HostUnready(HostError):
    """A resource or a library of this machine is missing."""

    what: str
    instead: str

    text = "this host lacks {what:s}"

    @property
    def remedy(self) -> str:
        """What to install or free."""
        return self.instead
