"""Errors of EC2, with the codes and messages that EC2 gives them."""

from collections.abc import Sequence


class EC2Error(Exception):
    """What EC2 answers instead of doing what was asked. Nothing has changed."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Answer with HTTP ``status``, the error ``code`` and a ``message`` for humans."""
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status


def dry_run() -> EC2Error:
    """All is well, and nothing is done, for that was asked for."""
    message = "Request would have succeeded, but DryRun flag is set."
    return EC2Error("DryRunOperation", message, 412)


def throttled() -> EC2Error:
    """Too many requests."""
    return EC2Error("RequestLimitExceeded", "Request limit exceeded.", 503)


def server_error(status: int) -> EC2Error:
    """A fault of EC2 itself."""
    code, message = {
        503: ("Unavailable", "The service is unavailable. Please try again shortly."),
    }.get(status, ("InternalError", "An internal error has occurred"))
    return EC2Error(code, message, status)


def missing(parameter: str) -> EC2Error:
    """A parameter that has no default is missing."""
    return EC2Error("MissingParameter", f"The request must contain the parameter {parameter}")


def invalid(message: str) -> EC2Error:
    """A parameter has a value that it cannot have."""
    return EC2Error("InvalidParameterValue", message)


def malformed(value: str, parameter: str, expected: str) -> EC2Error:
    """An id, or whatever ``expected`` shows, does not look like one."""
    return invalid(f"Value ({value}) for parameter {parameter} is invalid. Expected: '{expected}'.")


def combination(message: str) -> EC2Error:
    """Two parameters exclude each other."""
    return EC2Error("InvalidParameterCombination", message)


def no_volume(*volume_ids: str) -> EC2Error:
    """Volumes do not exist; the message names them all."""
    return EC2Error("InvalidVolume.NotFound", _absent("volume", volume_ids))


def no_snapshot(*snapshot_ids: str) -> EC2Error:
    """Snapshots do not exist; the message names them all."""
    return EC2Error("InvalidSnapshot.NotFound", _absent("snapshot", snapshot_ids))


def wrong_state(message: str) -> EC2Error:
    """The resource is not in a state in which this can be done."""
    return EC2Error("IncorrectState", message)


def in_use(volume_id: str) -> EC2Error:
    """The volume is attached; EC2 does not say to which instance."""
    return EC2Error("VolumeInUse", f"{volume_id} is already attached to an instance")


def _absent(kind: str, ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return f"The {kind} '{ids[0]}' does not exist."
    return f"The {kind}s '{', '.join(ids)}' do not exist."
