"""``--journal`` and ``cloudcrypt journal``, as a user types them, on the embedded provider."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.provisioning import Provisioner
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import AttachVolume, DeleteVolume, Handle, Intent, perform
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider

T = TypeVar("T")
Document = dict[str, Any]


class Cli:
    """Types commands, and reads what they print as JSON."""

    def __init__(self, folder: Path) -> None:
        self.url = f"local://{folder / 'volumes'}"
        self.journal = folder / "journal.db"

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--json"])

    def volume(self, verb: str, *words: str) -> Document:
        options = ["--provider", self.url, "--journal", str(self.journal)]
        return self._read(self.run("volume", verb, *words, *options))

    def operations(self, verb: str, *words: str) -> Document:
        return self._read(self.run("journal", verb, *words, "--journal", str(self.journal)))

    @staticmethod
    def _read(result: Result) -> Document:
        assert result.exit_code == 0, result.output
        document: Document = json.loads(result.stdout)
        return document


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_every_verb_is_kept_in_the_journal_and_done_once(cli: Cli) -> None:
    creation = ["create", "--name", "data", "--size", "64MiB", "--label", "a=b"]
    volume = cli.volume(*creation)
    assert cli.volume(*creation) == volume
    attachment = cli.volume("attach", volume["id"], "--instance", "node-1")
    assert cli.volume("attach", volume["id"], "--instance", "node-1") == attachment
    assert cli.volume("resize", volume["id"], "96MiB")["size"] == 96 * MIB
    snapshot = cli.volume("snapshot", volume["id"], "--name", "nightly", "--generation", "2")
    assert (snapshot["volume_id"], snapshot["generation"]) == (volume["id"], 2)
    assert cli.volume("detach", volume["id"], "--instance", "node-1")["holders"] == []
    cli.volume("delete-snapshot", snapshot["id"])
    cli.volume("delete", volume["id"])
    assert cli.operations("list") == {"operations": []}
    operations = cli.operations("list", "--all")["operations"]
    assert [each["operation"] for each in operations] == [
        "DeleteVolume",
        "DeleteSnapshot",
        "DetachVolume",
        "CreateSnapshot",
        "ResizeVolume",
        "AttachVolume",
        "CreateVolume",
    ]
    assert {each["state"] for each in operations} == {"done"}


def test_modifying_goes_through_the_journal(cli: Cli) -> None:
    volume = cli.volume("create", "--name", "data", "--size", "64MiB")
    words = ["volume", "modify", volume["id"], "--iops", "4000", "--provider", cli.url]
    refused = cli.run(*words, "--journal", str(cli.journal))
    assert json.loads(refused.stderr)["error"]["type"] == "UnsupportedOperation"


class Dying(LocalProvider):
    """The process dies when a request was accepted."""

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        assert isinstance(handle.intent, DeleteVolume)
        assert deadline is not None
        raise KeyboardInterrupt


class DyingEarly(LocalProvider):
    """The process dies before a request is made."""

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        raise KeyboardInterrupt(intent, deadline)


def _interrupted(
    cli: Cli,
    verb: Callable[[Provisioner, str], object] = lambda plane, volume: plane.ensure_gone(volume),
    kind: type[LocalProvider] = Dying,
) -> str:
    """Return the id of a volume on which a process died, by default while it was deleting it."""
    volume: str = cli.volume("create", "--name", "data", "--size", "64MiB")["id"]
    with closing(SqliteJournal(cli.journal)) as journal, pytest.raises(KeyboardInterrupt):
        verb(Provisioner(kind.from_url(cli.url), journal), volume)
    return volume


@pytest.mark.parametrize("by_id", [False, True])
def test_what_another_process_began_is_finished(cli: Cli, *, by_id: bool) -> None:
    _interrupted(cli)
    (entry,) = cli.operations("list")["operations"]
    assert (entry["operation"], entry["state"]) == ("DeleteVolume", "accepted")
    words = [entry["id"]] if by_id else []
    finished = cli.operations("resume", *words, "--provider", cli.url)
    found = finished if by_id else finished["operations"][0]
    assert (found["id"], found["state"]) == (entry["id"], "done")
    assert cli.operations("list") == {"operations": []}


def test_an_operation_that_the_journal_does_not_know_is_refused(cli: Cli) -> None:
    cli.volume("create", "--name", "data", "--size", "64MiB")
    words = ["journal", "resume", "nothing", "--provider", cli.url, "--journal", str(cli.journal)]
    result = cli.run(*words)
    assert (result.exit_code, "OperationUnknown" in result.stderr) == (7, True)


def test_one_that_cannot_be_finished_is_told(cli: Cli) -> None:
    volume = _interrupted(cli, lambda plane, it: plane.ensure_attached(it, "node-2"), DyingEarly)
    perform(LocalProvider.from_url(cli.url), AttachVolume("a", volume, "node-1"))
    result = cli.run("journal", "resume", "--provider", cli.url, "--journal", str(cli.journal))
    error = json.loads(result.stderr)["error"]["type"]
    assert (result.exit_code, error) == (6, "AttachedElsewhere")
    (told,) = json.loads(result.stdout)["operations"]
    assert (told["state"], "AttachedElsewhere" in told["error"]) == ("failed", True)


def test_a_deletion_that_was_never_accepted_is_begun_only_by_who_names_it(cli: Cli) -> None:
    volume = _interrupted(cli, kind=DyingEarly)
    options = ["--provider", cli.url]
    (given_up,) = cli.operations("resume", *options)["operations"]
    assert (given_up["state"], given_up["provider"]) == ("failed", cli.url)
    assert "given up" in given_up["error"]
    assert cli.volume("create", "--name", "data", "--size", "64MiB")["id"] == volume
    with closing(SqliteJournal(cli.journal)) as journal, pytest.raises(KeyboardInterrupt):
        Provisioner(DyingEarly.from_url(cli.url), journal).ensure_gone(volume)
    (entry,) = cli.operations("list")["operations"]
    assert cli.operations("resume", entry["id"], *options)["state"] == "done"
    assert list(LocalProvider.from_url(cli.url).list()) == []


def test_finished_operations_are_removed_after_a_while(cli: Cli) -> None:
    cli.volume("create", "--name", "data", "--size", "64MiB")
    assert cli.operations("prune") == {"removed": 0}
    assert cli.operations("prune", "--days", "0") == {"removed": 1}


@pytest.mark.parametrize("verb", ["list", "prune"])
def test_looking_at_a_journal_starts_none(cli: Cli, verb: str) -> None:
    result = cli.run("journal", verb, "--journal", str(cli.journal))
    assert (result.exit_code, cli.journal.exists()) == (2, False)
