"""The power goes twice: within a verb, and within what was called to put that right."""

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused, StateForbids, UnknownVolume
from cloudcrypt.model import KeyPolicy
from cloudcrypt.secret import Secret
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import Cut, DiskCut
from tests.unit.machines import (
    Machine,
    MachineStage,
    Verb,
    again,
    backed_up,
    cuts_of,
    disk_of,
    fill,
    format_it,
    new_machine,
    ready,
    rebind,
    rotate,
    run_into,
    volume_key,
)
from tests.unit.nodes import CONTENT, OTHER, VOLUME


@attrs.frozen
class Scenario:
    """A verb on a machine.

    ``key`` is the volume key that every cut must leave within reach, ``pairs`` how many pairs of
    cuts there must be.
    """

    machine: Machine
    verb: Verb
    volume_id: str
    content: bytes
    key: Secret | None
    pairs: int


def formatting(machine: Machine) -> tuple[Verb, str, bytes]:
    assert machine.record() is None
    return format_it, VOLUME, b""


def rotation(machine: Machine) -> tuple[Verb, str, bytes]:
    fill(machine)
    return rotate, VOLUME, CONTENT


def rebinding(machine: Machine) -> tuple[Verb, str, bytes]:
    fill(machine)
    machine.host.add(OTHER, disk_of(machine).copy())
    return rebind, OTHER, CONTENT


def restoring(machine: Machine) -> tuple[Verb, str, bytes]:
    return backed_up(machine, policy=KeyPolicy.BOUND, damaged=False), VOLUME, CONTENT


def restoring_what_is_damaged(machine: Machine) -> tuple[Verb, str, bytes]:
    return backed_up(machine, policy=KeyPolicy.BOUND, damaged=True), VOLUME, CONTENT


PREPARED: dict[Callable[[Machine], tuple[Verb, str, bytes]], tuple[bool, int]] = {
    formatting: (False, 15),
    rotation: (True, 118),
    rebinding: (False, 124),
    restoring: (True, 182),
    restoring_what_is_damaged: (False, 161),
}
"""How each scenario is prepared; whether its volume can be checked all the time; pairs of cuts."""


@pytest.fixture(params=PREPARED, ids=lambda prepare: prepare.__name__)
def scenario(request: pytest.FixtureRequest, tmp_path: Path) -> Scenario:
    machine = new_machine(tmp_path / "machine")
    verb, volume_id, content = request.param(machine)
    always, pairs = PREPARED[request.param]
    key = volume_key(machine) if always else None
    return Scenario(machine, verb, volume_id, content, key, pairs)


def use(volume_id: str) -> Verb:
    """Return a verb that opens and closes a volume, as far as it may be opened."""

    def opened_and_closed(stage: MachineStage, host: MemoryHost) -> None:
        try:
            stage.open(host.device(volume_id))
        except (HeaderRefused, StateForbids, UnknownVolume):
            return
        stage.close(volume_id)

    return opened_and_closed


def torn(cuts: list[Cut]) -> list[Cut]:
    """Return, of all cuts, those that tear a write to the disk in two."""
    lengths = {cut.write: cut.tear for cut in cuts if isinstance(cut, DiskCut)}
    return [DiskCut(write, length // 2) for write, length in lengths.items()]


def between(cuts: list[Cut]) -> list[Cut]:
    """Return, of all cuts, those between two writes to the disk."""
    writes = {cut.write for cut in cuts if isinstance(cut, DiskCut)}
    return [DiskCut(write) for write in sorted(writes - {0})]


def test_after_two_cuts_a_verb_finishes(
    scenario: Scenario, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    volume_id, content = scenario.volume_id, scenario.content
    cuts = cuts_of(scenario.machine, scenario.verb, tmp_path / "uncut")
    tried = 0
    for number, first in enumerate(torn(cuts) + between(cuts)):
        once = scenario.machine.copy(tmp_path / f"once-{number}")
        run_into(first, once, scenario.verb)
        for name, repair in (("again", scenario.verb), ("open", use(volume_id))):
            cuts_of_repair = cuts_of(once, repair, once.folder / f"uncut-{name}")
            for second in torn(cuts_of_repair):
                tried += 1
                twice = once.copy(once.folder / f"twice-{name}-{tried}")
                with subtests.test(first=str(first), repair=name, second=str(second)):
                    run_into(second, twice, repair, boot="boot-2")
                    if scenario.key is not None:
                        assert scenario.key == volume_key(twice)
                    again(twice, scenario.verb, boot="boot-3")
                    found = twice.content(volume_id, boot="boot-4")
                    assert content == found[: len(content)]
                    assert ready(twice, volume_id).holder is None
    assert scenario.pairs == tried
