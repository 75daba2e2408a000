"""Intents and handles survive storage, and nothing else is taken for one."""

import json
from typing import Any

import pytest

from cloudcrypt import spi
from cloudcrypt.errors import InvalidRequest
from cloudcrypt.wire import handle_from_json, handle_to_json, intent_from_dict, intent_to_dict

INTENTS: list[spi.Intent[Any]] = [
    spi.CreateVolume("t", "name", 1 << 30, labels={"team": "storage"}, maker="host-1"),
    spi.CreateVolume("t", "name", 1 << 30, spi.FromSnapshot("snap-1"), place="zone-a"),
    spi.CreateVolume("t", "name", 1 << 30, spi.FromVolume("vol-1", 3), iops=3000, throughput=125),
    spi.AttachVolume("t", "vol-1", "node-1"),
    spi.DetachVolume("t", "vol-1", "node-1", force=True),
    spi.ResizeVolume("t", "vol-1", 2 << 30),
    spi.ModifyVolume("t", "vol-1", size=2 << 30, kind="gp3", iops=4000),
    spi.DeleteVolume("t", "vol-1"),
    spi.CreateSnapshot("t", "vol-1", "nightly", 2),
    spi.DeleteSnapshot("t", "snap-1"),
]


@pytest.mark.parametrize(
    "intent", INTENTS, ids=[f"{n}-{type(i).__name__}" for n, i in enumerate(INTENTS)]
)
def test_a_handle_survives_storage(intent: spi.Intent[Any]) -> None:
    handle = spi.Handle(intent, "operation-7")
    assert handle == handle_from_json(handle_to_json(handle))


def test_every_intent_of_the_interface_can_be_stored() -> None:
    assert set(spi.Intent.__subclasses__()) == {type(intent) for intent in INTENTS}


DELETION = intent_to_dict(spi.DeleteVolume("t", "vol-1"))


@pytest.mark.parametrize(
    "document",
    [
        {},
        DELETION | {"operation": "Reboot"},
        DELETION | {"force": True},
        DELETION | {"token": ""},
        DELETION | {"token": None},
        {"operation": "CreateVolume", "token": "t", "name": "n", "size": 1, "source": {"x": 1}},
        {"operation": ["DeleteVolume"]},
    ],
)
def test_anything_else_is_no_intent(document: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        intent_from_dict(document)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"intent": DELETION})])
def test_anything_else_is_no_handle(text: str) -> None:
    with pytest.raises(InvalidRequest):
        handle_from_json(text)
