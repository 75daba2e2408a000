"""Errors of what is recorded of a volume."""

import attrs

from cloudcrypt.errors._base import CloudcryptError


class StateError(CloudcryptError):
    """What is recorded of the volume."""

    grpc_code = "FAILED_PRECONDITION"


@attrs.frozen(str=False)
class UnknownVolume(StateError):
    """The ledger has never heard of the volume; unknown is not new."""

    volume_id: str

    advice = (
        "pass an expectation (mode, generation, UUID, capacity), or say adopt to trust what the "
        "sealed header says; for a volume just created blank, register it as new first"
    )
    grpc_code = "NOT_FOUND"

    text = "volume {volume_id:s} is unknown to the ledger"


@attrs.frozen(str=False)
class AlreadyRegistered(StateError):
    """The ledger knows the volume already, with other facts."""

    volume_id: str
    fields: tuple[str, ...]

    advice = "a volume id is registered once; use the record that exists"
    grpc_code = "ALREADY_EXISTS"

    text = "volume {volume_id:s} is registered already, with other {fields:s}"


@attrs.frozen(str=False)
class VolumeLost(StateError):
    """A volume that the ledger knows is gone, and another one must not pass for it."""

    volume_id: str
    name: str

    advice = (
        "restore it from a snapshot, under another name; to begin anew with an empty volume, let "
        "the ledger forget the lost one first"
    )
    grpc_code = "DATA_LOSS"

    text = "volume {volume_id:s}, named {name}, is in the ledger, and the provider has it no more"


@attrs.frozen(str=False)
class StateForbids(StateError):
    """The recorded state forbids the operation."""

    volume_id: str
    state: str
    operation: str

    advice = "finish what the state names first: format a new volume, open one in transition"

    text = "volume {volume_id:s} is recorded as {state:s}, which forbids {operation:s}"


@attrs.frozen(str=False)
class PayloadForbids(StateError):
    """What is recorded of the payload forbids the operation; nothing was written to it."""

    volume_id: str
    payload: str
    operation: str

    advice = (
        "a filesystem is made once, on a volume that was formatted here and never opened for "
        "writing otherwise; one that is there already is adopted; one that was begun is to be made"
    )

    text = "volume {volume_id:s} has a payload recorded as {payload:s}, which forbids {operation:s}"


@attrs.frozen(str=False)
class RecordChanged(StateError):
    """Another process changed the record between a look at it and the change that was to follow."""

    volume_id: str

    advice = "ask again: the verb looks at the record anew"
    retryable = True
    grpc_code = "ABORTED"
    text = "the record of volume {volume_id:s} was changed by another process meanwhile"


@attrs.frozen(str=False)
class ExpectationConflict(StateError):
    """The caller's expectation contradicts the ledger."""

    volume_id: str
    field: str
    expected: object
    recorded: object

    advice = "one of the two is wrong: drop the expectation, or correct the ledger knowingly"

    text = "volume {volume_id:s}: {field:s} {expected} is expected, the ledger says {recorded}"


@attrs.frozen(str=False)
class VolumeBusy(StateError):
    """Another node holds the volume."""

    volume_id: str
    holder: str

    advice = "close the volume on its holder; if that node is gone for good, release its hold"
    retryable = True
    grpc_code = "ABORTED"

    text = "volume {volume_id:s} is held by {holder}"


@attrs.frozen(str=False)
class LedgerUnavailable(StateError):
    """The ledger itself cannot be read or written; nothing is concluded from its silence."""

    ledger: str
    reason: str

    advice = "check the ledger's file or store, its permissions and free space"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "ledger {ledger} is unavailable: {reason:s}"


@attrs.frozen(str=False)
class OperationBusy(StateError):
    """Another caller works on the same thing, and this one chose not to wait."""

    subject: str

    advice = "ask again when the other caller has finished, or wait for it (on_busy=WAIT)"
    retryable = True
    grpc_code = "ABORTED"

    text = "another caller is at work on {subject}"


@attrs.frozen(str=False)
class OperationCancelled(StateError):
    """The caller cancelled; what the cloud has accepted goes on, and can be resumed."""

    advice = "ask again: what was begun is found and finished"
    grpc_code = "CANCELLED"

    text = "the caller cancelled the wait"


@attrs.frozen(str=False)
class OperationUnknown(StateError):
    """The journal has no such operation."""

    operation: str

    advice = "list the operations of the journal; finished ones are pruned after a while"
    grpc_code = "NOT_FOUND"

    text = "the journal knows no operation {operation}"


@attrs.frozen(str=False)
class JournalUnavailable(StateError):
    """The journal of operations cannot be read or written; nothing was asked of the cloud."""

    journal: str
    reason: str

    advice = "check the journal's file, its permissions and free space"
    retryable = True
    grpc_code = "UNAVAILABLE"

    text = "journal {journal} is unavailable: {reason:s}"
