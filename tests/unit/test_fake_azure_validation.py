"""Requests that Azure Resource Manager does not let in, and answers that the SDK cannot read."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure, names, schema
from tests.unit.azure_calls import (
    GROUP,
    VERSION,
    begin,
    client,
    disk_id,
    made,
    raw,
    refusal,
    said,
    shown,
    waited,
    wish,
)


class TestDoor:
    def test_nobody_gets_in_without_a_token(self, fake_azure: FakeAzure) -> None:
        answer = raw(fake_azure, "GET", "disks", headers={})
        assert said(answer) == (401, "AuthenticationFailed")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")

    def test_requests_say_their_api_version(self, fake_azure: FakeAzure) -> None:
        scope = f"{fake_azure.endpoint}/subscriptions/{fake_azure.subscription}"
        url = f"{scope}/providers/Microsoft.Compute/disks"
        assert said(raw(fake_azure, "GET", url)) == (400, "MissingApiVersionParameter")
        query = {"api-version": "latest"}
        assert said(raw(fake_azure, "GET", url, query=query)) == (400, "InvalidApiVersionParameter")

    def test_there_is_one_subscription(self, fake_azure: FakeAzure) -> None:
        url = f"{fake_azure.endpoint}/subscriptions/other/providers/Microsoft.Compute/disks"
        query = {"api-version": VERSION}
        assert said(raw(fake_azure, "GET", url, query=query)) == (404, "SubscriptionNotFound")

    def test_paths_mean_the_same_in_capitals(self, fake_azure: FakeAzure) -> None:
        made(fake_azure, "data")
        scope = f"{fake_azure.endpoint}/SUBSCRIPTIONS/{fake_azure.subscription}"
        url = f"{scope}/resourcegroups/{GROUP}/Providers/microsoft.compute/Disks/DATA"
        assert raw(fake_azure, "GET", url, query={"api-version": VERSION}).status_code == 200

    @pytest.mark.parametrize(
        ("verb", "path"),
        [("POST", "disks/data/beginGetAccess"), ("DELETE", "virtualMachines/vm-1"), ("GET", "x")],
    )
    def test_what_the_fake_does_not_know_is_not_implemented(
        self, fake_azure: FakeAzure, verb: str, path: str
    ) -> None:
        assert said(raw(fake_azure, verb, path)) == (501, "NotImplemented")

    @pytest.mark.parametrize(("version", "expected"), [("2024-03-01", 404), ("2023-09-01", 404)])
    def test_actions_come_with_a_version(
        self, fake_azure: FakeAzure, version: str, expected: int
    ) -> None:
        query = {"api-version": version}
        path = "virtualMachines/none/attachDetachDataDisks"
        answer = raw(fake_azure, "POST", path, {}, query=query)
        code = "ResourceNotFound" if version >= "2024-03-01" else "NotFound"
        assert said(answer) == (expected, code)


class TestBodies:
    @pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"text"'])
    def test_a_body_is_a_json_object(self, fake_azure: FakeAzure, body: bytes) -> None:
        answer = raw(fake_azure, "PUT", "disks/data", body)
        assert said(answer) == (400, "InvalidRequestContent")

    def test_an_empty_body_lacks_what_is_needed(self, fake_azure: FakeAzure) -> None:
        answer = raw(fake_azure, "PUT", "disks/data", b"")
        assert said(answer) == (400, "InvalidParameter")
        assert answer.json()["error"]["target"] == "location"

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            ({**wish(), "propertis": {}}, "propertis"),
            (wish(sizeGB=4), "properties.sizeGB"),
            (
                wish(creationData={"createOption": "Empty", "source": ""}),
                "properties.creationData.source",
            ),
            ({**wish(), "sku": {"nam": "Premium_LRS"}}, "sku.nam"),
        ],
    )
    def test_unknown_properties_are_refused(
        self, fake_azure: FakeAzure, body: dict[str, Any], name: str
    ) -> None:
        answer = raw(fake_azure, "PUT", "disks/data", body)
        assert said(answer) == (400, "BadRequest")
        assert f"Path '{name}'" in answer.json()["error"]["message"]
        assert fake_azure.disks() == {}

    @pytest.mark.parametrize(
        ("fields", "where"),
        [
            ({"diskSizeGB": "4"}, "properties.diskSizeGB"),
            ({"diskSizeGB": True}, "properties.diskSizeGB"),
            ({"diskSizeGB": 4.5}, "properties.diskSizeGB"),
            ({"tags": {"a": 1}}, "tags.a"),
            ({"tags": []}, "tags"),
            ({"zones": "1"}, "zones"),
            ({"zones": [1]}, "zones[0]"),
            ({"creationData": "Empty"}, "properties.creationData"),
            ({"networkAccessPolicy": 1}, "properties.networkAccessPolicy"),
            ({"supportsHibernation": "yes"}, "properties.supportsHibernation"),
            ({"completionPercent": "100"}, "properties.completionPercent"),
        ],
    )
    def test_other_types_are_refused(
        self, fake_azure: FakeAzure, fields: dict[str, Any], where: str
    ) -> None:
        answer = raw(fake_azure, "PUT", "disks/data", wish(**fields))
        assert said(answer) == (400, "InvalidRequestContent")
        assert f"Path '{where}'" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("verb", "path", "body", "where"),
        [
            (
                "PUT",
                "disks/data",
                {"properties": {"creationData": {"createOption": "Empty"}}},
                "location",
            ),
            ("PUT", "disks/data", wish(creationData={}), "properties.creationData.createOption"),
            (
                "POST",
                "virtualMachines/vm-1/attachDetachDataDisks",
                {"dataDisksToAttach": [{"lun": 1}]},
                "dataDisksToAttach[0].diskId",
            ),
            (
                "PATCH",
                "virtualMachines/vm-1",
                {"properties": {"storageProfile": {"dataDisks": [{"createOption": "Attach"}]}}},
                "properties.storageProfile.dataDisks[0].lun",
            ),
        ],
    )
    def test_what_is_needed_is_there(
        self, fake_azure: FakeAzure, verb: str, path: str, body: Any, where: str
    ) -> None:
        fake_azure.run_instance()
        answer = raw(fake_azure, verb, path, body)
        assert said(answer) == (400, "InvalidParameter")
        found = answer.json()["error"]["target"]
        assert found == where

    def test_a_disk_without_properties_is_no_disk(self, fake_azure: FakeAzure) -> None:
        answer = raw(fake_azure, "PUT", "disks/data", {"location": "westeurope"})
        assert said(answer) == (400, "InvalidParameter")

    def test_null_is_as_good_as_nothing(self, fake_azure: FakeAzure) -> None:
        body = wish()
        body["properties"]["maxShares"] = None
        call = client(fake_azure).disks.begin_create_or_update
        waited(fake_azure, begin(call, GROUP, "data", body))
        assert "maxShares" not in shown(fake_azure, "data")["properties"]

    def test_what_only_the_service_writes_is_ignored(self, fake_azure: FakeAzure) -> None:
        disk = made(fake_azure, "data")
        body = shown(fake_azure, "data")
        body["managedBy"] = "somebody"
        body["properties"]["uniqueId"] = "another"
        answer = raw(fake_azure, "PUT", "disks/data", body)
        assert answer.status_code == 200
        assert fake_azure.disks() == {disk.unique_id: disk}

    def test_words_can_be_spelt_in_capitals(self, fake_azure: FakeAzure) -> None:
        body = wish(creationData={"createOption": "EMPTY"}, networkAccessPolicy="DENYALL")
        call = client(fake_azure).disks.begin_create_or_update
        waited(fake_azure, begin(call, GROUP, "data", body))
        found = shown(fake_azure, "data")["properties"]
        assert (found["creationData"]["createOption"], found["networkAccessPolicy"]) == (
            "Empty",
            "DenyAll",
        )

    def test_unknown_words_are_refused(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance().partition("/")[2]
        disk = made(fake_azure)
        body = {"dataDisksToDetach": [{"diskId": disk_id(fake_azure, disk), "detachOption": "Now"}]}
        call = client(fake_azure).virtual_machines.begin_attach_detach_data_disks
        assert refusal(begin, call, GROUP, instance, body) == (400, "InvalidParameter")


class TestAnswers:
    """The fake checks what it says: an answer that the SDK would not know is a bug."""

    @pytest.mark.parametrize(
        ("model", "document", "where", "what"),
        [
            ("Disk", {"nam": "x"}, "nam", "unknown"),
            ("Disk", {"name": None}, "name", "type"),
            ("Disk", {"properties": {"diskState": "attached"}}, "properties.diskState", "choice"),
            ("Disk", {"properties": {"timeCreated": "now"}}, "properties.timeCreated", "type"),
            ("StorageProfile", {"dataDisks": {}}, "dataDisks", "type"),
            ("StorageProfile", {"dataDisks": [{"lun": "0"}]}, "dataDisks[0].lun", "type"),
            ("ResourceSku", {"capabilities": [[]]}, "capabilities[0]", "type"),
        ],
    )
    def test_they_are_those_of_the_models(
        self, model: str, document: dict[str, Any], where: str, what: str
    ) -> None:
        with pytest.raises(schema.SchemaViolation) as caught:
            schema.check_answer(document, model)
        problem = caught.value.args[1]
        assert (problem.where, problem.what) == (where, what)

    def test_a_bug_of_the_fake_is_no_answer(
        self,
        fake_azure: FakeAzure,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        made(fake_azure, "data")

        def path(*_arguments: object) -> int:
            return 5

        monkeypatch.setattr(names.Site, "path", path)
        assert raw(fake_azure, "GET", "disks/data").status_code == 500
        assert "SchemaViolation" in capfd.readouterr().err

    def test_errors_are_those_of_the_models_too(self, fake_azure: FakeAzure) -> None:
        for path in ("disks/none", "x"):
            schema.check_answer(raw(fake_azure, "GET", path).json(), "CloudError")
