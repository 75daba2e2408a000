"""The command line as a whole: help, exit codes, ledger, doctor, demo, output."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cloudcrypt import errors
from cloudcrypt.cli import main
from cloudcrypt.cli.output import EXIT_CODES, Group, exit_code, progress
from cloudcrypt.ledger import Holder, Record, SqliteLedger, State
from cloudcrypt.model import KeyPolicy, Mode


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, *path, name)
    else:
        yield path


ALL = sorted(commands(main))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"])
    assert (result.exit_code, result.stdout[:6]) == (0, "Usage:")


@pytest.mark.parametrize("path", [p for p in ALL if p != ("luks", "passphrase")], ids=" ".join)
def test_every_command_takes_json(path: tuple[str, ...]) -> None:
    assert "--json" in CliRunner().invoke(main, [*path, "--help"]).stdout


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("cloudcrypt, version ")


def test_every_family_of_errors_has_an_exit_code_of_its_own() -> None:
    families = {kind for kind in errors.CloudcryptError.__subclasses__() if kind in EXIT_CODES}
    assert families == set(errors.CloudcryptError.__subclasses__())
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_an_error_without_a_family_is_a_defect() -> None:
    assert exit_code(errors.CloudcryptError()) == 1


def test_an_interrupt_exits_as_shells_expect() -> None:
    group = Group()

    @group.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert CliRunner().invoke(group, ["wait"]).exit_code == 130


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    path = tmp_path / "ledger.db"
    store = SqliteLedger(path)
    holder = Holder("node-1", "boot-1")
    for volume_id, held_by in (("vol-1", holder), ("vol-2", None)):
        store.add(
            Record(
                volume_id,
                State.READY,
                Mode.CRYPT,
                KeyPolicy.BOUND,
                1 << 30,
                1,
                None,
                holder=held_by,
            )
        )
    store.close()
    return str(path)


def test_the_ledger_lists_and_shows_records(ledger: str) -> None:
    listed = CliRunner().invoke(main, ["ledger", "list", "--ledger", ledger, "--json"])
    records = json.loads(listed.stdout)["records"]
    assert [record["volume_id"] for record in records] == ["vol-1", "vol-2"]
    shown = CliRunner().invoke(main, ["ledger", "get", "vol-1", "--ledger", ledger, "--json"])
    assert records[0] == json.loads(shown.stdout)


def test_a_hold_is_released_and_the_record_forgotten_after_a_question(ledger: str) -> None:
    options = ["vol-1", "--ledger", ledger]
    assert CliRunner().invoke(main, ["ledger", "forget", *options, "--yes"]).exit_code == 7
    refused = CliRunner().invoke(main, ["ledger", "release", *options], input="n\n")
    assert refused.exit_code == 1
    released = CliRunner().invoke(main, ["ledger", "release", *options, "--yes", "--json"])
    assert json.loads(released.stdout)["holder"] is None
    assert CliRunner().invoke(main, ["ledger", "forget", *options, "--yes"]).exit_code == 0
    assert CliRunner().invoke(main, ["ledger", "get", *options]).exit_code == 2
    assert CliRunner().invoke(main, ["ledger", "release", *options, "--yes"]).exit_code == 2


def test_the_demo_does_the_main_job_and_leaves_nothing(tmp_path: Path) -> None:
    url = f"local://{tmp_path / 'volumes'}"
    result = CliRunner().invoke(main, ["demo", "--provider", url, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert list(document) == ["crypt", "integrity"]
    assert document["crypt"]["payload"] == (96 - 16) << 20
    assert document["integrity"]["tampered_data"].endswith("tag of sector 0 does not verify")
    for mode in document.values():
        assert "step 15 (SEAL)" in mode["tampered_header"]
        assert mode["cryptsetup"].startswith("opened by cryptsetup 2.")
    left = CliRunner().invoke(main, ["volume", "list", "--provider", url, "--json"])
    assert json.loads(left.stdout) == {"volumes": []}


def test_the_demo_tells_people_what_it_does() -> None:
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 0, result.output
    assert [line[:2] for line in result.stdout.splitlines() if line[1:3] == ". "] == [
        f"{number}." for _ in ("crypt", "integrity") for number in range(1, 10)
    ]


def test_progress_without_a_terminal_is_a_line_for_each_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("export", 1000) as advance:
        for _ in range(100):
            advance(10)
    assert capsys.readouterr().err.splitlines() == [f"export: {n} %" for n in range(10, 101, 10)]


def test_progress_of_a_stream_of_unknown_length_is_not_guessed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress("import", 0) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar() -> None:
    code = (
        "from cloudcrypt.cli.output import progress\n"
        "with progress('export', 100) as advance: advance(50)\n"
    )
    controller, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm"}
    subprocess.run([sys.executable, "-c", code], check=True, stderr=terminal, env=environment)
    os.close(terminal)
    shown = os.read(controller, 65536)
    os.close(controller)
    assert b"export" in shown


def test_the_demo_does_the_main_job_against_a_simulated_aws() -> None:
    result = CliRunner().invoke(main, ["demo", "--provider", "aws", "--json"])
    assert result.exit_code == 0, result.output
    for mode in json.loads(result.stdout).values():
        assert mode["volume_id"].startswith("aws:eu-central-1/vol-")
        assert mode["cryptsetup"].startswith("opened by cryptsetup 2.")


def test_a_cloud_that_is_not_simulated_names_those_that_are() -> None:
    result = CliRunner().invoke(main, ["demo", "--provider", "nowhere"])
    assert (result.exit_code, "aws" in result.stderr) == (2, True)
