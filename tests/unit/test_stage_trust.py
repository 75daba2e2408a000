"""Volumes that the ledger does not know: what a caller may say of them, and what is recorded."""

from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import CapacityRefused, HeaderRefused, IdentityRefused, ModeRefused
from cloudcrypt.ledger import Unrecorded
from cloudcrypt.luks2 import layout
from cloudcrypt.model import Expectation, KeyPolicy, Mode
from cloudcrypt.stage import Adopt, Trust
from tests.unit.nodes import CONTENT, OTHER_UUID, SIZE, Node, empty_folder


@pytest.mark.parametrize("policy", KeyPolicy)
@pytest.mark.parametrize("trust", [Expectation(Mode.CRYPT), Adopt(Mode.CRYPT)])
def test_a_trusted_volume_is_recorded_once_it_opened(
    node: Node, policy: KeyPolicy, trust: Trust, tmp_path: Path
) -> None:
    device = node.formatted(policy=policy)
    stranger = node.again(base=empty_folder(tmp_path))
    assert CONTENT == stranger.content(device, policy=policy, trust=trust)
    assert attrs.evolve(node.record(), payload=Unrecorded()) == stranger.record()
    assert CONTENT == stranger.content(device, policy=policy)


def test_a_trusted_volume_is_held_while_it_is_open(node: Node, tmp_path: Path) -> None:
    stranger = node.again(base=empty_folder(tmp_path))
    stranger.stage.open(node.formatted(), trust=Adopt(Mode.CRYPT))
    assert stranger.holder == stranger.record().holder


def test_adopting_takes_the_generation_of_the_header(node: Node, tmp_path: Path) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    stranger = node.again(base=empty_folder(tmp_path))
    with pytest.raises(IdentityRefused):
        stranger.stage.open(device, trust=Expectation(Mode.CRYPT))
    assert [] == list(stranger.ledger.records())
    assert CONTENT == stranger.content(device, trust=Adopt(Mode.CRYPT))
    assert stranger.record().generation == 2


def test_what_the_caller_expects_is_recorded(node: Node, tmp_path: Path) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    uuid = node.record().uuid
    stranger = node.again(base=empty_folder(tmp_path))
    expectation = Expectation(Mode.CRYPT, 2, uuid, SIZE - 8192)
    assert stranger.stage.open(device, trust=expectation).size == SIZE - 8192 - layout.DATA_OFFSET
    record = stranger.record()
    assert (2, uuid, SIZE - 8192) == (record.generation, record.uuid, record.capacity)


WRONG: dict[str, tuple[Trust, type[HeaderRefused]]] = {
    "mode": (Expectation(Mode.INTEGRITY), ModeRefused),
    "adopted mode": (Adopt(Mode.INTEGRITY), ModeRefused),
    "generation": (Expectation(Mode.CRYPT, generation=2), IdentityRefused),
    "UUID": (Expectation(Mode.CRYPT, uuid=OTHER_UUID), HeaderRefused),
    "capacity": (Expectation(Mode.CRYPT, capacity=SIZE + 4096), CapacityRefused),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_volume_that_is_not_what_is_expected_is_not_recorded(
    node: Node, what: str, tmp_path: Path
) -> None:
    trust, error = WRONG[what]
    device = node.formatted()
    stranger = node.again(base=empty_folder(tmp_path))
    for verb in (stranger.stage.open, stranger.stage.check):
        with pytest.raises(error):
            verb(device, trust=trust)
    assert [] == list(stranger.ledger.records())


@pytest.mark.parametrize("trust", [None, Adopt(Mode.CRYPT), Expectation(Mode.CRYPT, 2)])
def test_a_replayed_header_of_an_older_generation_is_refused_whatever_is_trusted(
    node: Node, trust: Trust | None
) -> None:
    device = node.formatted()
    old = device.path.read_bytes()
    node.stage.rotate(device)
    device.path.write_bytes(old)
    for verb in (node.stage.open, node.stage.check, node.stage.backup_header):
        with pytest.raises(IdentityRefused):
            verb(device, trust=trust)
