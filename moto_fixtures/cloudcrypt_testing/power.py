"""Power that goes at one chosen moment, for the disk and the ledger of a host together.

    power = Power(DiskCut(write=1, tear=512))
    host.wrap = power.wrap
    stage = Stage(CutLedger(ledger, power), keys, UserspaceMapper(), open_disk=host.open_disk)
    with pytest.raises(PowerCut):
        stage.rotate(device)

Without a cut, `Power` counts what there is to cut.
"""

from collections.abc import Iterator

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.ledger import Ledger, Record
from cloudcrypt_testing.disks import CutDisk, PowerCut


@attrs.frozen
class DiskCut:
    """The power goes at the ``write``-th write to the disk, counted from 0.

    ``tear`` bytes of it arrive all the same. With ``lose_unsynced`` the writes before it are lost
    unless they were made durable: a cache need not keep their order.
    """

    write: int
    tear: int = 0
    lose_unsynced: bool = False


@attrs.frozen
class LedgerCut:
    """The power goes at the ``write``-th write to the ledger, before or after it is durable.

    What was written to the disk and not made durable is lost.
    """

    write: int
    is_durable: bool


Cut = DiskCut | LedgerCut


class Power:
    """The power supply of one host, until it is cut."""

    def __init__(self, cut: Cut | None = None) -> None:
        """Plan ``cut``; None means that the power stays."""
        self.disk_writes: list[int] = []
        """Bytes of each write to the disk that was tried."""
        self.ledger_writes = 0
        """How many writes to the ledger were tried."""
        self._cut = cut
        self._is_off = False
        self._disks: list[_MeteredDisk] = []

    def wrap(self, disk: Disk) -> Disk:
        """Return ``disk`` on this power supply; for `MemoryHost.wrap`."""
        metered = _MeteredDisk(self, disk, self._cut)
        self._disks.append(metered)
        return metered

    def check(self) -> None:
        """Do nothing; or raise `PowerCut` if the power is off."""
        if self._is_off:
            raise PowerCut

    def off(self) -> None:
        """Cut the power now, everywhere."""
        if not self._is_off:
            self._is_off = True
            for disk in self._disks:
                disk.cut()

    def is_cut_at_ledger_write(self, *, is_durable: bool) -> bool:
        """Say whether the power goes at the ledger write that was counted last."""
        return LedgerCut(self.ledger_writes - 1, is_durable) == self._cut


class _MeteredDisk(CutDisk):
    """A `CutDisk` that goes off, and takes everything off, with one `Power`."""

    def __init__(self, power: Power, disk: Disk, cut: Cut | None) -> None:
        self._power = power
        if cut is None:
            super().__init__(disk, after=-1)
        elif isinstance(cut, LedgerCut):
            super().__init__(disk, after=-1, lose_unsynced=True)
        else:
            after = cut.write - len(power.disk_writes)
            super().__init__(disk, after=after, tear=cut.tear, lose_unsynced=cut.lose_unsynced)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Count and write."""
        self._power.check()
        self._power.disk_writes.append(len(data))
        super().write(offset, data)

    def cut(self) -> None:
        """Cut the power now."""
        super().cut()
        self._power.off()


class CutLedger:
    """A ledger on a `Power`; see `cloudcrypt.ledger.Ledger` for its methods."""

    def __init__(self, ledger: Ledger, power: Power) -> None:
        """Pass everything on to ``ledger`` while there is power."""
        self._ledger = ledger
        self._power = power

    def get(self, volume_id: str) -> Record | None:
        """Return the record of ``volume_id``."""
        self._power.check()
        return self._ledger.get(volume_id)

    def add(self, record: Record) -> Record:
        """Add the first record of a volume."""
        self._before()
        added = self._ledger.add(record)
        self._after()
        return added

    def replace(self, old: Record, new: Record) -> Record:
        """Put ``new`` in the place of ``old``."""
        self._before()
        replaced = self._ledger.replace(old, new)
        self._after()
        return replaced

    def forget(self, volume_id: str) -> None:
        """Remove the record of a volume."""
        self._before()
        self._ledger.forget(volume_id)
        self._after()

    def records(self) -> Iterator[Record]:
        """Yield all records."""
        self._power.check()
        yield from self._ledger.records()

    def _before(self) -> None:
        self._power.check()
        self._power.ledger_writes += 1
        self._cut_if_planned(is_durable=False)

    def _after(self) -> None:
        self._cut_if_planned(is_durable=True)

    def _cut_if_planned(self, *, is_durable: bool) -> None:
        if self._power.is_cut_at_ledger_write(is_durable=is_durable):
            self._power.off()
            raise PowerCut
