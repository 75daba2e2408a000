"""``cloudcrypt volume``, as a user types it, on the embedded provider."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main
from cloudcrypt.model import Attachment
from cloudcrypt.sizes import MIB

Document = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    def run(verb: str, *words: str) -> Result:
        url = f"local://{tmp_path / 'volumes'}"
        return CliRunner().invoke(main, ["volume", verb, "--provider", url, *words])

    return run


@pytest.fixture
def ask(run: Callable[..., Result]) -> Callable[..., Document]:
    def ask(verb: str, *words: str) -> Document:
        result = run(verb, "--json", *words)
        assert result.exit_code == 0, result.output
        document: Document = json.loads(result.stdout)
        return document

    return ask


def test_a_volume_is_created_shown_listed_and_deleted(ask: Callable[..., Document]) -> None:
    created = ask("create", "--name", "data", "--size", "64MiB")
    assert (created["name"], created["size"], created["state"]) == ("data", 64 * MIB, "available")
    assert created == ask("get", created["id"])
    assert [created] == ask("list")["volumes"]
    assert ask("delete", created["id"]) == {"deleted": created["id"]}
    assert ask("list")["volumes"] == []
    assert ask("delete", created["id"]) == {"deleted": created["id"]}


def test_creating_the_same_name_twice_returns_the_same_volume(
    ask: Callable[..., Document],
) -> None:
    words = ["create", "--name", "data", "--size", "64MiB"]
    assert ask(*words) == ask(*words)


def test_the_same_name_with_another_size_is_a_conflict(
    run: Callable[..., Result], ask: Callable[..., Document]
) -> None:
    ask("create", "--name", "data", "--size", "64MiB")
    result = run("create", "--name", "data", "--size", "65MiB")
    assert (result.exit_code, "size" in result.stderr) == (2, True)


def test_an_attachment_is_one_document_for_the_node(ask: Callable[..., Document]) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    attached = ask("attach", volume["id"], "--instance", "node-1")
    attachment = Attachment.from_json(json.dumps(attached["document"]))
    assert (attachment.volume_id, attachment.instance) == (volume["id"], "node-1")
    assert Path(attached["device"]["path"]).stat().st_size == 64 * MIB
    assert ask("get", volume["id"])["holders"] == ["node-1"]
    assert ask("detach", volume["id"], "--instance", "node-1")["holders"] == []


def test_a_volume_is_not_taken_from_another_instance(
    run: Callable[..., Result], ask: Callable[..., Document]
) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    ask("attach", volume["id"], "--instance", "node-1")
    result = run("attach", volume["id"], "--instance", "node-2", "--json")
    assert result.exit_code == 6
    assert json.loads(result.stderr)["error"]["type"] == "AttachedElsewhere"


def test_a_volume_grows(ask: Callable[..., Document]) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    assert ask("resize", volume["id"], "96MiB")["size"] == 96 * MIB


def test_a_snapshot_is_taken_restored_and_deleted(ask: Callable[..., Document]) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    snapshot = ask("snapshot", volume["id"], "--name", "nightly", "--generation", "3")
    assert [snapshot] == ask("snapshots")["snapshots"]
    restored = ask("restore", snapshot["id"], "--name", "again", "--size", "64MiB")
    origin = {"kind": "snapshot", "volume_id": volume["id"], "generation": 3}
    assert restored["origin"] == origin
    assert ask("delete-snapshot", snapshot["id"]) == {"deleted": snapshot["id"]}
    assert ask("snapshots")["snapshots"] == []


def test_a_clone_names_its_origin(ask: Callable[..., Document]) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    clone = ask("clone", volume["id"], "--name", "copy", "--size", "64MiB")
    assert clone["origin"] == {"kind": "clone", "volume_id": volume["id"], "generation": None}


def test_an_unknown_volume_is_not_found(run: Callable[..., Result]) -> None:
    result = run("get", "local:none/vol-0", "--json")
    assert result.exit_code == 6
    assert json.loads(result.stderr)["error"]["grpc_code"] == "NOT_FOUND"


@pytest.mark.parametrize("size", ["10GB", "0", "-1", "ten", "1.5GiB"])
def test_a_malformed_size_is_a_usage_error(run: Callable[..., Result], size: str) -> None:
    assert run("create", "--name", "data", f"--size={size}").exit_code == 2


def test_an_unknown_scheme_names_the_known_ones() -> None:
    result = CliRunner().invoke(main, ["volume", "list", "--provider", "nowhere://x"])
    assert (result.exit_code, "local" in result.stderr) == (2, True)


def test_people_get_a_table_with_a_line_for_each_volume(run: Callable[..., Result]) -> None:
    assert run("list").stdout == "no volumes\n"
    run("create", "--name", "first", "--size", "64MiB")
    run("create", "--name", "second", "--size", "64MiB")
    lines = run("list").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["name", "first", "second"]


def test_labels_are_kept_and_shown(
    ask: Callable[..., Document], run: Callable[..., Result]
) -> None:
    words = ["create", "--name", "data", "--size", "64MiB"]
    created = ask(*words, "--label", "team=storage", "--label", "tier=a=b")
    assert created["labels"] == {"team": "storage", "tier": "a=b"}
    assert ask(*words) == created  # what is left open is no difference
    assert "labels" in run(*words, "--label", "team=another").stderr  # it conflicts
    assert run(*words, "--label", "no value").exit_code == 2
    assert run(*words, "--label", "=x").exit_code == 2


@pytest.mark.parametrize(
    "option",
    [("--kind", "gp3"), ("--iops", "3000"), ("--throughput", "1MiB"), ("--place", "x")],
)
def test_what_the_provider_does_not_have_is_refused(
    run: Callable[..., Result], option: tuple[str, str]
) -> None:
    result = run("create", "--name", "data", "--size", "64MiB", *option)
    assert (result.exit_code, option[0][2:] in result.stderr) == (2, True)


def test_modifying_where_that_is_not_offered_is_refused(
    run: Callable[..., Result], ask: Callable[..., Document]
) -> None:
    volume = ask("create", "--name", "data", "--size", "64MiB")
    result = run("modify", volume["id"], "--iops", "4000", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["grpc_code"] == "UNIMPLEMENTED"
