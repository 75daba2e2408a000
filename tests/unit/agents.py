"""The agent of virtual machines as a process of this host, at the other end of a socket."""

import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudcrypt_testing.vm.channel import Channel
from cloudcrypt_testing.vm.guest import Guest
from cloudcrypt_testing.vm.measuring import Measurement

AGENT: Final = """
import sys
from cloudcrypt_testing.vm.agent import Agent, READY
agent = Agent(int(sys.argv[1]))
agent.send(0, READY, b'{"release": "none", "uptime": 0}')
agent.serve()
"""

MEASURED: Final = """
import coverage, sys
measurement = coverage.Coverage(data_file={!r}, data_suffix=True)
measurement.start()
try:
    exec({!r})
finally:
    measurement.stop()
    measurement.save()
"""


class HostGuest(Guest):
    """A guest that is this host."""

    def __init__(
        self, folder: Path, channel: Channel, measurement: Measurement | None = None
    ) -> None:
        super().__init__(folder, measurement)
        self.channel = channel

    def _reach(self) -> Channel:
        return self.channel


@contextmanager
def agent(root: Path, measurement: Measurement | None = None) -> Generator[HostGuest]:
    """Run the agent, in the folder ``root``, until the block ends."""
    near, far = socket.socketpair()
    mine = Measurement.current()
    code = AGENT if mine is None else MEASURED.format(str(mine.data_file), AGENT)
    with far:
        command = [sys.executable, "-c", code, str(far.fileno())]
        process = subprocess.Popen(command, pass_fds=[far.fileno()], cwd=root)
    channel = Channel(near)
    try:
        assert channel.ready(60) == {"release": "none", "uptime": 0}
        yield HostGuest(root, channel, measurement)
    finally:
        channel.close()
        assert process.wait(60) == 0
