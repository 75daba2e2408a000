"""The journal: what is stored, what is found again, what is refused, and what goes with age."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import JournalUnavailable, OperationBusy
from cloudcrypt.journal import Entry, Journal, SqliteJournal, State
from cloudcrypt.spi import (
    AttachVolume,
    CreateVolume,
    DeleteVolume,
    FromSnapshot,
    FromVolume,
    Handle,
    Intent,
)

HERE = "local:here"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
CREATE = CreateVolume("t-1", "data", 4096, FromVolume("vol-0", 3), labels={"owner": "me"})
ENTRY = Entry("op-1", HERE, "local:///here", "volume named data", CREATE, 1, NOW, NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(path)) as journal:
        yield journal


def entry(number: int, intent: Intent[Any] = CREATE, **facts: Any) -> Entry:
    """Return an entry like `ENTRY`, with a number of its own."""
    return attrs.evolve(ENTRY, id=f"op-{number}", intent=intent, **facts)


def done(number: int, **facts: Any) -> Entry:
    made: dict[str, Any] = {"state": State.DONE, "outcome": f"vol-{number}", **facts}
    return entry(number, **made)


# --- storing and finding ---


def test_an_operation_that_was_never_added_has_no_entry(journal: SqliteJournal) -> None:
    assert journal.get("op-1") is None
    assert journal.entries() == ()


@pytest.mark.parametrize(
    "stored",
    [
        ENTRY,
        entry(2, CreateVolume("t", "n", 1, FromSnapshot("s")), state=State.ACCEPTED, reference="h"),
        done(3, attempt=7, blank=True),
        entry(4, AttachVolume("t", "v", "i"), state=State.FAILED, error="NotFound: there is none"),
    ],
    ids=lambda each: str(each.state.value),
)
def test_what_was_added_is_found_by_another_process(path: Path, stored: Entry) -> None:
    with closing(SqliteJournal(path)) as journal:
        assert journal.add(stored) == stored
    with closing(SqliteJournal(path)) as journal:
        assert journal.get(stored.id) == stored
        assert journal.entries() == (stored,)


def test_an_entry_names_its_operation_and_has_a_handle_once_accepted() -> None:
    accepted = attrs.evolve(ENTRY, state=State.ACCEPTED, reference="ref")
    assert (ENTRY.operation, ENTRY.handle, ENTRY.is_finished) == ("CreateVolume", None, False)
    assert accepted.handle == Handle(CREATE, "ref")
    assert done(1).is_finished


def test_times_of_another_zone_are_the_same_moments(journal: SqliteJournal) -> None:
    abroad = NOW.astimezone(timezone(timedelta(hours=5)))
    journal.add(attrs.evolve(ENTRY, begun=abroad, changed=abroad))
    assert journal.get("op-1") == ENTRY


def test_an_entry_is_replaced(journal: SqliteJournal) -> None:
    accepted = attrs.evolve(ENTRY, state=State.ACCEPTED, reference="ref")
    journal.add(ENTRY)
    assert journal.replace(ENTRY, accepted) == accepted
    assert journal.get("op-1") == accepted


def test_who_holds_an_outdated_entry_changes_nothing(journal: SqliteJournal) -> None:
    accepted = attrs.evolve(ENTRY, state=State.ACCEPTED, reference="ref")
    journal.add(ENTRY)
    journal.replace(ENTRY, accepted)
    with pytest.raises(OperationBusy):
        journal.replace(ENTRY, attrs.evolve(ENTRY, state=State.FAILED))
    assert journal.get("op-1") == accepted


def test_what_was_never_added_is_not_replaced(journal: SqliteJournal) -> None:
    with pytest.raises(OperationBusy):
        journal.replace(ENTRY, ENTRY)


@pytest.mark.parametrize("state", [State.PENDING, State.ACCEPTED])
def test_a_subject_has_one_unfinished_operation(journal: SqliteJournal, state: State) -> None:
    journal.add(entry(1, state=state))
    with pytest.raises(OperationBusy, match="volume named data"):
        journal.add(entry(2))
    journal.add(entry(3, subject="volume vol-1"))
    journal.add(entry(4, namespace="local:there"))
    journal.add(done(5))
    assert [each.id for each in journal.entries()] == ["op-5", "op-4", "op-3", "op-1"]


def test_entries_are_selected_by_every_fact_and_come_newest_first(journal: SqliteJournal) -> None:
    journal.add(done(1))
    journal.add(done(2, namespace="local:there"))
    journal.add(done(3, subject="volume vol-1", intent=DeleteVolume("t", "vol-1"), outcome=None))
    journal.add(entry(4, state=State.FAILED))
    journal.add(entry(5))

    def ids(**facts: Any) -> list[str]:
        return [each.id for each in journal.entries(**facts)]

    assert ids(namespace=HERE) == ["op-5", "op-4", "op-3", "op-1"]
    assert ids(subject="volume vol-1") == ["op-3"]
    assert ids(operation="CreateVolume") == ["op-5", "op-4", "op-2", "op-1"]
    assert ids(outcome="vol-2") == ["op-2"]
    assert ids(states=[State.DONE]) == ["op-3", "op-2", "op-1"]
    assert ids(states=[State.PENDING, State.FAILED]) == ["op-5", "op-4"]
    assert ids(namespace=HERE, states=[State.DONE], limit=1) == ["op-3"]
    assert ids(states=[]) == ids(limit=0) == []


# --- age ---


def test_finished_entries_go_with_age_and_unfinished_ones_stay(journal: SqliteJournal) -> None:
    old, young = NOW - timedelta(days=30), NOW
    journal.add(done(1, changed=old))
    journal.add(entry(2, state=State.FAILED, changed=old))
    journal.add(done(3, changed=young))
    journal.add(entry(4, changed=old))
    journal.add(entry(5, subject="another", state=State.ACCEPTED, reference="r", changed=old))
    assert journal.prune(NOW - timedelta(days=7)) == 2
    assert [each.id for each in journal.entries()] == ["op-5", "op-4", "op-3"]
    assert journal.prune(NOW - timedelta(days=7)) == 0


def test_the_number_of_attempts_survives_pruning(journal: SqliteJournal) -> None:
    old = NOW - timedelta(days=30)
    for number in (1, 2, 3):
        journal.add(done(number, attempt=number, changed=old))
    journal.add(done(4, subject="volume named other", changed=old))
    journal.add(done(5, namespace="local:there", changed=old))
    assert journal.prune(NOW) == 4
    assert [each.attempt for each in journal.entries()] == [3]


def test_a_deletion_stays_as_long_as_the_creation_of_its_volume(journal: SqliteJournal) -> None:
    old = NOW - timedelta(days=30)

    def gone(number: int, **facts: Any) -> Entry:
        made = f"vol-{number % 10}"
        facts |= {"subject": f"volume {made}", "outcome": None, "changed": old}
        return done(number, intent=DeleteVolume("t", made), **facts)

    journal.add(done(1, attempt=1, changed=old))
    journal.add(gone(11))
    journal.add(done(2, attempt=2, changed=old))
    journal.add(gone(12))
    journal.add(gone(22, namespace="local:there"))
    journal.add(attrs.evolve(gone(32), state=State.FAILED))
    assert journal.prune(NOW) == 4
    assert [each.id for each in journal.entries()] == ["op-12", "op-2"]
    journal.add(done(3, attempt=3, changed=old))
    assert journal.prune(NOW) == 2
    assert [each.id for each in journal.entries()] == ["op-3"]


# --- the file ---


def test_a_journal_has_an_id_of_its_own_for_ever(path: Path) -> None:
    with closing(SqliteJournal(path)) as first, closing(SqliteJournal(path)) as second:
        assert first.id == second.id
        found = first.id
    with closing(SqliteJournal(path)) as again:
        assert again.id == found
    others = {SqliteJournal.in_memory().id for _ in range(3)}
    assert len(others | {found}) == 4
    CreateVolume("t", "data", 4096, maker=found)  # it can be a maker


def test_a_file_of_an_older_version_is_left_alone(path: Path, journal: SqliteJournal) -> None:
    damage(path, "PRAGMA user_version = 1")
    with pytest.raises(JournalUnavailable, match="version 1"):
        SqliteJournal(path)
    journal.close()


def test_file_and_folder_are_for_their_owner_alone(path: Path, journal: SqliteJournal) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    journal.close()
    journal.close()


def test_a_journal_in_memory_ends_with_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    journal: Journal = SqliteJournal.in_memory()
    journal.add(ENTRY)
    assert SqliteJournal.in_memory().get("op-1") is None
    assert journal.get("op-1") == ENTRY
    assert list(tmp_path.iterdir()) == []


def damage(path: Path, statement: str, *values: object) -> None:
    """Change the file behind the journal's back."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("intent", "{"),
        ("intent", "[]"),
        ("intent", '{"operation": "Destroy"}'),
        ("intent", "[" * 100_000),
        ("state", "migrating"),
        ("begun", "yesterday"),
        ("changed", ""),
    ],
)
def test_a_damaged_entry_is_not_taken_for_none(
    path: Path, journal: SqliteJournal, column: str, value: str
) -> None:
    journal.add(ENTRY)
    damage(path, f"UPDATE operations SET {column} = ?", value)  # noqa: S608  # a name of the table
    with pytest.raises(JournalUnavailable, match="damaged"):
        journal.get("op-1")
    with pytest.raises(JournalUnavailable, match="damaged"):
        journal.entries()


def test_a_file_of_a_newer_version_is_left_alone(path: Path, journal: SqliteJournal) -> None:
    damage(path, "PRAGMA user_version = 3")
    with pytest.raises(JournalUnavailable, match="version 3"):
        SqliteJournal(path)
    journal.close()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"this is a text" * 1000)
    with pytest.raises(JournalUnavailable):
        SqliteJournal(tmp_path / "journal")


def test_a_path_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(JournalUnavailable, match="directory"):
        SqliteJournal(tmp_path)


def test_a_file_that_another_process_keeps_locked_is_unavailable(path: Path) -> None:
    with (
        closing(SqliteJournal(path, busy_timeout=0)) as journal,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalUnavailable, match="locked"):
            journal.add(ENTRY)
        other.execute("ROLLBACK")
        assert journal.add(ENTRY) == ENTRY


def test_what_fails_in_a_transaction_leaves_nothing(journal: SqliteJournal) -> None:
    with pytest.raises(JournalUnavailable, match=r"STRICT|cannot store"):
        journal.add(entry(1, outcome=b"not text"))
    assert journal.entries() == ()
    assert journal.add(ENTRY) == ENTRY
