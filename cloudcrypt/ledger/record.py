"""What the ledger says of a volume, and the protocol of a store that keeps it."""

import enum
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

import attrs

from cloudcrypt.ledger.payload import Payload, Unrecorded
from cloudcrypt.model import Blank, KeyPolicy, Mode, Origin

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class State(enum.Enum):
    """Where a volume is in its life. READY is the only state in which nothing is under way."""

    NEW = "new"
    """Registered as created blank; may be formatted."""
    FORMATTING = "formatting"
    """A format was begun; it is done again."""
    INITIALISING = "initialising"
    """The header is written; the tags of an integrity volume are, up to ``initialised``."""
    READY = "ready"
    """Formatted; the header is exactly what the record says."""
    ROTATING = "rotating"
    """On the way from ``generation`` to ``generation`` + 1."""
    REBINDING = "rebinding"
    """On the way from the identity of ``origin`` to this volume's own."""
    RESTORING = "restoring"
    """A header backup is being written."""
    GROWING = "growing"
    """An integrity volume is on the way from ``capacity`` to ``goal``."""


@attrs.frozen
class Holder:
    """Who has a volume open: a node, during one boot of it."""

    node: str
    boot_id: str

    @classmethod
    def this_host(cls) -> Self:
        """Return this host during its current boot: node name and the kernel's boot id."""
        return cls(os.uname().nodename, _BOOT_ID.read_text("ascii").strip())


@attrs.frozen
class Record:
    """All that is recorded of one volume.

    ``capacity`` is how many bytes of the device count, header included; ``uuid`` is None until a
    format was begun; ``generation`` is the one the header has, or had before the change that
    ``state`` names. Of integrity volumes ``initialised`` counts the sectors whose tags are written,
    ``journal_sections`` is that of one that has grown, and ``goal`` the capacity that growing leads
    to. ``payload`` says whether a filesystem may be made.
    """

    volume_id: str
    state: State
    mode: Mode
    policy: KeyPolicy
    capacity: int
    generation: int = 1
    uuid: str | None = None
    origin: Origin = Blank()
    holder: Holder | None = None
    initialised: int = 0
    journal_sections: int | None = None
    goal: int | None = None
    payload: Payload = attrs.field(factory=Unrecorded)


class Ledger(Protocol):
    """A store of records, durable when a method returns. Safe across threads and processes."""

    def get(self, volume_id: str) -> Record | None:
        """Return the record of ``volume_id``, or None if there is none.

        Raises:
            LedgerUnavailable: the store could not tell; that is not "none".
        """
        ...

    def add(self, record: Record) -> Record:
        """Add the first record of a volume. Idempotent: an equal record is left as it is.

        Raises:
            AlreadyRegistered: the volume has another record already.
            LedgerUnavailable: nothing is known to be stored.
        """
        ...

    def replace(self, old: Record, new: Record) -> Record:
        """Put ``new`` in the place of ``old`` and return it; both are of the same volume.

        Raises:
            RecordChanged: the record is not ``old`` any more; another process was here.
            LedgerUnavailable: nothing is known to be stored.
        """
        ...

    def forget(self, volume_id: str) -> None:
        """Remove the record of a volume that no longer exists. Idempotent.

        Raises:
            VolumeBusy: somebody holds the volume.
        """
        ...

    def records(self) -> Iterator[Record]:
        """Yield all records, by volume id."""
        ...
