"""Several processes of one host make sure of the same volumes, with one journal."""

import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.journal import SqliteJournal, State
from cloudcrypt_local import LocalProvider
from tests.unit.processes import START, in_processes

WORKERS = 4

_PREAMBLE = f"""
import sys
from cloudcrypt.errors import OperationBusy
from cloudcrypt.journal import OnBusy, SqliteJournal
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt_local import LocalProvider
{START}folder, number = sys.argv[1:]
provider, journal = LocalProvider(folder + "/store"), SqliteJournal(folder + "/journal")
provisioner = Provisioner(provider, journal)
request = VolumeRequest("data", 4096)
"""


def _together(folder: Path, script: str) -> list[str]:
    """Run ``script`` in several processes at once; return what each printed."""
    return in_processes(WORKERS, _PREAMBLE + script, str(folder))


def states(folder: Path) -> Counter[tuple[str, State]]:
    with closing(SqliteJournal(folder / "journal")) as journal:
        return Counter((entry.operation, entry.state) for entry in journal.entries())


def test_processes_that_want_one_volume_make_one_and_attach_it_once(tmp_path: Path) -> None:
    script = """
volume = provisioner.ensure_volume(request)
print(volume.id, provisioner.ensure_attached(volume.id, "node-1").identity.path)
"""
    printed = _together(tmp_path, script)
    assert len(set(printed)) == len(list(LocalProvider(tmp_path / "store").list())) == 1
    assert states(tmp_path) == {
        ("CreateVolume", State.DONE): 1,
        ("AttachVolume", State.DONE): 1,
    }


def test_processes_that_do_not_wait_get_the_volume_or_a_typed_error(tmp_path: Path) -> None:
    script = """
provisioner = Provisioner(provider, journal, on_busy=OnBusy.RAISE)
for attempt in range(50):
    try:
        print(provisioner.ensure_volume(request).id)
        break
    except OperationBusy:
        pass
else:
    print("busy")
"""
    printed = set(_together(tmp_path, script)) - {"busy"}
    assert printed == {volume.id for volume in LocalProvider(tmp_path / "store").list()}
    assert states(tmp_path) == {("CreateVolume", State.DONE): 1}


def test_processes_that_attach_and_delete_one_volume_end_in_one_of_the_two(
    tmp_path: Path,
) -> None:
    script = """
from cloudcrypt.errors import NotFound, VolumeInUse
volume = provisioner.ensure_volume(VolumeRequest("data", 4096))
try:
    if int(number) % 2:
        print(provisioner.ensure_attached(volume.id, "node-1").instance)
    else:
        provisioner.ensure_gone(volume.id)
        print("gone")
except (NotFound, VolumeInUse) as error:
    print(type(error).__name__)
"""
    _together(tmp_path, script)
    with closing(SqliteJournal(tmp_path / "journal")) as journal:
        assert [entry for entry in journal.entries() if not entry.is_finished] == []
    for volume in LocalProvider(tmp_path / "store").list():
        assert volume.holders in ((), ("node-1",))


@pytest.mark.parametrize("killed_at", ["begin", "resume"])
def test_a_process_that_is_killed_leaves_what_another_one_finishes(
    tmp_path: Path, killed_at: str
) -> None:
    script = (
        _PREAMBLE
        + f"""
import os, signal
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
class Dying(LocalProvider):
    {killed_at} = die
Provisioner(Dying(folder + "/store"), journal).ensure_volume(request)
"""
    )
    command = [sys.executable, "-c", script, str(tmp_path), "0"]
    run = subprocess.run(command, input="\n", text=True, check=False, timeout=120)
    assert run.returncode == -9
    assert sum(states(tmp_path).values()) == 1
    printed = _together(tmp_path, "print(provisioner.ensure_volume(request).id)")
    assert len(set(printed)) == len(list(LocalProvider(tmp_path / "store").list())) == 1
    assert states(tmp_path) == {("CreateVolume", State.DONE): 1}
