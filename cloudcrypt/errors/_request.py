"""Errors of the request: what was asked for cannot be."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class RequestError(CloudcryptError):
    """What was asked for cannot be; asking again the same way will not help."""

    grpc_code = "INVALID_ARGUMENT"


@attrs.frozen(str=False)
class InvalidRequest(RequestError):
    """A parameter is malformed or out of range."""

    parameter: str
    value: object
    rule: str

    advice = "correct the parameter"

    text = "{parameter:s} {value} is not acceptable: {rule:s}"


@attrs.frozen(str=False)
class InvalidVolumeId(RequestError):
    """Not a volume id."""

    value: object

    advice = "use 1 to 128 characters of A-Z a-z 0-9 . _ : / @ -"

    text = "{value} is not a volume id"


@attrs.frozen(str=False)
class UnknownProvider(RequestError):
    """No adapter is registered for the scheme of a provider URL."""

    url: str
    known: tuple[str, ...]

    advice = "use a registered scheme, or install the package that brings the adapter"

    text = "no provider for {url}; known schemes: {known:s}"


@attrs.frozen(str=False)
class UnsupportedOperation(RequestError):
    """Understood, but not offered by this version or by this provider."""

    operation: str
    instead: str

    grpc_code = "UNIMPLEMENTED"

    text = "{operation:s} is not supported"

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return self.instead


@attrs.frozen(str=False)
class RequestConflict(RequestError):
    """The name exists already, with other parameters; nothing was changed."""

    name: str
    fields: tuple[str, ...]

    advice = "use another name, or ask for exactly what exists"
    grpc_code = "ALREADY_EXISTS"

    text = "{name} exists already and differs in {fields:s}"


@attrs.frozen(str=False)
class RequestRejected(RequestError):
    """The cloud does not accept the parameters; nothing was changed."""

    operation: str

    advice = "correct what the cloud's message names"

    text = "the cloud does not accept the parameters of {operation:s}"
