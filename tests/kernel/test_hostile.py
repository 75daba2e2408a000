"""Hostile storage: nothing is formatted, no other volume's data is served, the error is typed."""

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import IdentityRefused
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    Blank,
    DeviceIdentity,
    GoogleDeviceName,
    Mode,
    NvmeSerial,
)
from cloudcrypt_testing.vm import (
    VM,
    Presentation,
    azure_nvme_disk,
    ebs_volume,
    google_disk,
)
from tests.kernel.guest import hostile_between, hostile_in_use
from tests.kernel.guest.hostile_bench import CASES, IDS, SIZE
from tests.kernel.hostile_volumes import prepare
from tests.kernel.machines import NODE

MODULES = (hostile_between, hostile_in_use)
"""Importing them has put their cases into `CASES`."""

BENCH = "tests.kernel.guest.hostile_bench"
SWAPPING = "tests.kernel.guest.hostile_swap"
TIMEOUT = 900.0
"""Seconds for all cases; a host with nothing else to do takes a tenth of it."""

EBS = "Amazon Elastic Block Store"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the volumes; the guest, which sees this file system, copies them."""
    return prepare(tmp_path_factory.mktemp("hostile") / "prepared")


@pytest.fixture(scope="module", autouse=True)
def _preloaded(shared_vm: VM) -> None:
    shared_vm.preload(NODE)


@pytest.fixture(scope="module")
def outcomes(
    shared_vm: VM, prepared: Path, request: pytest.FixtureRequest
) -> dict[str, str | None]:
    """Return what went wrong with each case that was selected: they share one process."""
    found = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [each.params for each in found if each is not None and "hostility" in each.params]
    cases = [(params["hostility"], params["mode"]) for params in wanted]
    told: dict[str, str | None] = shared_vm.python(
        f"{BENCH}:outcomes", str(prepared), cases, timeout=TIMEOUT
    )
    return told


@pytest.mark.parametrize(
    ("hostility", "mode"), [(each, mode) for each, modes in CASES.items() for mode in modes]
)
def test_hostile_storage(outcomes: dict[str, str | None], hostility: str, mode: str) -> None:
    assert hostility.partition(":")[0] in {module.__name__ for module in MODULES}
    failure = outcomes[f"{hostility} {mode}"]
    if failure is not None:
        pytest.fail(failure, pytrace=False)


@attrs.frozen
class Bus:
    """How a disk comes to the node, again and again in the same place."""

    presentation: Presentation
    identity: DeviceIdentity
    mode: Mode


BUSES = {
    "nvme-serial": Bus(ebs_volume("vol-0a"), NvmeSerial("vol0a", EBS), Mode.INTEGRITY),
    "scsi-name": Bus(google_disk("data"), GoogleDeviceName("data"), Mode.CRYPT),
    "nvme-lun": Bus(azure_nvme_disk(4), AzureLun(4, "data"), Mode.CRYPT),
}


@pytest.fixture
def plugged(vm: VM, prepared: Path, tmp_path: Path) -> Generator[Callable[..., Any]]:
    """Return what plugs a copy of a volume in, in the place that a bus has for it."""

    def plug(bus: Bus, name: str) -> tuple[Any, Path]:
        path = tmp_path / f"{name}.img"
        if not path.exists():
            path.write_bytes((prepared / bus.mode.value / f"{name}.img").read_bytes())
        return vm.plug(bus.presentation, path), path

    yield plug
    vm.python(f"{SWAPPING}:clean_up")


@pytest.mark.parametrize("bus", BUSES)
def test_a_disk_that_is_swapped(
    vm: VM, plugged: Callable[..., Any], prepared: Path, bus: str
) -> None:
    """It is pulled out while it is mounted, and another volume's comes in its place."""
    chosen = BUSES[bus]
    folder = str(prepared / chosen.mode.value)
    text = Attachment(IDS["a"], "node", SIZE, Blank(), chosen.identity).to_json()
    right, _ = plugged(chosen, "a")
    assert vm.python(f"{SWAPPING}:use", text, folder) == "a"
    right.unplug()
    wrong, path = plugged(chosen, "b")
    before = path.read_bytes()
    told = vm.python(f"{SWAPPING}:meet_another", text)
    wrong.unplug()
    assert told["kind"] == IdentityRefused.__name__
    assert (told["found"], told["expected"]) == uuids(prepared / chosen.mode.value)
    assert told["mapped"] == []
    assert path.read_bytes() == before
    right, _ = plugged(chosen, "a")
    assert vm.python(f"{SWAPPING}:use_again", text) == "a"
    right.unplug()


def uuids(folder: Path) -> tuple[str, str]:
    """Return the UUIDs of b and a."""
    with closing(SqliteLedger(folder / "ledger.sqlite")) as ledger:
        records = {name: ledger.get(volume_id) for name, volume_id in IDS.items()}
    b, a = records["b"], records["a"]
    assert a is not None
    assert b is not None
    return str(b.uuid), str(a.uuid)
