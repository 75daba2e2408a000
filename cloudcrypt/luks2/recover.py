"""Which header a disk has after a change of it was cut short.

While a header is being replaced, one copy may be old, one new and one of them torn; that is an
attack in every other situation, so this is used only where the ledger says that a change was under
way. The copy that is taken passes every step of the verification by itself, under a key that the
ledger's record names.
"""

from collections.abc import Iterator, Sequence

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2.parse import RawHeader, parse_one_copy
from cloudcrypt.luks2.seal import SealKey
from cloudcrypt.luks2.verify import VerifiedHeader, verify
from cloudcrypt.luks2.write import serialise
from cloudcrypt.model import Expectation
from cloudcrypt.profiles import Profile


@attrs.frozen
class Candidate:
    """One of the two things that the header may be; ``seal_key`` names the identity."""

    expectation: Expectation
    seal_key: SealKey


def recover(raw: RawHeader, profile: Profile, candidates: Sequence[Candidate]) -> VerifiedHeader:
    """Return the header of the first candidate that any copy verifies as.

    Args:
        raw: the bytes of the header.
        profile: a sealed profile: without a MAC there is nothing to tell the copies apart by.
        candidates: what the header may be, the goal of the change first. Among copies of the same
            candidate the higher sequence id is taken.

    Raises:
        HeaderRefused: no copy is any of the candidates; the refusal of the last attempt.
    """
    refusals: list[HeaderRefused] = []
    for candidate in candidates:
        found = sorted(_verified(raw, profile, candidate, refusals), key=lambda copy: copy.seqid)
        if found:
            return found[-1]
    raise refusals[-1]


def _verified(
    raw: RawHeader, profile: Profile, candidate: Candidate, refusals: list[HeaderRefused]
) -> Iterator[VerifiedHeader]:
    for secondary in (True, False):
        try:
            header = parse_one_copy(raw, secondary=secondary)
            yield verify(header, profile, candidate.expectation, candidate.seal_key)
        except HeaderRefused as refusal:
            refusals.append(refusal)


def finish(disk: Disk, header: VerifiedHeader) -> None:
    """Write ``header`` once more: keyslot area and both copies, each durable before the next.

    Also what is there already is written again: after a flush that failed, the system may show
    content that never reached the disk. Idempotent.

    Raises:
        DeviceIOError: the device failed; ask again.
    """
    serialise(header).write_to(disk)
