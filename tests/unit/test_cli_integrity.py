"""``cloudcrypt luks`` on volumes with integrity."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.geometry import SUPERBLOCK_OFFSET
from cloudcrypt.integrity.journal import Position, section_bytes
from cloudcrypt.sizes import MIB

SIZE = 20 * MIB
Run = Callable[..., Result]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture
def run(tmp_path: Path, image: Path) -> Run:
    secret = {name: base64.b64encode(name.encode() * 16).decode() for name in ("key", "salt")}
    (tmp_path / "secret.json").write_text(json.dumps(secret))

    def run(verb: str, *words: str) -> Result:
        common = ["--volume-id", "vol-1", "--master-secret", str(tmp_path / "secret.json")]
        command = ["luks", verb, str(image), *common, "--integrity", *words]
        return CliRunner().invoke(main, command)

    return run


def flip(image: Path, offset: int) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_formatting_reports_the_capacity_beforehand(run: Run) -> None:
    result = run("format")
    assert result.exit_code == 0, result.output
    assert "of the device is overhead" in result.stdout.splitlines()[0]
    assert str(Geometry.of(SIZE).payload_size) in result.stdout


def test_what_was_imported_is_exported_and_scrubs_clean(run: Run, tmp_path: Path) -> None:
    run("format")
    content = os.urandom(MIB + 77)
    (tmp_path / "in").write_bytes(content)
    assert run("import", "--input", str(tmp_path / "in")).exit_code == 0
    assert run("export", "--output", str(tmp_path / "out")).exit_code == 0
    assert content == (tmp_path / "out").read_bytes()[: len(content)]
    scrubbed = run("scrub", "--json")
    assert scrubbed.stderr == ""
    report = json.loads(scrubbed.stdout)
    expected = {"sectors": Geometry.of(SIZE).sectors, "refused": 0, "listed": [], "clean": True}
    assert {"volume_id": "vol-1", **expected} == report


def test_a_scrub_lists_what_does_not_verify(run: Run, image: Path) -> None:
    run("format")
    for sector in (7, 9):
        flip(image, Geometry.of(SIZE).data_offset(sector))
    result = run("scrub", "--json")
    report = json.loads(result.stdout)
    assert (9, 2, [7, 9]) == (result.exit_code, report["refused"], report["listed"])


def test_an_export_stops_at_a_sector_that_does_not_verify(
    run: Run, image: Path, tmp_path: Path
) -> None:
    run("format")
    flip(image, Geometry.of(SIZE).data_offset(7))
    assert run("export", "--output", str(tmp_path / "out")).exit_code == 9
    assert not (tmp_path / "out").exists()


def test_verification_looks_at_the_superblock(run: Run, image: Path) -> None:
    run("format")
    assert run("verify").exit_code == 0
    flip(image, SUPERBLOCK_OFFSET + 16)
    assert run("verify").exit_code == 9


def test_an_inspection_shows_superblock_journal_and_geometry(run: Run, image: Path) -> None:
    run("format")
    result = CliRunner().invoke(main, ["luks", "inspect", str(image), "--json"])
    document = json.loads(result.stdout)
    assert document["agrees"] is True
    assert document["integrity"]["journal"] == "clean"
    assert document["integrity"]["payload"] == Geometry.of(SIZE).payload_size
    flip(image, SUPERBLOCK_OFFSET + 16)
    result = CliRunner().invoke(main, ["luks", "inspect", str(image)])
    assert "1 of" in result.stdout.splitlines()[-1]


def test_growth_is_asked_for_and_the_capacity_named(run: Run, image: Path) -> None:
    run("format")
    with image.open("r+b") as file:
        file.truncate(SIZE + 4 * MIB)
    assert run("grow", "--capacity", "20MiB").exit_code == 2
    assert run("grow", "--integrity-growth").exit_code == 2
    result = run("grow", "--integrity-growth", "--capacity", "20MiB", "--json")
    document = json.loads(result.stdout)
    assert document["capacity"] == SIZE + 4 * MIB
    sections = document["journal_sections"]
    assert run("verify", "--journal-sections", str(sections)).exit_code == 0
    assert run("scrub", "--journal-sections", str(sections)).exit_code == 0


def test_an_inspection_counts_what_waits_in_the_journal(run: Run, image: Path) -> None:
    run("format")
    geometry = Geometry.of(SIZE)
    section = section_bytes(Position(0, 1), [(3, memoryview(bytes(4096)), bytes(32))])
    with image.open("r+b") as file:
        file.seek(geometry.section_offset(0))
        file.write(section)
    result = CliRunner().invoke(main, ["luks", "inspect", str(image), "--json"])
    assert json.loads(result.stdout)["integrity"]["journal"] == "1 entries to replay"
    refused = run("export", "--output", "-", "--json")  # the tag is none: a forged entry
    error = json.loads(refused.stderr.splitlines()[-1])["error"]
    assert (9, "SectorRefused") == (refused.exit_code, error["type"])


def test_a_scrub_of_a_volume_without_integrity_is_a_mistake_of_the_caller(
    run: Run, image: Path, tmp_path: Path
) -> None:
    common = ["--volume-id", "vol-1", "--master-secret", str(tmp_path / "secret.json")]
    assert CliRunner().invoke(main, ["luks", "format", str(image), *common]).exit_code == 0
    assert CliRunner().invoke(main, ["luks", "scrub", str(image), *common]).exit_code == 2
    assert run("scrub").exit_code == 3  # it says --integrity, and the header does not


def test_scrubbing_writes_nothing_and_tells_progress(run: Run, image: Path) -> None:
    run("format")
    before = image.read_bytes()
    result = run("scrub")
    assert (0, before) == (result.exit_code, image.read_bytes())
    assert result.stderr.splitlines()[-1] == "scrub: 100 %"


def test_growth_goes_by_the_ledger(run: Run, image: Path, tmp_path: Path) -> None:
    ledger = ["--ledger", str(tmp_path / "ledger.sqlite")]
    assert run("format", *ledger).exit_code == 0
    (tmp_path / "in").write_bytes(b"kept" * 5000)
    assert run("import", "--input", str(tmp_path / "in"), *ledger).exit_code == 0
    with image.open("r+b") as file:
        file.truncate(SIZE + 64 * MIB)
    refused = run("grow", "--json", *ledger)
    error = json.loads(refused.stderr)["error"]
    assert (2, "UNIMPLEMENTED") == (refused.exit_code, error["grpc_code"])
    assert "--integrity-growth" in error["remedy"]
    assert "Constellation" in error["remedy"]
    document = json.loads(run("grow", "--integrity-growth", "--json", *ledger).stdout)
    assert (SIZE + 64 * MIB, 1) == (document["capacity"], document["journal_sections"])
    assert run("verify", *ledger).exit_code == 0
    assert run("export", "--output", str(tmp_path / "out"), *ledger).exit_code == 0
    assert b"kept" * 5000 == (tmp_path / "out").read_bytes()[:20000]
    assert run("verify").exit_code == 9  # without the ledger, or the option, it is a mismatch
