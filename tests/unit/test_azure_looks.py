"""Looking at what Azure has: by name and by id, in any case, however old the answer is."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import InvalidVolumeId, NotFound, ProviderUnavailable
from cloudcrypt.model import Blank, VolumeState
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import CreateSnapshot, DeleteVolume, perform
from cloudcrypt_azure import AzureProvider, _memory, _shelf
from cloudcrypt_azure._ids import Ids
from cloudcrypt_azure._memory import Begun, Memory
from cloudcrypt_azure._records import DiskRecord, MachineRecord, SnapshotRecord
from cloudcrypt_azure._volumes import to_snapshot, to_volume
from cloudcrypt_testing.fake_azure import FakeAzure
from cloudcrypt_testing.world.faults import ServerError, StaleRead
from tests.unit.azure_given import (
    GONE,
    GROUP,
    SUBSCRIPTION,
    attached,
    created,
    disk,
    opened,
    together,
    unique,
)

UNIQUE = "01234567-89AB-4CDE-8F01-23456789ABCD"
ROOT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Compute"
SHOWN: dict[str, Any] = {
    "name": "Data",
    "id": f"{ROOT}/disks/Data",
    "location": "West Europe",
    "sku": {"name": "PremiumV2_LRS"},
    "properties": {
        "uniqueId": UNIQUE,
        "creationData": {"createOption": "Empty"},
        "diskSizeGB": 10,
        "diskMBpsReadWrite": 125,
        "provisioningState": "Succeeded",
        "timeCreated": "2026-02-03T04:05:06.1234567+00:00",
    },
}


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    with_url = opened(fake_azure)
    yield with_url
    with_url.close()


def lists(azure: FakeAzure) -> int:
    return azure.requests.count("disks.listByResourceGroup")


def test_a_volume_that_this_process_knows_is_asked_for_by_name(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    fake_azure.requests.clear()
    assert provider.get(volume.id) == volume
    assert fake_azure.requests.actions == ["disks.get"]


def test_a_volume_that_it_does_not_know_is_listed_once(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume, other = created(provider), opened(fake_azure)
    fake_azure.requests.clear()
    assert other.get(volume.id) == other.get(volume.id) == volume
    assert fake_azure.requests.actions == ["disks.listByResourceGroup", "disks.get"]


def test_a_list_that_is_old_does_not_pass_for_absence(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume = created(provider)
    fake_azure.faults.add(StaleRead(), on="disks.listByResourceGroup")
    assert opened(fake_azure).get(volume.id) == volume
    assert lists(fake_azure) == 2


def test_what_does_not_exist_is_not_found(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    with pytest.raises(NotFound):
        provider.get(GONE)
    with pytest.raises(InvalidVolumeId):
        provider.get("data")
    assert lists(fake_azure) == 2


def test_another_disk_of_the_name_is_not_the_volume(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    # The defence is `record.unique == unique` in cloudcrypt_azure._shelf.Shelf.unique.
    volume, other = created(provider), opened(fake_azure)
    perform(other, DeleteVolume("d", volume.id))
    again = created(other, token="again")
    assert disk(fake_azure, again).name == "data"
    with pytest.raises(NotFound):
        provider.get(volume.id)
    assert provider.get(again.id) == again


def test_a_list_that_cannot_be_had_is_told(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    fake_azure.faults.add(ServerError(503), on="disks.listByResourceGroup", times=None)
    with pytest.raises(ProviderUnavailable):
        provider.get(GONE)


def test_a_volume_is_listed_with_its_holders_whatever_the_case(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    volume, instance = created(provider), fake_azure.run_instance()
    attached(provider, volume, instance)
    (listed,) = provider.list()
    assert (listed.id, listed.holders) == (volume.id, (instance,))
    assert (listed, listed.state) == (provider.get(volume.id), VolumeState.ATTACHED)


def test_names_and_owners_are_compared_whole(provider: AzureProvider) -> None:
    volumes = {name: created(provider, name) for name in ("data", "data2", "dat")}
    for name, volume in volumes.items():
        assert list(provider.list(name=name)) == [volume]
    assert list(provider.list(name="da")) == []
    assert list(provider.snapshots(name="data")) == []


def test_looking_by_name_does_not_list(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    volume = created(provider)
    perform(provider, CreateSnapshot("t", volume.id, "nightly"))
    fake_azure.requests.clear()
    assert len([*provider.list(name="data"), *provider.snapshots(name="nightly")]) == 2
    assert lists(fake_azure) == fake_azure.requests.count("snapshots.listByResourceGroup") == 0


def test_what_is_shown_is_read_whatever_is_missing() -> None:
    record = DiskRecord.of(SHOWN)
    assert (record.name, record.path) == ("data", f"{ROOT}/disks/Data".lower())
    assert (record.unique, record.size, record.place) == (UNIQUE.lower(), 10 * GIB, "westeurope")
    assert record.throughput == 125_000_000
    assert record.created == datetime(2026, 2, 3, 4, 5, 6, 123456, tzinfo=UTC)
    assert (record.holders, record.is_shared, record.key) == ((), False, None)
    empty = DiskRecord.of({})
    assert (empty.unique, empty.size, empty.state) == ("", 0, "creating")
    assert DiskRecord.of({"properties": None, "zones": None, "tags": None}).tags == {}
    assert MachineRecord.of({}).seats == ()
    assert SnapshotRecord.of({}).unique == ""
    assert not SnapshotRecord.of({}).is_ready


@pytest.mark.parametrize("text", [None, "yesterday", 17])
def test_a_time_that_cannot_be_read_is_long_ago(text: object) -> None:
    shown = {**SHOWN, "properties": {**SHOWN["properties"], "timeCreated": text}}
    assert DiskRecord.of(shown).created.year == 1970


def test_holders_are_read_from_wherever_azure_says_them() -> None:
    one, two = f"{ROOT}/virtualMachines/One", f"{ROOT}/virtualMachines/TWO"
    properties = {**SHOWN["properties"], "maxShares": 2, "shareInfo": [{"vmUri": two}, {}, 1]}
    shown = {**SHOWN, "managedBy": one, "managedByExtended": [one], "properties": properties}
    record = DiskRecord.of(shown)
    assert record.holders == (f"{GROUP}/one", f"{GROUP}/two")
    assert record.is_shared


@pytest.mark.parametrize(
    ("state", "extra", "shown"),
    [
        ("Creating", {}, VolumeState.CREATING),
        ("Updating", {}, VolumeState.AVAILABLE),
        ("Succeeded", {}, VolumeState.AVAILABLE),
        ("Deleting", {}, VolumeState.DELETING),
        ("Failed", {}, VolumeState.ERROR),
        ("Canceled", {}, VolumeState.ERROR),
        ("Failed", {"LastOwnershipUpdateTime": "2026-01-01T00:00:00Z"}, VolumeState.AVAILABLE),
    ],
)
def test_states_are_told_in_the_words_of_all_clouds(
    state: str, extra: dict[str, str], shown: VolumeState
) -> None:
    properties = {**SHOWN["properties"], "provisioningState": state, **extra}
    record = DiskRecord.of({**SHOWN, "properties": properties})
    assert to_volume(Ids(SUBSCRIPTION, GROUP), record).state is shown
    assert record.is_in_flight == (state in {"Creating", "Updating"})


def test_only_what_was_made_of_nothing_is_blank() -> None:
    ids = Ids(SUBSCRIPTION, GROUP)
    assert to_volume(ids, DiskRecord.of(SHOWN)).origin == Blank()
    for creation in (
        {"createOption": "Import"},
        {"createOption": "FromImage", "imageReference": {"id": "x"}},
        {"createOption": "Copy", "sourceResourceId": f"{ROOT}/disks/x"},
        {"createOption": "Copy", "sourceResourceId": f"{ROOT}/snapshots/x"},
        {},
    ):
        properties = {**SHOWN["properties"], "creationData": creation}
        record = DiskRecord.of({**SHOWN, "properties": properties})
        assert to_volume(ids, record).origin != Blank()


def test_a_snapshot_that_says_nothing_names_itself() -> None:
    record = SnapshotRecord.of({"properties": {"uniqueId": UNIQUE, "completionPercent": 50.0}})
    shown = to_snapshot(Ids(SUBSCRIPTION, GROUP), record)
    assert shown.volume_id == shown.id
    elsewhere = SnapshotRecord.of(
        {
            "properties": {
                "uniqueId": UNIQUE,
                "creationData": {
                    "sourceResourceId": f"{ROOT}/disks/x".replace(GROUP, "Other"),
                    "sourceUniqueId": UNIQUE.replace("0", "F"),
                },
            }
        }
    )
    taken_of = to_snapshot(Ids(SUBSCRIPTION, GROUP), elsewhere).volume_id
    assert taken_of == f"azure:{SUBSCRIPTION}/other/{UNIQUE.replace('0', 'F').lower()}"


def test_a_machine_says_its_size_in_one_of_two_places() -> None:
    in_set = MachineRecord.of({"sku": {"name": "Standard_D2s_v5"}}, '"1"')
    assert (in_set.size, in_set.etag) == ("Standard_D2s_v5", '"1"')
    alone = MachineRecord.of(
        {"etag": '"2"', "properties": {"hardwareProfile": {"vmSize": "Standard_D4s_v5"}}}, '"1"'
    )
    assert (alone.size, alone.etag) == ("Standard_D4s_v5", '"2"')
    assert MachineRecord.of({"properties": {"provisioningState": "Deleting"}}).is_going


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, provider: AzureProvider) -> None:
    monkeypatch.setattr(_memory, "_REMEMBERED", 3)
    memory = Memory()
    for number in range(5):
        memory.keep("kind", str(number), Begun("data", "reference"))
        memory.put("other", str(number), Begun("data", "reference"))
    assert len(memory._begun) == 3
    assert memory.recall("kind", "0") is None
    memory.shown("kind", "0", UNIQUE)  # of what it has forgotten
    monkeypatch.setattr(_shelf, "_REMEMBERED", 3)
    shelf = provider._group.disks
    for number in range(5):
        shelf._bury(str(number))
        shelf._seen(attrs.evolve(DiskRecord.of(SHOWN), unique=str(number)))
    assert (len(shelf._dead), len(shelf._known)) == (3, 3)


def test_threads_look_at_the_same_things(provider: AzureProvider, fake_azure: FakeAzure) -> None:
    volumes = [created(provider, f"volume-{n}") for n in range(6)]
    other = opened(fake_azure)
    seen = together([lambda id_=volume.id: other.get(id_) for volume in volumes])  # type: ignore[misc]
    assert seen == volumes
    assert unique(volumes[0].id) in fake_azure.disks()


def test_what_azure_has_no_id_for_yet_is_not_listed(
    fake_azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = opened(fake_azure)
    volume = created(provider, "old")
    created(provider, "new")
    read = DiskRecord.of

    def without_id(shown: Any) -> DiskRecord:
        record = read(shown)
        return attrs.evolve(record, unique="") if record.name == "new" else record

    kind = attrs.evolve(provider._group.disks._kind, read=without_id)
    monkeypatch.setattr(provider._group.disks, "_kind", kind)
    assert list(provider.list()) == [volume]
    assert list(provider.list(name="new")) == []
