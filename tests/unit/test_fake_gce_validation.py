"""Requests and answers are those of the discovery document, or they are refused."""

import uuid
from typing import Any

import pytest

from cloudcrypt_testing.fake_gce import FakeGce, render, schema
from tests.unit.gce_calls import OTHER_ZONE, ZONE, at, disks, insert, made, raw, reason, refusal

DISKS = f"zones/{ZONE}/disks"
DISK = {"name": "data", "sizeGb": "10"}


class TestPaths:
    @pytest.mark.parametrize(
        ("verb", "path"),
        [
            ("GET", "zones/europe-west3-a/disk"),
            ("GET", "nothing"),
            ("PUT", DISKS),
            ("POST", f"{DISKS}/data/explode"),
            ("GET", f"{DISKS}/"),
        ],
    )
    def test_what_the_api_does_not_have_is_not_found(
        self, fake_gce: FakeGce, verb: str, path: str
    ) -> None:
        assert reason(raw(fake_gce, verb, path)) == (404, "notFound")
        assert fake_gce.requests.actions == [""]

    @pytest.mark.parametrize(
        "path", [f"{DISKS}/Data", f"{DISKS}/0123", f"{DISKS}/a_b", "zones/A/disks/data"]
    )
    def test_names_have_a_pattern(self, fake_gce: FakeGce, path: str) -> None:
        assert reason(raw(fake_gce, "GET", path)) == (400, "invalid")

    def test_the_name_of_a_disk_to_delete_has_a_wider_one(self, fake_gce: FakeGce) -> None:
        assert reason(raw(fake_gce, "DELETE", f"{DISKS}/Data")) == (404, "notFound")

    @pytest.mark.parametrize(
        ("verb", "path", "body"),
        [
            ("POST", f"{DISKS}/data/addResourcePolicies", {}),
            ("GET", "global/images", None),
            ("POST", f"zones/{ZONE}/instances", {"name": "vm"}),
        ],
    )
    def test_what_the_api_has_and_the_fake_does_not_is_said(
        self, fake_gce: FakeGce, verb: str, path: str, body: Any
    ) -> None:
        status, document = raw(fake_gce, verb, path, body)
        assert (status, document["error"]["status"]) == (501, "UNIMPLEMENTED")


class TestParameters:
    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"colour": "red"}, (400, "badRequest")),
            ({"requestId": [str(uuid.uuid4())] * 2}, (400, "badRequest")),
            ({"requestId": "1"}, (400, "invalid")),
            ({"alt": "xml"}, (400, "invalidParameter")),
            ({"fields": "id"}, (501, "notImplemented")),
            ({"sourceImage": "global/images/i"}, (501, "notImplemented")),
        ],
    )
    def test_what_a_method_does_not_take_is_refused(
        self, fake_gce: FakeGce, query: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        assert reason(raw(fake_gce, "POST", DISKS, DISK, **query)) == expected
        assert fake_gce.disks() == {}

    def test_general_parameters_are_taken(self, fake_gce: FakeGce) -> None:
        query = {"alt": "json", "prettyPrint": "false", "key": "k", "quotaUser": "me"}
        assert raw(fake_gce, "POST", DISKS, DISK, **query)[0] == 200

    def test_what_is_needed_is_needed(self, fake_gce: FakeGce) -> None:
        path = f"zones/{ZONE}/instances/vm/detachDisk"
        assert reason(raw(fake_gce, "POST", path)) == (400, "required")

    def test_a_flag_is_true_or_false(self, fake_gce: FakeGce) -> None:
        path = f"zones/{ZONE}/instances/vm/attachDisk"
        found = reason(raw(fake_gce, "POST", path, {}, forceAttach="yes"))
        assert found == (400, "invalidParameter")


class TestBodies:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"colour": "red"}, (400, "badRequest")),
            ({"sizeGb": 10}, (400, "badRequest")),
            ({"sizeGb": "ten"}, (400, "badRequest")),
            ({"sizeGb": str(2**63)}, (400, "badRequest")),
            ({"labels": {"a": 1}}, (400, "badRequest")),
            ({"labels": ["a"]}, (400, "badRequest")),
            ({"replicaZones": "z"}, (400, "badRequest")),
            ({"replicaZones": [1]}, (400, "badRequest")),
            ({"enableConfidentialCompute": "true"}, (400, "badRequest")),
            ({"accessMode": "SHARED"}, (400, "badRequest")),
            ({"labelFingerprint": "!"}, (400, "badRequest")),
            ({"diskEncryptionKey": {"colour": "red"}}, (400, "badRequest")),
            ({"diskEncryptionKey": "key"}, (400, "badRequest")),
            ({"guestOsFeatures": [{"type": "NONE"}]}, (400, "badRequest")),
            ({"name": "a_b"}, (400, "invalid")),
            ({"description": None}, (400, "badRequest")),
        ],
    )
    def test_what_is_not_in_the_schema_is_refused(
        self, fake_gce: FakeGce, change: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        assert reason(raw(fake_gce, "POST", DISKS, {**DISK, **change})) == expected
        assert fake_gce.disks() == {}

    def test_the_error_says_where(self, fake_gce: FakeGce) -> None:
        body = {**DISK, "diskEncryptionKey": {"colour": "red"}, "replicaZones": ["a", 1]}
        _, document = raw(fake_gce, "POST", DISKS, body)
        assert '"diskEncryptionKey.colour"' in document["error"]["message"]
        _, document = raw(fake_gce, "POST", DISKS, {**DISK, "replicaZones": ["a", 1]})
        assert "resource.replicaZones[1]" in document["error"]["message"]

    def test_what_only_the_server_says_is_ignored(self, fake_gce: FakeGce) -> None:
        body = {**DISK, "id": "1", "status": "READY", "users": ["u"], "kind": "compute#disk"}
        assert raw(fake_gce, "POST", DISKS, body)[0] == 200
        (disk,) = fake_gce.disks().values()
        assert (disk.id != "1", disk.status, disk.users) == (True, "CREATING", ())

    @pytest.mark.parametrize("body", [b"{", b"[]", b'"name"', b"\xff"])
    def test_a_body_is_a_json_object(self, fake_gce: FakeGce, body: bytes) -> None:
        assert reason(raw(fake_gce, "POST", DISKS, body)) == (400, "parseError")

    def test_a_method_without_a_body_takes_none(self, fake_gce: FakeGce) -> None:
        made(fake_gce, "data")
        assert reason(raw(fake_gce, "DELETE", f"{DISKS}/data", DISK)) == (400, "badRequest")

    def test_a_name_is_needed(self, fake_gce: FakeGce) -> None:
        assert reason(raw(fake_gce, "POST", DISKS, {})) == (400, "required")


class TestErrors:
    def test_every_error_has_code_message_and_reasons(self, fake_gce: FakeGce) -> None:
        status, document = raw(fake_gce, "GET", f"{DISKS}/none")
        error = document["error"]
        assert (status, error["code"], error["status"]) == (404, 404, "NOT_FOUND")
        one = {"message": error["message"], "domain": "global", "reason": "notFound"}
        assert error["errors"] == [one]


class TestAnswers:
    @pytest.mark.parametrize(
        ("name", "document"),
        [
            ("Disk", {"colour": "red"}),
            ("Disk", {"sizeGb": 10}),
            ("Disk", {"status": "BROKEN"}),
            ("Disk", {"id": "-1"}),
            ("Operation", {"progress": "0"}),
            ("Operation", {"progress": 2**31}),
            ("Operation", {"progress": True}),
            ("QuotaExceededInfo", {"limit": True}),
            ("Operation", "done"),
            ("QuotaExceededInfo", {"limit": "1"}),
            ("AttachedDisk", {"boot": "true"}),
            ("DiskList", {"items": [{"colour": "red"}]}),
            ("DiskAggregatedList", {"items": {"zones/z": {"disks": [{"colour": "red"}]}}}),
        ],
    )
    def test_a_document_that_is_not_in_the_schema_is_a_violation(
        self, name: str, document: Any
    ) -> None:
        with pytest.raises(schema.SchemaViolation):
            schema.check_answer(document, name)

    def test_a_violation_is_an_error_of_the_server(
        self,
        fake_gce: FakeGce,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        def broken(_labels: object, _revision: object) -> str:
            return "no base64!"

        monkeypatch.setattr(render, "fingerprint", broken)
        insert(fake_gce, "data")
        path = f"zones/{ZONE}/disks/data"
        assert raw(fake_gce, "GET", path) == (500, {})
        assert "SchemaViolation" in capfd.readouterr().err


def test_the_clients_of_google_see_the_reasons(fake_gce: FakeGce) -> None:
    assert refusal(disks(fake_gce).get, **at(OTHER_ZONE), disk="Data") == (400, "invalid")
