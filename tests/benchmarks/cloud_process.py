"""A fake cloud in a process of its own, so that neither its work nor its memory is the client's."""

import json
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]


@attrs.define
class Server:
    """The process, as the benchmark talks to it."""

    cloud: str
    _process: "subprocess.Popen[str]"
    facts: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """What `tests.unit.cloud_opening.opened` needs, the name of the cloud, and a volume type."""

    def ask(self, verb: str, **facts: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"verb": verb, **facts}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def empty(self, instances: int, latency: float) -> list[str]:
        """Begin anew with so many instances, and with so many seconds for each request."""
        found: list[str] = self.ask("empty", instances=instances, latency=latency)
        return found

    def requests(self) -> Mapping[str, int]:
        """Return how often each request was made."""
        found: dict[str, int] = self.ask("requests")
        return found

    def truth(self) -> tuple[int, int]:
        """Return how many volumes and attachments there are."""
        volumes, attachments = self.ask("truth")
        return volumes, attachments


@contextmanager
def serving(cloud: str) -> Generator[Server]:
    """Run the process within the block."""
    command = [sys.executable, "-m", "tests.benchmarks.cloud_server", cloud]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        server = Server(cloud, process)
        server.facts = server.ask("facts")
        yield server
        assert process.stdin is not None
        process.stdin.close()
