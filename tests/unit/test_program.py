"""The program as a process: streams, signals, exit codes; never a traceback."""

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudcrypt.sizes import GIB, MIB

PROGRAM = [sys.executable, "-m", "cloudcrypt"]


def run(*words: str, **streams: int) -> "subprocess.CompletedProcess[bytes]":
    wanted = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(
        [*PROGRAM, *words], check=False, stdout=wanted["stdout"], stderr=wanted["stderr"]
    )


@pytest.fixture
def volume(tmp_path: Path) -> list[str]:
    """Return the words that name a formatted image of 1 GiB, mostly a hole."""
    secret = {name: base64.b64encode(name.encode() * 16).decode() for name in ("key", "salt")}
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(4 * GIB)
    words = [str(image), "--volume-id", "v", "--master-secret", str(tmp_path / "secret.json")]
    assert run("luks", "format", *words).returncode == 0
    return words


def test_a_usage_error_is_json_where_json_is_asked_for() -> None:
    result = run("luks", "verify", "--json")
    assert result.returncode == 2
    assert json.loads(result.stderr)["error"]["type"] == "UsageError"
    assert b"Usage:" in run("luks", "verify").stderr


def test_a_full_output_is_an_error_and_no_traceback(volume: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = run("luks", "inspect", volume[0], stdout=full.fileno())
        export = run("luks", "export", *volume, "--output", "-", stdout=full.fileno())
    assert (1, False) == (result.returncode, b"Traceback" in result.stderr)
    assert (5, False) == (export.returncode, b"Traceback" in export.stderr)


def test_an_export_that_is_told_to_end_leaves_no_plaintext(
    volume: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = [*PROGRAM, "luks", "export", *volume, "--output", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"10 %" in process.stderr.readline()
        assert output.stat().st_size > MIB
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not output.exists()


def test_a_reader_that_leaves_ends_an_export(volume: list[str]) -> None:
    command = [*PROGRAM, "luks", "export", *volume, "--output", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        process.stdout.read(MIB)
        process.stdout.close()
        assert process.wait(60) == 141


def test_an_interrupt_exits_with_130_and_a_word(volume: list[str]) -> None:
    command = [*PROGRAM, "luks", "export", *volume, "--output", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=pipe) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (130, False) == (process.returncode, b"Traceback" in told)
