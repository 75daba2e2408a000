"""The power goes twice: within a verb, and within what was called to put that right."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.errors import HeaderRefused, StateForbids, UnknownVolume
from cloudcrypt.model import KeyPolicy
from cloudcrypt.secret import Secret
from cloudcrypt_testing.hosts import MemoryHost
from cloudcrypt_testing.power import Cut
from tests.unit.machines import (
    Machine,
    MachineStage,
    Verb,
    again,
    backed_up,
    cuts_of,
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
    """A verb on a machine; ``key`` is the volume key that every cut must leave within reach."""

    machine: Machine
    verb: Verb
    volume_id: str
    content: bytes
    cuts: list[Cut]
    key: Secret | None


def formatting(machine: Machine) -> tuple[Verb, str, bytes]:
    assert machine.record() is None
    return format_it, VOLUME, b""


def rotation(machine: Machine) -> tuple[Verb, str, bytes]:
    fill(machine)
    return rotate, VOLUME, CONTENT


def rebinding(machine: Machine) -> tuple[Verb, str, bytes]:
    fill(machine)
    machine.host.add(OTHER, machine.host.disks[machine.host.device(VOLUME).path].copy())
    return rebind, OTHER, CONTENT


def restoring(machine: Machine) -> tuple[Verb, str, bytes]:
    return backed_up(machine, policy=KeyPolicy.BOUND, damaged=False), VOLUME, CONTENT


def restoring_what_is_damaged(machine: Machine) -> tuple[Verb, str, bytes]:
    return backed_up(machine, policy=KeyPolicy.BOUND, damaged=True), VOLUME, CONTENT


PREPARED: dict[Callable[[Machine], tuple[Verb, str, bytes]], bool] = {
    formatting: False,
    rotation: True,
    rebinding: False,
    restoring: True,
    restoring_what_is_damaged: False,
}
"""How each scenario is prepared, and whether the volume can be checked at every moment of it."""


@pytest.fixture(scope="module", params=PREPARED, ids=lambda prepare: prepare.__name__)
def scenario(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    machine = new_machine(tmp_path_factory.mktemp("machine"))
    verb, volume_id, content = request.param(machine)
    cuts = cuts_of(machine, verb, machine.folder / "uncut")
    key = volume_key(machine) if PREPARED[request.param] else None
    yield Scenario(machine, verb, volume_id, content, cuts, key)


def use(volume_id: str) -> Verb:
    """Return a verb that opens and closes a volume, as far as it may be opened."""

    def opened_and_closed(stage: MachineStage, host: MemoryHost) -> None:
        try:
            stage.open(host.device(volume_id))
        except (HeaderRefused, StateForbids, UnknownVolume):
            return
        stage.close(volume_id)

    return opened_and_closed


@settings(max_examples=15)
@given(first=st.integers(0, 999), second=st.integers(0, 999), opens=st.booleans())
def test_after_two_cuts_a_verb_finishes(
    scenario: Scenario, first: int, second: int, *, opens: bool
) -> None:
    with TemporaryDirectory() as folder:
        machine = scenario.machine.copy(Path(folder) / "machine")
        run_into(scenario.cuts[first % len(scenario.cuts)], machine, scenario.verb)
        repair = use(scenario.volume_id) if opens else scenario.verb
        cuts = cuts_of(machine, repair, machine.folder / "uncut")
        if cuts:
            run_into(cuts[second % len(cuts)], machine, repair, boot="boot-2")
        if scenario.key is not None:
            assert scenario.key == volume_key(machine)
        again(machine, scenario.verb, boot="boot-3")
        found = machine.content(scenario.volume_id, boot="boot-4")
        assert scenario.content == found[: len(scenario.content)]
        assert ready(machine, scenario.volume_id).holder is None
