"""`ensure_volume`: one volume of a name, whatever the provider does meanwhile."""

from typing import Any

import attrs
import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    NotFound,
    RequestConflict,
)
from cloudcrypt.journal import State
from cloudcrypt.model import ClonedFrom, RestoredFrom, VolumeState
from cloudcrypt.provisioning import VolumeRequest
from cloudcrypt.provisioning.operations import shared_token
from cloudcrypt.sizes import MIB
from cloudcrypt.spi import CreateSnapshot, CreateVolume, FromSnapshot, FromVolume
from tests.unit.control_planes import REQUEST, ControlPlane
from tests.unit.shaky_provider import answering, failing


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane()


def token(attempt: int) -> str:
    return shared_token("shaky:here", REQUEST.intent("-"), attempt)


# --- the request ---


def test_a_request_has_the_fields_and_defaults_of_the_intent() -> None:
    intent = {field.name: field.default for field in attrs.fields(CreateVolume)}
    request = {field.name: field.default for field in attrs.fields(VolumeRequest)}
    assert intent.pop("token") is attrs.NOTHING
    assert intent.pop("maker") is None  # which the Provisioner says
    assert list(request.items())[:-1] == list(intent.items())[:-1]
    assert list(request)[-1] == list(intent)[-1] == "labels"


@pytest.mark.parametrize(
    "facts", [{"name": ""}, {"size": 0}, {"iops": -1}, {"cloud_key": ""}, {"labels": {"a": 1}}]
)
def test_a_request_obeys_the_rules_of_the_intent(facts: dict[str, Any]) -> None:
    all_of_them: dict[str, Any] = {"name": "data", "size": MIB, **facts}
    with pytest.raises(InvalidRequest):
        VolumeRequest(**all_of_them)


def test_a_token_fits_every_provider_and_says_what_it_is_for() -> None:
    tokens = {
        shared_token(namespace, intent, attempt)
        for namespace in ("shaky:here", "shaky:there")
        for intent in (
            CreateVolume("-", "data", 1),
            CreateVolume("-", "other", 1),
            CreateSnapshot("-", "v", "data"),
        )
        for attempt in (1, 2)
    }
    assert len(tokens) == 12
    assert {len(each) for each in tokens} == {64}
    same = shared_token("shaky:here", CreateVolume("x", "data", 2), 1)
    assert same == shared_token("shaky:here", CreateVolume("y", "data", 1), 1)


# --- once ---


def test_a_volume_is_made_with_its_intent_handle_and_outcome_in_the_journal(
    plane: ControlPlane,
) -> None:
    volume = plane.provisioner.ensure_volume(REQUEST)
    assert (volume.name, volume.state) == ("data", VolumeState.AVAILABLE)
    assert plane.provider.asked == ["list", "begin CreateVolume", "resume CreateVolume"]
    (entry,) = plane.entries()
    assert entry.intent == REQUEST.intent(token(1), plane.journal.id)
    assert (entry.state, entry.attempt, entry.blank) == (State.DONE, 1, True)
    assert (entry.reference, entry.outcome, entry.error) == (volume.id, volume.id, None)
    assert entry.begun == entry.changed == plane.clock.now()


def test_asking_again_changes_nothing_and_writes_nothing(plane: ControlPlane) -> None:
    volume = plane.provisioner.ensure_volume(REQUEST)
    before = plane.entries()
    plane.provider.asked.clear()
    assert plane.process().ensure_volume(REQUEST) == volume
    assert plane.provider.asked == ["get"]
    assert plane.entries() == before


def test_a_volume_that_others_made_is_used_and_not_claimed(plane: ControlPlane) -> None:
    made = plane.provider.add("data", 20 * MIB, labels={"owner": "me", "cost": "1"})
    request = attrs.evolve(REQUEST, labels={"owner": "me"})
    assert plane.provisioner.ensure_volume(request) == made
    assert plane.provider.asked == ["list"]
    assert plane.entries() == ()


def test_two_hosts_that_make_one_name_use_one_token(plane: ControlPlane) -> None:
    other = ControlPlane(plane.provider)
    plane.provider.faults["list"] += [answering(())] * 2  # neither sees the other's
    volumes = [each.provisioner.ensure_volume(REQUEST) for each in (plane, other)]
    assert volumes[0] == volumes[1]
    assert len(plane.provider.tokens) == len(plane.provider.volumes) == 1


def test_a_volume_that_another_host_is_creating_is_waited_for_and_not_claimed(
    plane: ControlPlane,
) -> None:
    made = plane.provider.add("data", 20 * MIB, state=VolumeState.CREATING)
    volume = plane.provisioner.ensure_volume(REQUEST)
    assert (volume.id, volume.state) == (made.id, VolumeState.AVAILABLE)
    assert [entry.blank for entry in plane.entries()] == [False]


# --- what differs ---


DIFFERENT: dict[str, dict[str, Any]] = {
    "size": {"size": 21 * MIB},
    "kind": {"kind": "slow"},
    "iops": {"iops": 100},
    "multi_attach": {"multi_attach": True},
    "labels": {"labels": {"owner": "you"}},
    "source": {"origin": ClonedFrom("vol-9")},
}


@pytest.mark.parametrize("field", DIFFERENT)
def test_every_field_that_differs_is_named_and_nothing_is_asked(
    plane: ControlPlane, field: str
) -> None:
    exact: dict[str, Any] = {"kind": "fast", "iops": 3000, "labels": {"owner": "me"}}
    made: dict[str, Any] = {"size": 20 * MIB, **exact, **DIFFERENT[field]}
    plane.provider.add("data", **made)
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, **exact))
    assert (caught.value.name, caught.value.fields) == ("data", (field,))
    assert (plane.provider.changes, plane.entries()) == ([], ())


def test_all_that_differs_is_named_in_one_error(plane: ControlPlane) -> None:
    plane.provider.add("data", 21 * MIB, kind="slow", place="there", multi_attach=True)
    request = attrs.evolve(REQUEST, kind="fast", place="here", labels={"a": "b"})
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_volume(request)
    assert caught.value.fields == ("size", "place", "kind", "multi_attach", "labels")


def test_what_the_request_leaves_open_does_not_differ(plane: ControlPlane) -> None:
    made = plane.provider.add(
        "data",
        20 * MIB,
        place="there",
        kind="fast",
        iops=1,
        throughput=1,
        cloud_key="key",
        labels={"a": "b"},
    )
    assert plane.provisioner.ensure_volume(REQUEST) == made


def test_a_size_is_compared_in_units_of_the_provider(plane: ControlPlane) -> None:
    request = attrs.evolve(REQUEST, size=20 * MIB - 1)
    volume = plane.provisioner.ensure_volume(request)
    assert plane.provisioner.ensure_volume(REQUEST) == volume
    with pytest.raises(RequestConflict):
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, size=20 * MIB + 1))


def test_what_a_cloud_calls_otherwise_is_compared_by_the_provider_once(
    plane: ControlPlane,
) -> None:
    request = attrs.evolve(REQUEST, place="alias", cloud_key="alias")
    volume = plane.provisioner.ensure_volume(request)
    assert (volume.place, volume.cloud_key) == ("canonical alias", "canonical alias")
    plane.provider.asked.clear()
    assert plane.provisioner.ensure_volume(request) == volume
    assert plane.provider.changes == []
    other = attrs.evolve(request, place="another alias")
    plane.provider.faults["begin"].append(failing(RequestConflict("data", ("place",))))
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_volume(other)
    assert caught.value.fields == ("place",)
    assert plane.states() == [State.DONE, State.FAILED]


def test_a_provider_that_compares_nothing_is_not_believed(plane: ControlPlane) -> None:
    plane.provider.add("data", 40 * MIB)
    plane.provider.faults["list"].append(answering(()))  # it is shown late, too
    with pytest.raises(RequestConflict) as caught:
        plane.provisioner.ensure_volume(REQUEST)
    assert caught.value.fields == ("size",)
    assert plane.states() == [State.FAILED]


# --- copies ---


@pytest.fixture
def source(plane: ControlPlane) -> FromSnapshot:
    origin = plane.provisioner.ensure_volume(attrs.evolve(REQUEST, name="origin"))
    snapshot = plane.provisioner.ensure_snapshot(origin.id, "backup", 7)
    plane.provider.asked.clear()
    return FromSnapshot(snapshot.id)


def test_a_copy_is_made_of_its_source_and_is_not_blank(
    plane: ControlPlane, source: FromSnapshot
) -> None:
    request = attrs.evolve(REQUEST, source=source)
    volume = plane.provisioner.ensure_volume(request)
    assert isinstance(volume.origin, RestoredFrom)
    assert plane.provisioner.ensure_volume(request) == volume
    assert plane.provider.changes == ["CreateVolume"]
    assert [entry.blank for entry in plane.entries(outcome=volume.id)] == [False]


def test_a_copy_that_others_made_is_known_by_volume_and_generation_of_its_snapshot(
    plane: ControlPlane, source: FromSnapshot
) -> None:
    snapshot = plane.provider.taken[source.snapshot_id]
    request = attrs.evolve(REQUEST, source=source)
    made = plane.provider.add("data", 20 * MIB, origin=RestoredFrom(snapshot.volume_id, 7))
    assert plane.provisioner.ensure_volume(request) == made
    plane.provider.change(made.id, origin=RestoredFrom(snapshot.volume_id, 8))
    plane.provider.faults["begin"].append(failing(RequestConflict("data", ("source",))))
    with pytest.raises(RequestConflict):
        plane.provisioner.ensure_volume(request)


def test_whose_copy_it_is_the_provider_says_when_the_snapshot_is_gone(
    plane: ControlPlane, source: FromSnapshot
) -> None:
    request = attrs.evolve(REQUEST, source=source)
    made = plane.provisioner.ensure_volume(request)
    plane.journal.prune(plane.clock.now().replace(year=2100))  # the journal forgets, too
    plane.provider.taken.clear()
    plane.provider.asked.clear()
    assert plane.provisioner.ensure_volume(request) == made
    assert plane.provider.changes == ["CreateVolume"]


def test_a_clone_is_compared_with_its_source(plane: ControlPlane) -> None:
    origin = plane.provider.add("origin")
    made = plane.provider.add("data", 20 * MIB, origin=ClonedFrom(origin.id, 3))
    ensure = plane.provisioner.ensure_volume
    assert ensure(attrs.evolve(REQUEST, source=FromVolume(origin.id, 3))) == made
    assert ensure(attrs.evolve(REQUEST, source=FromVolume(origin.id))) == made
    for source in (None, FromVolume(origin.id, 4), FromVolume(made.id, 3), FromSnapshot("s")):
        with pytest.raises(RequestConflict) as caught:
            ensure(attrs.evolve(REQUEST, source=source))
        assert caught.value.fields == ("source",)
    assert plane.provider.changes == []


def test_a_source_that_is_not_there_is_not_asked_for_again(plane: ControlPlane) -> None:
    with pytest.raises(NotFound):
        plane.provisioner.ensure_volume(attrs.evolve(REQUEST, source=FromSnapshot("snap-9")))
    assert plane.provider.changes == ["CreateVolume"]
    assert plane.states() == [State.FAILED]
