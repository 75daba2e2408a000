"""Models of azure-mgmt-compute as releases up to 37 have them: maps of msrest."""

import enum
from datetime import datetime
from types import ModuleType
from typing import Any, ClassVar, Optional, Union

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure, models


class State(enum.StrEnum):
    ON = "On"
    OFF = "Off"


class Old:
    """What all such models have."""

    def as_dict(self) -> dict[str, Any]:
        return {}


class Inner(Old):
    _validation: ClassVar[dict[str, Any]] = {}
    _attribute_map: ClassVar = {"lun": {"key": "lun", "type": "int"}}

    def __init__(self, *, lun: int) -> None:
        self.lun = lun


class Resource(Old):
    _validation: ClassVar = {"unique_id": {"readonly": True}, "location": {"required": True}}
    _attribute_map: ClassVar = {
        "location": {"key": "location", "type": "str"},
        "tags": {"key": "tags", "type": "{str}"},
        "unique_id": {"key": "properties.uniqueId", "type": "str"},
        "created": {"key": "properties.timeCreated", "type": "iso-8601"},
        "state": {"key": "properties.state", "type": "str"},
        "size": {"key": "properties.size", "type": "long"},
        "inners": {"key": "properties.profile.inners", "type": "[Inner]"},
        "anything": {"key": "properties.anything", "type": "object"},
    }

    def __init__(
        self,
        *,
        location: str,
        tags: Optional[dict[str, str]] = None,  # noqa: UP045 - as it is written there
        state: Optional[Union[str, State]] = None,  # noqa: UP007, UP045 - as above
    ) -> None:
        self.location, self.tags, self.state = location, tags, state
        self.unique_id = self.created = self.size = self.inners = None


@pytest.fixture
def old() -> ModuleType:
    module = ModuleType("models")
    vars(module).update(Resource=Resource, Inner=Inner)
    return module


def described(module: ModuleType, model: str) -> dict[str, tuple[Any, bool, bool]]:
    found = models._fields(module, model)
    return {one.name: (one.kind, one.is_required, one.is_read_only) for one in found.values()}


def test_properties_are_those_of_another_model(old: ModuleType) -> None:
    assert described(old, "Resource") == {
        "location": (str, True, False),
        "tags": (dict[str, str], False, False),
        "properties": (models.Part("Resource.properties"), False, False),
    }
    assert described(old, "Resource.properties") == {
        "uniqueId": (str, False, True),
        "timeCreated": (datetime, False, False),
        "state": (State, False, False),
        "size": (int, False, False),
        "profile": (models.Part("Resource.properties.profile"), False, False),
        "anything": (object, False, False),
    }
    assert described(old, "Resource.properties.profile") == {"inners": (list[Inner], False, False)}


def test_names_of_models_lead_to_them(old: ModuleType) -> None:
    assert models.model_name(Inner) == "Inner"
    assert models.model_name(models.Part("Resource.properties")) == "Resource.properties"
    assert models.model_name(str) is None
    assert described(old, "Inner") == {"lun": (int, False, False)}


def test_credentials_are_worth_nothing(fake_azure: FakeAzure) -> None:
    token = fake_azure.credential().get_token("https://management.azure.com/.default")
    assert (token.token, token.expires_on > 2**32) == ("worthless", True)
