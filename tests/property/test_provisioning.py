"""Whatever is asked, lost, refused and killed in whatever order: one of each, and nothing taken."""

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloudcrypt.errors import CloudcryptError, OperationFailed, OutOfCapacity, Throttled
from cloudcrypt.model import Volume, VolumeState
from cloudcrypt.provisioning import Provisioner, VolumeRequest
from cloudcrypt.sizes import MIB
from tests.unit.control_planes import ControlPlane
from tests.unit.cuts import Killed, Life, MortalJournal, MortalProvider
from tests.unit.shaky_provider import answering, failing, lost_after, lost_before, working

NAMES = ("a", "b")
NODES = ("node-1", "node-2")
FAULTS = {
    "works": working,
    "lost before": lost_before,
    "lost after": lost_after,
    "throttled": failing(Throttled("requests")),
}
names = st.sampled_from(NAMES)
nodes = st.sampled_from(NODES)
lives = (st.none() | st.integers(0, 14)).map(Life)
"""How many steps a process lives; a verb takes 12 on a good day."""
sizes = st.sampled_from((1, 2, 3)).map(lambda number: number * MIB)


Until = dict[str, Any]
VERBS: dict[str, Callable[[Provisioner, Volume, str, int, Until], object]] = {
    "attached": lambda each, volume, node, _, until: each.ensure_attached(volume.id, node, **until),
    "detached": lambda each, volume, node, _, until: each.ensure_detached(volume.id, node, **until),
    "forced": lambda each, volume, node, _, until: each.ensure_detached(
        volume.id, node, force=True, **until
    ),
    "size": lambda each, volume, _, size, until: each.ensure_size(volume.id, size, **until),
    "snapshot": lambda each, volume, _, __, until: each.ensure_snapshot(
        volume.id, volume.name, **until
    ),
    "gone": lambda each, volume, _, __, until: each.ensure_gone(volume.id, **until),
}


class Operators(RuleBasedStateMachine):
    """Two operators, one journal, and a provider that has bad days."""

    @initialize(knows_names=st.booleans())
    def begin(self, *, knows_names: bool) -> None:
        self.plane = ControlPlane()
        self.provider = self.plane.provider
        self.provider.knows_names = knows_names
        self.seen: set[str] = set()
        self.given_up: set[str] = set()
        self.held: dict[str, str] = {}
        self.let_go: set[tuple[str, str]] = set()

    # --- what goes wrong ---

    @rule(
        verb=st.sampled_from(("begin", "begin", "resume", "get", "list", "find")),
        faults=st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=4),
        is_full=st.booleans(),
        is_late=st.booleans(),
        doomed=st.integers(0, 4),
    )
    def have_a_bad_day(
        self, verb: str, faults: list[str], *, is_full: bool, is_late: bool, doomed: int
    ) -> None:
        self.provider.faults[verb] += [FAULTS[fault] for fault in faults]
        if is_full:
            self.provider.faults["begin"].append(failing(OutOfCapacity("volumes", "here")))
        if is_late and self.provider.knows_names:  # else what is given up may come true after all
            self.provider.faults["find"].append(answering(None))
        self.provider.doomed += [OperationFailed("creation", "something", "an error")] * doomed

    # --- what is asked ---

    @rule(name=names, size=st.just(MIB) | sizes, life=lives)
    def create(self, name: str, size: int, life: Life) -> None:
        self.act(life, lambda each, until: each.ensure_volume(VolumeRequest(name, size), **until))

    @precondition(lambda self: self.provider.volumes)
    @rule(draw=st.data(), verb=st.sampled_from(sorted(VERBS)), node=nodes, size=sizes, life=lives)
    def change(self, draw: st.DataObject, verb: str, node: str, size: int, life: Life) -> None:
        volume = draw.draw(st.sampled_from(sorted(self.provider.volumes.values(), key=str)))
        if verb == "gone":
            self.given_up.add(volume.id)
        if verb in {"detached", "forced"}:
            self.let_go.add((volume.id, node))  # now, or when somebody resumes it
        is_done = self.act(life, lambda each, until: VERBS[verb](each, volume, node, size, until))
        if verb == "attached" and is_done:
            self.let_go.discard((volume.id, node))

    @rule(life=lives)
    def resume(self, life: Life) -> None:
        self.act(life, lambda each, until: each.resume_all(**until))

    # --- what must hold ---

    @invariant()
    def there_is_one_volume_and_one_snapshot_of_a_name(self) -> None:
        for there in (self.provider.volumes.values(), self.provider.taken.values()):
            found = [each.name for each in there]
            assert len(found) == len(set(found))

    @invariant()
    def nothing_is_deleted_that_nobody_gave_up(self) -> None:
        ready = {
            volume.id
            for volume in self.provider.volumes.values()
            if volume.state is not VolumeState.CREATING  # else it may fail yet
        }
        assert self.seen - self.given_up <= set(self.provider.volumes)
        self.seen |= ready

    @invariant()
    def nothing_is_taken_from_its_holder(self) -> None:
        for volume in self.provider.volumes.values():
            before = self.held.pop(volume.id, None)
            if before is not None and (volume.id, before) not in self.let_go:
                assert volume.holders == (before,)
            for holder in volume.holders:
                self.held[volume.id] = holder

    def teardown(self) -> None:
        """On a good day everything is finished, and every wish comes true."""
        if not hasattr(self, "plane"):
            return
        self.provider.faults.clear()
        self.provider.doomed.clear()
        provisioner = self.plane.process(attempts=20)
        provisioner.resume_all()
        assert provisioner.unfinished() == ()
        for name in NAMES:
            there = [each.size for each in self.provider.volumes.values() if each.name == name]
            request = VolumeRequest(name, there[0] if there else MIB)
            volume = provisioner.ensure_volume(request)
            assert provisioner.ensure_volume(request) == volume
        assert sorted(volume.name for volume in self.provider.volumes.values()) == list(NAMES)

    # --- how ---

    def act(self, life: Life, verb: Callable[[Provisioner, Until], object]) -> bool:
        """Let a process act while it lives; say whether it succeeded."""
        provisioner = Provisioner(
            MortalProvider(self.provider, life),
            MortalJournal(self.plane.journal, life),
            clock=self.plane.clock,
        )
        try:
            verb(provisioner, {"deadline": self.plane.deadline(30)})
        except (CloudcryptError, Killed):
            return False
        return True


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=200, stateful_step_count=50)
