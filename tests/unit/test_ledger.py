"""The ledger: what is stored, what is refused, and that many may use it at once."""

import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import (
    AlreadyRegistered,
    InvalidVolumeId,
    LedgerUnavailable,
    RecordChanged,
    VolumeBusy,
)
from cloudcrypt.ledger import (
    Filesystem,
    FilesystemKind,
    Holder,
    Ledger,
    Making,
    Raw,
    Record,
    SqliteLedger,
    State,
    Unrecorded,
    Untouched,
)
from cloudcrypt.model import Blank, ClonedFrom, KeyPolicy, Mode, RestoredFrom

RECORD = Record("vol-1", State.NEW, Mode.CRYPT, KeyPolicy.BOUND, 2**30)
UUID = "5d32ae5c-4a33-4ad9-9f49-0d7a4d6e2c11"
HOLDER = Holder("node-1", "5f2b8c1e-8f7e-4f0c-9d43-2d8f3c1b7a90")
FULL = Record(
    "vol-2",
    State.ROTATING,
    Mode.INTEGRITY,
    KeyPolicy.CONSTELLATION,
    2**48,
    7,
    UUID,
    RestoredFrom("vol-1", 3),
    HOLDER,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    with closing(SqliteLedger(path)) as ledger:
        yield ledger


# --- adding, reading, replacing, forgetting ---


def test_a_volume_that_was_never_added_has_no_record(ledger: SqliteLedger) -> None:
    assert ledger.get("vol-1") is None


@pytest.mark.parametrize("record", [RECORD, FULL])
def test_what_was_added_is_returned(ledger: SqliteLedger, record: Record) -> None:
    assert record == ledger.add(record)
    assert record == ledger.get(record.volume_id)


def test_adding_the_same_record_twice_changes_nothing(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    assert RECORD == ledger.add(RECORD)
    assert [RECORD] == list(ledger.records())


def test_adding_another_record_is_refused_and_names_what_differs(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    with pytest.raises(AlreadyRegistered) as refusal:
        ledger.add(attrs.evolve(RECORD, mode=Mode.INTEGRITY, capacity=2**31))
    assert ("vol-1", ("mode", "capacity")) == (refusal.value.volume_id, refusal.value.fields)
    assert RECORD == ledger.get("vol-1")


def test_a_record_is_replaced_by_who_knows_it(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    ready = attrs.evolve(RECORD, state=State.READY, uuid=UUID)
    assert ready == ledger.replace(RECORD, ready)
    assert ready == ledger.get("vol-1")


def test_a_record_is_not_replaced_by_who_knows_an_older_one(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    ready = ledger.replace(RECORD, attrs.evolve(RECORD, state=State.READY))
    with pytest.raises(RecordChanged) as refusal:
        ledger.replace(RECORD, attrs.evolve(RECORD, state=State.FORMATTING))
    assert ("vol-1", True) == (refusal.value.volume_id, refusal.value.retryable)
    assert ready == ledger.get("vol-1")


def test_a_record_that_is_gone_is_not_replaced(ledger: SqliteLedger) -> None:
    with pytest.raises(RecordChanged):
        ledger.replace(RECORD, attrs.evolve(RECORD, state=State.READY))
    assert ledger.get("vol-1") is None


def test_replacing_touches_no_other_volume(ledger: SqliteLedger) -> None:
    other = attrs.evolve(RECORD, volume_id="vol-0")
    ledger.add(RECORD)
    ledger.add(other)
    ledger.replace(RECORD, attrs.evolve(RECORD, state=State.READY))
    assert other == ledger.get("vol-0")


def test_a_forgotten_volume_is_unknown(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    ledger.forget("vol-1")
    ledger.forget("vol-1")
    assert ledger.get("vol-1") is None


def test_a_volume_that_somebody_holds_is_not_forgotten(ledger: SqliteLedger) -> None:
    held = ledger.add(attrs.evolve(RECORD, holder=HOLDER))
    with pytest.raises(VolumeBusy) as refusal:
        ledger.forget("vol-1")
    assert ("vol-1", "node-1") == (refusal.value.volume_id, refusal.value.holder)
    assert held == ledger.get("vol-1")


def test_records_come_by_volume_id(ledger: SqliteLedger) -> None:
    names = ["vol-9", "vol-10", "a", "Z"]
    for name in names:
        ledger.add(attrs.evolve(RECORD, volume_id=name))
    assert sorted(names) == [record.volume_id for record in ledger.records()]


@pytest.mark.parametrize("volume_id", ["", "vol 1", "vol\n1", "x" * 129])
def test_what_is_not_a_volume_id_is_refused(ledger: SqliteLedger, volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        ledger.get(volume_id)
    with pytest.raises(InvalidVolumeId):
        ledger.add(attrs.evolve(RECORD, volume_id=volume_id))


def test_this_host_is_named_with_its_boot() -> None:
    holder = Holder.this_host()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (True, boot_id) == (bool(holder.node), holder.boot_id)


# --- durability ---


def test_records_outlive_the_process_that_added_them(path: Path) -> None:
    with closing(SqliteLedger(path)) as ledger:
        ledger.add(RECORD)
        ledger.add(FULL)
    with closing(SqliteLedger(str(path))) as ledger:
        assert [RECORD, FULL] == list(ledger.records())


def test_every_change_is_synced_before_it_is_reported(ledger: SqliteLedger) -> None:
    synchronous, journal = (
        ledger._database._db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode")
    )
    assert (3, "delete") == (synchronous, journal)  # EXTRA: the folder is synced as well


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.sqlite"
    with closing(SqliteLedger(path)) as ledger:
        ledger.add(RECORD)
    modes = [stat.S_IMODE(item.stat().st_mode) for item in (path.parent, path)]
    assert [0o700, 0o600] == modes


def test_a_ledger_in_memory_ends_with_its_process() -> None:
    with closing(SqliteLedger.in_memory()) as ledger:
        assert RECORD == ledger.add(RECORD)
        assert [RECORD] == list(ledger.records())
    with closing(SqliteLedger.in_memory()) as ledger:
        assert [] == list(ledger.records())


records = st.builds(
    Record,
    volume_id=st.from_regex(r"[A-Za-z0-9._:/@-]{1,128}", fullmatch=True),
    state=st.sampled_from(State),
    mode=st.sampled_from(Mode),
    policy=st.sampled_from(KeyPolicy),
    capacity=st.integers(0, 2**64),
    generation=st.integers(1, 2**64),
    uuid=st.none() | st.uuids().map(str),
    origin=st.just(Blank())
    | st.builds(RestoredFrom, st.text(min_size=1, max_size=9), st.none() | st.integers(1, 9))
    | st.builds(ClonedFrom, st.text(min_size=1, max_size=9), st.none() | st.integers(1, 9)),
    holder=st.none() | st.builds(Holder, st.text(max_size=9), st.text(max_size=9)),
    payload=st.sampled_from([Unrecorded(), Untouched(), Raw()])
    | st.builds(Making, st.sampled_from(FilesystemKind), st.uuids().map(str))
    | st.builds(Filesystem, st.sampled_from(FilesystemKind), st.uuids().map(str)),
)


@given(record=records)
def test_every_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, record: Record
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-records.sqlite"
    with closing(SqliteLedger(path)) as ledger:
        ledger.add(record)
    with closing(SqliteLedger(path)) as ledger:
        assert record == ledger.get(record.volume_id)
        ledger.replace(record, attrs.evolve(record, holder=None))
        ledger.forget(record.volume_id)


# --- others use it at the same time ---


def test_a_ledger_that_stays_locked_is_unavailable(path: Path) -> None:
    with (
        closing(SqliteLedger(path, busy_timeout=0.01)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        ledger.add(RECORD)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.get("vol-1")
        with pytest.raises(LedgerUnavailable, match="locked"):
            SqliteLedger(path, busy_timeout=0.01)
        other.execute("ROLLBACK")
        assert RECORD == ledger.get("vol-1")


def test_a_commit_that_fails_stores_nothing_and_spoils_nothing(path: Path) -> None:
    with (
        closing(SqliteLedger(path, busy_timeout=0.01)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM volumes").fetchall()  # a shared lock: no commit passes it
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.add(RECORD)
        reader.execute("ROLLBACK")
        assert ledger.get("vol-1") is None
        assert RECORD == ledger.add(RECORD)


def test_an_error_within_a_transaction_leaves_the_ledger_usable(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    with pytest.raises(RecordChanged):
        ledger.replace(FULL, FULL)
    assert FULL == ledger.add(FULL)


def count_up(ledger: Ledger, times: int) -> None:
    """Add 1 to the capacity of vol-1 that many times, by compare and swap."""
    for _ in range(times):
        while True:
            record = ledger.get("vol-1")
            assert record is not None
            try:
                ledger.replace(record, attrs.evolve(record, capacity=record.capacity + 1))
            except RecordChanged:
                continue
            break


def count_up_in_a_process(path: Path, times: int) -> None:
    with closing(SqliteLedger(path, busy_timeout=60)) as ledger:
        count_up(ledger, times)


def test_nothing_is_lost_when_processes_change_one_record(ledger: SqliteLedger, path: Path) -> None:
    ledger.add(RECORD)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count_up_in_a_process, args=(path, 20)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [0] * 4 == [worker.exitcode for worker in workers]
    assert attrs.evolve(RECORD, capacity=RECORD.capacity + 80) == ledger.get("vol-1")


def make_in_a_process(path: Path, name: str) -> None:
    with closing(SqliteLedger(path, busy_timeout=60)) as ledger:
        ledger.add(attrs.evolve(RECORD, volume_id=name))


def test_processes_that_make_one_ledger_at_once_make_one(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    names = ["vol-1", "vol-2", "vol-3", "vol-4"]
    workers = [spawn.Process(target=make_in_a_process, args=(path, name)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with closing(SqliteLedger(path)) as ledger:
        assert names == [record.volume_id for record in ledger.records()]


def test_nothing_is_lost_when_threads_change_one_record(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count_up, ledger, 10) for _ in range(4)]:
            done.result()
    assert attrs.evolve(RECORD, capacity=RECORD.capacity + 40) == ledger.get("vol-1")


def test_one_of_many_threads_wins_a_volume(ledger: SqliteLedger) -> None:
    ledger.add(RECORD)
    gate = threading.Barrier(8)

    def take(number: int) -> bool:
        gate.wait()
        try:
            ledger.replace(RECORD, attrs.evolve(RECORD, holder=Holder(f"node-{number}", "boot")))
        except RecordChanged:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert [True] == [won for won in pool.map(take, range(8)) if won]
