"""The nouns: identifiers, and the documents that pass between control plane and node."""

import json

import attrs
import pytest

from cloudcrypt.errors import InvalidRequest, InvalidVolumeId
from cloudcrypt.model import (
    Attachment,
    AzureLun,
    Blank,
    ClonedFrom,
    DeviceIdentity,
    DeviceName,
    FilePath,
    GoogleDeviceName,
    NvmeSerial,
    Origin,
    RestoredFrom,
    check_volume_id,
    is_uuid,
    origin_from_dict,
    origin_to_dict,
)

ORIGINS: list[Origin] = [
    Blank(),
    RestoredFrom("local:x/vol-1"),
    RestoredFrom("local:x/vol-1", 3),
    ClonedFrom("local:x/vol-1"),
    ClonedFrom("local:x/vol-1", 7),
]
IDENTITIES: list[DeviceIdentity] = [
    FilePath("/var/lib/disk.img", 64, 4711),
    NvmeSerial("vol0a", "Amazon Elastic Block Store"),
    DeviceName("/dev/xvdba"),
    GoogleDeviceName("data-1_regional"),
    GoogleDeviceName("_" + "a.-" * 84),
    AzureLun(0, "data-1"),
    AzureLun(63, "D" + "a._-" * 19 + "abc"),
]
ATTACHMENT = Attachment(
    volume_id="local:x/vol-1",
    instance="node-1",
    size=1 << 30,
    origin=Blank(),
    identity=FilePath("/var/lib/disk.img", 64, 4711),
)


@pytest.mark.parametrize("volume_id", ["a", "A-Z_0.9", "aws:eu-central-1/vol-0a@b", "x" * 128])
def test_a_volume_id_is_returned(volume_id: str) -> None:
    assert volume_id == check_volume_id(volume_id)


@pytest.mark.parametrize(
    "volume_id",
    ["", "x" * 129, "a b", "a\n", "\na", "a\0", "é", "a*", "a$(b)", "a;b", "a\\b"],
    ids=ascii,
)
def test_anything_else_is_no_volume_id(volume_id: str) -> None:
    with pytest.raises(InvalidVolumeId):
        check_volume_id(volume_id)


def test_a_lower_case_uuid_is_one() -> None:
    assert is_uuid("0f1e2d3c-4b5a-4697-8877-665544332211")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0F1E2D3C-4B5A-4697-8877-665544332211",
        "0f1e2d3c4b5a46978877665544332211",
        "{0f1e2d3c-4b5a-4697-8877-665544332211}",
        "0f1e2d3c-4b5a-4697-8877-665544332211\n",
        " 0f1e2d3c-4b5a-4697-8877-665544332211",
        "0f1e2d3c-4b5a-4697-8877-66554433221",
        "0f1e2d3c-4b5a-4697-8877-66554433221g",
        "\u0660f1e2d3c-4b5a-4697-8877-665544332211",
    ],
)
def test_anything_else_is_no_uuid(text: str) -> None:
    assert not is_uuid(text)


@pytest.mark.parametrize("origin", ORIGINS, ids=repr)
def test_an_origin_comes_back(origin: Origin) -> None:
    assert origin == origin_from_dict(json.loads(json.dumps(origin_to_dict(origin))))


@pytest.mark.parametrize("origin", ORIGINS, ids=repr)
def test_an_attachment_comes_back(origin: Origin) -> None:
    attachment = attrs.evolve(ATTACHMENT, origin=origin)
    assert attachment == Attachment.from_json(attachment.to_json())


@pytest.mark.parametrize("identity", IDENTITIES, ids=repr)
def test_an_attachment_comes_back_with_its_identity(identity: DeviceIdentity) -> None:
    attachment = attrs.evolve(ATTACHMENT, identity=identity)
    assert attachment == Attachment.from_json(attachment.to_json())


@pytest.mark.parametrize(
    "name", ["", "a" * 256, "-a", ".a", "a b", "a/b", "a\n", "\na", "a\0", "é", "a,b", 'a"']
)
def test_anything_else_is_no_device_name_of_google(name: str) -> None:
    with pytest.raises(InvalidRequest, match="device_name"):
        GoogleDeviceName(name)


@pytest.mark.parametrize("lun", [-1, 64, 2**31])
def test_anything_else_is_no_lun(lun: int) -> None:
    with pytest.raises(InvalidRequest, match="lun"):
        AzureLun(lun, "data-1")


@pytest.mark.parametrize(
    "name", ["", "a" * 81, "-a", "_a", ".a", "a b", "a,b", "a=b", "a\n", "\na", "a\0", "é"]
)
def test_anything_else_is_no_name_of_a_managed_disk(name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        AzureLun(0, name)


def test_an_attachment_is_one_line_of_json_with_a_version() -> None:
    text = ATTACHMENT.to_json()
    assert "\n" not in text
    assert json.loads(text)["version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"volume_id": "a b"},
        {"volume_id": None},
        {"size": "many"},
        {"size": None},
        {"origin": {"kind": "magic"}},
        {"origin": {}},
        {"origin": {"kind": "snapshot"}},
        {"origin": {"kind": "clone", "volume_id": "a", "evil": 1}},
        {"origin": None},
        {"identity": {"kind": "nvme", "serial": "x"}},
        {"identity": {"kind": "file", "path": "/x"}},
        {"identity": {"kind": "google", "device_name": "a b"}},
        {"identity": {"kind": "google"}},
        {"identity": {"kind": "azure", "lun": 64, "name": "a"}},
        {"identity": {"kind": "azure", "lun": "x", "name": "a"}},
        {"identity": {"kind": "azure", "lun": 1, "name": "a,b"}},
        {"identity": {"kind": "azure", "lun": 1}},
        {"identity": {}},
        {"identity": None},
        {"identity": []},
    ],
    ids=str,
)
def test_another_document_is_no_attachment(change: dict[str, object]) -> None:
    document = {**json.loads(ATTACHMENT.to_json()), **change}
    with pytest.raises((InvalidRequest, InvalidVolumeId)):
        Attachment.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "0", '"x"', "{}", "\0"])
def test_another_text_is_no_attachment(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Attachment.from_json(text)


@pytest.mark.parametrize(
    "field", ["version", "volume_id", "instance", "size", "origin", "identity"]
)
def test_an_attachment_lacks_no_field(field: str) -> None:
    document = json.loads(ATTACHMENT.to_json())
    del document[field]
    with pytest.raises(InvalidRequest):
        Attachment.from_json(json.dumps(document))
