"""
The examples of README.md, the tutorials and the how-to guides run as they stand.

A `python` block is executed; all blocks of a document share one namespace. A `console` block is
a shell session: a line `$ command` is run (`> ` continues it), the lines below it are the output
that is expected, in which `...` stands for anything; without such lines any output is right. One
block is one shell, so `cd` and `export` hold until its end, and a command that fails fails the
block. Every document runs in an empty folder that is also its home.
"""

import doctest
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PATIENCE = 300  # seconds until a block of commands counts as hung


@dataclass
class Command:
    """One command of a console block, and the output that the document shows for it."""

    text: str
    expected: list[str] = field(default_factory=list)


def commands_of(block: str) -> list[Command]:
    """Return the commands of a console block in order."""
    commands: list[Command] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ ")))
        elif line.startswith("> ") and commands and not commands[-1].expected:
            commands[-1].text += "\n" + line.removeprefix("> ")
        elif commands:
            commands[-1].expected.append(line)
        else:
            message = f"a console block begins with '$ ', not with {line!r}"
            raise ValueError(message)
    return commands


def run_console(example: Example) -> str | None:
    """Run one console block; return what is wrong with it, or None (Sybil's way to say so)."""
    commands = commands_of(example.parsed)
    script = "set -eo pipefail\nexec 2>&1\n"
    script += "".join(f"{command.text}\nprintf '\\0'\n" for command in commands)
    run = subprocess.run(
        ["bash", "-c", script],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )
    outputs = run.stdout.split("\0")
    if run.returncode != 0:
        failed = commands[len(outputs) - 1]
        return f"exit status {run.returncode} of: {failed.text}\n{outputs[-1]}"
    for command, output in zip(commands, outputs, strict=False):
        expected = "\n".join(command.expected).strip()
        if expected and not doctest.OutputChecker().check_output(expected, output.strip(), FLAGS):
            return f"output of: {command.text}\nexpected:\n{expected}\nactual:\n{output}"
    return None


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=FLAGS),
        CodeBlockParser(language="console", evaluator=run_console),
    ],
    path=str(ROOT),
)


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in DOCUMENTS])
def test_the_examples_of_a_document_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    monkeypatch.setenv("PATH", programs)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    for example in SYBIL.parse(path):
        example.evaluate()
