"""GCE in doubt: what is refused, missing or incomplete must not pass for what it is not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from google.cloud import compute_v1

from cloudcrypt.errors import (
    AccessDenied,
    CloudRefused,
    CredentialsRefused,
    NotFound,
    OperationFailed,
    OperationPending,
    ProviderUnavailable,
)
from cloudcrypt.model import Volume
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Handle,
    perform,
)
from cloudcrypt_gcp import GcpProvider
from cloudcrypt_testing.fake_gce import FakeGce
from cloudcrypt_testing.world.faults import ConnectionLost, Refused, ReplyLost, StaleRead
from tests.unit.gcp_given import (
    GONE,
    ZONE,
    attached,
    attaching,
    created,
    number,
    opened,
    wanted,
    within,
)

DENIED = Refused("forbidden", status=403)


@pytest.fixture
def provider(fake_gce: FakeGce) -> Iterator[GcpProvider]:
    provider = opened(fake_gce)
    yield provider
    provider.close()


@pytest.fixture
def instance(fake_gce: FakeGce) -> str:
    return fake_gce.run_instance(ZONE, name="vm-1")


@pytest.fixture
def volume(provider: GcpProvider) -> Volume:
    return created(provider)


# --- what is not found ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "The resource 'projects/demo-project' was not found",
        f"The resource 'projects/demo-project/zones/{ZONE}' was not found",
    ],
)
def test_a_project_or_zone_that_is_not_found_is_no_volume_that_is_gone(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, message: str
) -> None:
    fake_gce.faults.add(Refused("notFound", message, 404), on="disks.*", times=None)
    with pytest.raises(NotFound) as caught:
        perform(provider, DeleteVolume("d", volume.id))
    assert caught.value.kind in {"project", "zone"}
    with pytest.raises(NotFound):
        provider.find(DeleteVolume("d", volume.id))
    assert list(fake_gce.disks()) == [number(volume.id)]


@pytest.mark.parametrize("action", ["disks.get", "disks.delete"])
def test_status_404_without_a_reason_is_no_volume_that_is_gone(
    provider: GcpProvider, volume: Volume, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """A proxy says that, or whatever else stands at a wrong endpoint."""
    _answered(monkeypatch, action.partition(".")[2], 404, b"<html>nothing</html>")
    with pytest.raises(CloudRefused) as caught:
        perform(provider, DeleteVolume("d", volume.id))
    assert caught.value.answer is not None
    assert caught.value.answer.status == 404


def _answered(
    monkeypatch: pytest.MonkeyPatch, verb: str, status: int, content: bytes, path: str = "/disks/"
) -> None:
    """Let requests to a path be answered so, in the place of GCE."""
    really = requests.Session.request

    def request(session: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
        if method.lower() == verb and path in url:
            answer = requests.Response()
            answer.status_code = status
            answer._content = content
            answer.request = requests.Request(method, url).prepare()
            return answer
        return really(session, method, url, *args, **options)

    monkeypatch.setattr(requests.Session, "request", request)


def test_a_snapshot_of_a_project_that_is_not_found_is_not_gone(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, CreateSnapshot("s", volume.id, "kept"))
    message = "The resource 'projects/demo-project' was not found"
    fake_gce.faults.add(Refused("notFound", message, 404), on="snapshots.*", times=None)
    with pytest.raises(NotFound) as caught:
        perform(provider, DeleteSnapshot("d", snapshot.id))
    assert caught.value.kind == "project"


def test_an_operation_of_a_project_that_is_not_found_is_not_over(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    message = "The resource 'projects/demo-project' was not found"
    fake_gce.faults.add(Refused("notFound", message, 404), on="zoneOperations.get", times=None)
    with pytest.raises(NotFound) as caught:
        provider.resume(handle)
    assert caught.value.kind == "project"


@pytest.mark.parametrize("kind", [AttachVolume, DetachVolume])
def test_an_instance_of_a_project_that_is_not_found_tells_nothing_about_what_was_begun(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str, kind: Any
) -> None:
    message = "The resource 'projects/demo-project' was not found"
    fake_gce.faults.add(Refused("notFound", message, 404), on="instances.get", times=None)
    with pytest.raises(NotFound) as caught:
        provider.find(kind("t", volume.id, instance))
    assert caught.value.kind == "project"


# --- deletions ------------------------------------------------------------------------------------


def test_what_gce_does_not_find_has_to_stay_away(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(Refused("notFound", status=404), on="disks.delete")
    handle = provider.begin(DeleteVolume("d", volume.id))
    fake_gce.faults.add(StaleRead(), on="disks.get", times=4)
    with pytest.raises(OperationFailed):
        provider.resume(handle)
    assert list(fake_gce.disks()) == [number(volume.id)]


def test_what_stays_away_is_deleted_also_for_one_who_asks_again_and_again(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    handle = provider.begin(DeleteVolume("d", GONE))
    begun = fake_gce.clock.monotonic()
    for _ in range(3):
        with pytest.raises(OperationPending):
            provider.resume(handle, deadline=within(fake_gce, 5))
    provider.resume(handle, deadline=within(fake_gce, 6))
    assert 20 <= fake_gce.clock.monotonic() - begun <= 21


def test_a_snapshot_that_gce_does_not_find_has_to_stay_away(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    snapshot = perform(provider, CreateSnapshot("s", volume.id, "kept"))
    fake_gce.faults.add(Refused("notFound", status=404), on="snapshots.delete")
    handle = provider.begin(DeleteSnapshot("d", snapshot.id))
    fake_gce.faults.add(StaleRead(), on="snapshots.get", times=4)
    with pytest.raises(OperationFailed):
        provider.resume(handle)
    assert len(fake_gce.snapshots()) == 1


def test_a_deletion_whose_operation_nobody_shows_is_not_done_at_once(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    handle = provider.begin(DeleteVolume("d", volume.id))
    fake_gce.fail_next("disks.delete")
    fake_gce.faults.add(StaleRead(2), on="disks.get", times=2)
    fake_gce.faults.add(StaleRead(2), on="zoneOperations.get", times=2)
    provider.resume(handle)
    assert fake_gce.disks() == {}


# --- refusals after an answer that was lost -------------------------------------------------------


def test_a_refusal_after_a_lost_answer_does_not_hide_what_was_accepted(
    provider: GcpProvider, fake_gce: FakeGce
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.insert")
    fake_gce.faults.add(DENIED, on="disks.insert", occurrence=2)
    assert created(provider).name == "data"
    assert len(fake_gce.disks()) == 1


@pytest.mark.parametrize("fault", [ReplyLost(), ConnectionLost()])
def test_a_creation_that_is_refused_after_a_lost_answer_is_in_doubt_where_nothing_shows(
    provider: GcpProvider, fake_gce: FakeGce, fault: Any
) -> None:
    fake_gce.faults.add(fault, on="disks.insert")
    fake_gce.faults.add(DENIED, on="disks.insert", occurrence=2)
    fake_gce.faults.add(StaleRead(), on="zoneOperations.list", times=None)
    with pytest.raises(ProviderUnavailable) as caught:
        provider.begin(wanted())
    assert caught.value.answer is not None
    assert caught.value.answer.code == "forbidden"
    assert isinstance(caught.value.__cause__, AccessDenied)


def test_a_snapshot_that_is_refused_after_a_lost_answer_is_in_doubt_where_nothing_shows(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume
) -> None:
    fake_gce.faults.add(ReplyLost(), on="disks.createSnapshot")
    fake_gce.faults.add(DENIED, on="disks.createSnapshot", occurrence=2)
    fake_gce.faults.add(StaleRead(), on="zoneOperations.list", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.begin(CreateSnapshot("s", volume.id, "kept"))


def test_an_attachment_that_is_refused_after_a_lost_answer_is_the_one_that_was_accepted(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    fake_gce.faults.add(ReplyLost(), on="instances.attachDisk")
    fake_gce.faults.add(DENIED, on="instances.attachDisk", occurrence=2)
    assert attached(provider, volume, instance).instance == instance


def test_a_detachment_that_never_arrived_and_is_refused_is_refused(
    provider: GcpProvider, fake_gce: FakeGce, volume: Volume, instance: str
) -> None:
    attached(provider, volume, instance)
    fake_gce.faults.add(ConnectionLost(), on="instances.detachDisk")
    fake_gce.faults.add(DENIED, on="instances.detachDisk", occurrence=2)
    with pytest.raises(AccessDenied):
        provider.begin(DetachVolume("d", volume.id, instance))


# --- answers that say less than they seem to ------------------------------------------------------


def test_an_answer_that_is_no_text_leaves_open_whether_it_was_done(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as garbled:
        _answered(garbled, "post", 200, b"\xff\xfe{", "/disks")
        with pytest.raises(ProviderUnavailable):
            provider.begin(wanted(), deadline=within(fake_gce, 1))
    assert created(provider).name == "data"


def test_a_finished_operation_with_a_status_of_failure_alone_has_failed(
    provider: GcpProvider, fake_gce: FakeGce, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = compute_v1.ZoneOperationsClient.get

    def get(client: Any, **options: Any) -> Any:
        shown = really(client, **options)
        shown.http_error_status_code, shown.http_error_message = 500, "INTERNAL"
        return shown

    monkeypatch.setattr(compute_v1.ZoneOperationsClient, "get", get)
    with pytest.raises(OperationFailed) as caught:
        created(provider)
    assert caught.value.answer is not None
    assert (caught.value.answer.status, caught.value.answer.message) == (500, "INTERNAL")


@pytest.mark.parametrize("code", ["UNREACHABLE", "PARTIAL_SUCCESS"])
def test_a_list_of_operations_with_something_missing_does_not_say_that_nothing_is_under_way(
    provider: GcpProvider,
    fake_gce: FakeGce,
    volume: Volume,
    instance: str,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    _incomplete(monkeypatch, compute_v1.ZoneOperationsClient, "list", code)
    with pytest.raises(ProviderUnavailable):
        provider.begin(attaching(volume, instance), deadline=within(fake_gce, 30))
    assert fake_gce.requests.count("instances.attachDisk") == 0


@pytest.mark.parametrize("verb", ["list", "snapshots"])
def test_a_partial_success_is_no_answer(
    provider: GcpProvider, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    _incomplete(monkeypatch, compute_v1.DisksClient, "aggregated_list", "PARTIAL_SUCCESS")
    _incomplete(monkeypatch, compute_v1.SnapshotsClient, "list", "PARTIAL_SUCCESS")
    with pytest.raises(ProviderUnavailable):
        list(getattr(provider, verb)())


def _incomplete(monkeypatch: pytest.MonkeyPatch, client: type[Any], name: str, code: str) -> None:
    really = getattr(client, name)

    def listed(self: Any, **options: Any) -> Any:
        page = really(self, **options)
        page._response.warning = compute_v1.Warning(code=code)
        return page

    monkeypatch.setattr(client, name, listed)


# --- what comes from outside ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "facts",
    [
        {"scope": "planets/mars", "operation": "op", "number": "42"},
        {"scope": "zones/../global", "operation": "op", "number": "42"},
        {"scope": f"zones/{ZONE}", "operation": "op/..", "number": "42"},
        {"scope": f"zones/{ZONE}", "operation": "op", "number": "42", "attempt": 1e400},
        {"scope": f"zones/{ZONE}", "operation": "op", "number": "42", "attempt": 0},
    ],
)
def test_a_reference_to_what_gce_cannot_have_is_not_found(
    provider: GcpProvider, facts: dict[str, Any]
) -> None:
    with pytest.raises(NotFound):
        provider.resume(Handle(wanted(), json.dumps(facts)))


def test_default_credentials_that_cannot_be_read_are_not_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    path = tmp_path / "key.json"
    path.write_text('{"private_key": "VERY-SECRET",')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(CredentialsRefused) as caught:
        GcpProvider(None, "europe-west3")
    error: BaseException | None = caught.value
    while error is not None:
        assert "VERY-SECRET" not in repr(vars(error)) + repr(error.args) + str(error)
        assert "VERY-SECRET" not in str(getattr(error, "doc", ""))
        error = error.__cause__ or error.__context__
