"""A volume opened by the stage and by cryptsetup, in turn: how long it takes; in the guest."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

from cloudcrypt.disk import FileDisk
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService, bound_key_id
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.mapper import KernelMapper, KernelMapping, UserspaceMapper
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.profiles import CLOUDCRYPT_V1
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.volumes import header_keys
from tests.kernel.guest.mapper_bench import settle
from tests.kernel.guest.mapper_loops import Loop

VOLUME = "local:0123456789ab/vol-0123456789abcdef0"
NAME = "vol-0123456789abcdef0"
SAME_OPTIONS = ("--perf-no_read_workqueue", "--perf-no_write_workqueue")
"""Those that the stage asks the kernel for."""

Ways = dict[str, tuple[Callable[[], object], Callable[[], None]]]
"""How a volume is opened, and closed again, by the name of who does it."""

TRANSFERRED = 24 * MIB
"""Bytes of a payload that are written, or read, each time."""


@attrs.frozen
class Volume:
    """A formatted volume, at the full cost of its key derivation, and two ways to open it."""

    device: BlockDevice
    ledger: SqliteLedger
    keys: MasterSecretKeyService
    key_file: Path

    def open(self) -> KernelMapping:
        """Open it by the stage, which has just been made, in this process, which is warm."""
        return Stage(self.ledger, self.keys, KernelMapper()).open(self.device)

    def close(self) -> None:
        Stage(self.ledger, self.keys, KernelMapper()).close(VOLUME)

    def open_bare(self, *options: str) -> None:
        """Open it by the program, with its passphrase in a file."""
        opening = ["cryptsetup", "open", "--type", "luks2", "--key-file", str(self.key_file)]
        subprocess.run([*opening, *options, str(self.device.path), NAME], check=True)

    def close_bare(self) -> None:
        subprocess.run(["cryptsetup", "close", NAME], check=True)


@contextmanager
def formatted(mode: Mode, size: int) -> Generator[Volume]:
    """Make a volume of so many bytes on a loop device in memory."""
    with (
        tempfile.TemporaryDirectory() as name,
        closing(SqliteLedger(Path(name, "ledger.sqlite"))) as ledger,
        Loop(Path(name, "disk.img"), size) as loop,
    ):
        keys = MasterSecretKeyService(MasterSecret.from_bytes(bytes(32), bytes(range(32))))
        with FileDisk(loop.path) as disk:
            device = BlockDevice(VOLUME, loop.path, disk.size, disk.identity)
        stage = Stage(ledger, keys, UserspaceMapper())
        stage.register_new(VOLUME, capacity=size, mode=mode)
        stage.format(device)
        data_key = keys.get_data_key(bound_key_id(VOLUME), 32)
        header = header_keys(CLOUDCRYPT_V1, VOLUME, 1, bytes(data_key.reveal()))
        key_file = Path(name, "key")
        key_file.write_bytes(bytes(header.passphrase.reveal()))
        yield Volume(device, ledger, keys, key_file)


def seconds(job: Callable[..., object], *arguments: str) -> float:
    begin = time.perf_counter()
    job(*arguments)
    return time.perf_counter() - begin


def opening(mode: str, size: int, rounds: int) -> dict[str, list[float]]:
    """Return how many seconds opening takes each time, by either way, after a round to warm up."""
    with formatted(Mode(mode), size) as volume:
        ways: Ways = {
            "stage": (volume.open, volume.close),
            "cryptsetup": (volume.open_bare, volume.close_bare),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            order = list(ways) if number % 2 else list(reversed(ways))
            for name in order:
                settle()
                open_it, close_it = ways[name]
                found[name].append(seconds(open_it))
                close_it()
        return {name: times[1:] for name, times in found.items()}


def table() -> str:
    """Return all lines of the mapping, those of integrity below it included."""
    command = ["dmsetup", "table"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(sorted(listed.splitlines()))


def transferring(mode: str, size: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return how many seconds writing and reading `TRANSFERRED` bytes takes, mapped by either way.

    Raises:
        AssertionError: the two ways made different mappings.
    """
    with formatted(Mode(mode), size) as volume:
        ways: Ways = {
            "stage": (volume.open, volume.close),
            "cryptsetup": (lambda: volume.open_bare(*SAME_OPTIONS), volume.close_bare),
        }
        found: dict[str, dict[str, list[float]]] = {
            what: {name: [] for name in ways} for what in ("write", "read")
        }
        tables = set[str]()
        for number in range(rounds + 1):
            for name in list(ways) if number % 2 else list(reversed(ways)):
                open_it, close_it = ways[name]
                open_it()
                tables.add(table())
                found["write"][name].append(seconds(transfer, f"of=/dev/mapper/{NAME}"))
                found["read"][name].append(seconds(transfer, f"if=/dev/mapper/{NAME}"))
                settle()
                close_it()
        assert len(tables) == 1, tables
        return {
            what: {name: times[1:] for name, times in each.items()} for what, each in found.items()
        }


def transfer(end: str) -> None:
    """Write or read a device from its beginning with dd, past the page cache."""
    other, direct = (
        ("if=/dev/zero", "oflag") if end.startswith("of=") else ("of=/dev/null", "iflag")
    )
    amount = ["bs=1M", f"count={TRANSFERRED // MIB}", f"{direct}=direct", "status=none"]
    subprocess.run(["dd", end, other, *amount], check=True)
