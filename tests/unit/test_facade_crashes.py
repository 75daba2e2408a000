"""A script that dies anywhere, and the next run of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.errors import ProviderUnavailable
from cloudcrypt.facade import encrypted_volume
from cloudcrypt.journal import SqliteJournal, State
from cloudcrypt.ledger import Ledger, SqliteLedger
from cloudcrypt.ledger import State as Recorded
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.spi import Handle, Intent, T
from cloudcrypt.stage import Stage
from cloudcrypt.waiting import Deadline
from cloudcrypt_local import LocalProvider
from tests.unit.nodes import CONTENT, PROFILES
from tests.unit.vms import HERE, KEYS, REQUEST, Vm, vm_in, vm_options


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    with vm_in(tmp_path) as vm:
        yield vm


class Dead(BaseException):
    """The process has died."""


class Countdown:
    """Lets so many steps happen, and none afterwards."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.made = 0

    def step(self) -> None:
        if self.left <= self.made:
            raise Dead
        self.made += 1


def mortal(kind: type[Any], countdown: Countdown, *verbs: str) -> type[Any]:
    """Return ``kind`` with a step before and after each of ``verbs``."""

    def around(verb: str) -> Any:
        def method(self: Any, *args: Any, **options: Any) -> Any:
            countdown.step()
            result = getattr(kind, verb)(self, *args, **options)
            countdown.step()
            return result

        return method

    return type(f"Mortal{kind.__name__}", (kind,), {verb: around(verb) for verb in verbs})


STEPS = 48
"""Before and after each write to journal and ledger, and each change the provider is asked for.

Creating, attaching and detaching: 10 each; registering, and spending the proof: 2 each; formatting:
8; that it is written to, opening and closing: 2 each.
"""


def run(folder: Path, countdown: Countdown, written: list[bool]) -> None:
    """Write to the volume, in a process that dies after so many steps."""
    provider = mortal(LocalProvider, countdown, "begin", "resume")(folder / "store")
    journal = mortal(SqliteJournal, countdown, "add", "replace")(folder / "journal")
    ledger: Ledger = mortal(SqliteLedger, countdown, "add", "replace")(folder / "ledger")
    options = vm_options(journal=journal, ledger=ledger)
    with encrypted_volume(provider, REQUEST, **options) as disk:
        disk.write(CONTENT)
        written.append(True)


def test_a_run_that_is_cut_anywhere_is_finished_by_the_next_and_formats_once(
    tmp_path: Path,
) -> None:
    uncut = Countdown(1000)
    run(tmp_path / "uncut", uncut, [])
    assert uncut.made == STEPS
    for steps in range(STEPS):
        written: list[bool] = []
        with pytest.raises(Dead):
            run(tmp_path / f"{steps}", Countdown(steps), written)
        with vm_in(tmp_path / f"{steps}") as vm:
            before = vm.record() if list(vm.provider.list()) else None
            found = vm.content()
            assert found == CONTENT or not written
            after = vm.record()
            assert after is not None
            assert after.state is Recorded.READY
            if before is not None and before.uuid is not None:
                assert before.uuid == after.uuid  # it was not formatted anew
            vm.write()
            assert vm.content() == CONTENT
            assert len(list(vm.provider.list())) == 1
            undone = [entry for entry in vm.journal.entries() if entry.state is not State.DONE]
            # A detachment that nobody had begun gives way to the next attachment.
            assert {(each.operation, each.state) for each in undone} <= {
                ("DetachVolume", State.FAILED)
            }


def test_an_answer_that_is_lost_is_no_second_volume(vm: Vm) -> None:
    class Losing(LocalProvider):
        lost = 0

        def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
            handle = super().begin(intent, deadline=deadline)
            Losing.lost += 1
            if Losing.lost % 2:
                raise ProviderUnavailable(self.url, "the answer was lost")
            return handle

    vm.provider = Losing(vm.folder / "store")
    vm.write()
    assert vm.content() == CONTENT
    assert len(list(vm.provider.list())) == 1


def test_a_volume_that_is_formatted_by_hand_is_opened(vm: Vm) -> None:
    made = vm.provisioner.ensure_volume(REQUEST)
    attachment = vm.provisioner.ensure_attached(made.id, HERE)
    assert attachment.instance == HERE
    stage = Stage(vm.ledger, KEYS, UserspaceMapper(), profiles=PROFILES)
    stage.register_new(made.id, capacity=made.size)
    vm.write()
    assert vm.content() == CONTENT
