"""What goes wrong in Azure itself, on demand: what others do meanwhile, limits and failures."""

from typing import Any

import pytest

from cloudcrypt_testing.fake_azure import FakeAzure
from tests.unit.azure_calls import (
    GROUP,
    Begun,
    attach,
    attached,
    begin,
    change,
    client,
    create,
    data_disks,
    detach,
    detached,
    disk_id,
    luns,
    machine,
    made,
    outcome,
    record,
    refusal,
    refused,
    status,
    waited,
)


def rewrite(azure: FakeAzure, instance: str, disk: Any, etag: str | None = None) -> Begun:
    """Begin to add a disk in the way of those who write the whole list of disks."""
    seen = machine(azure, instance)
    listed = seen["properties"]["storageProfile"]["dataDisks"]
    managed = {"id": disk_id(azure, disk)}
    mine = {"lun": len(listed) + 10, "createOption": "Attach", "managedDisk": managed}
    body = {"properties": {"storageProfile": {"dataDisks": [*listed, mine]}}}
    headers = {"If-Match": etag} if etag is not None else {}
    call = client(azure).virtual_machines.begin_update
    return begin(call, GROUP, instance.partition("/")[2], body, headers=headers)


class TestLostUpdates:
    def test_a_list_from_before_takes_away_what_came_since(self, fake_azure: FakeAzure) -> None:
        mine, theirs, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        fake_azure.attach_meanwhile(instance, theirs.unique_id)
        assert outcome(fake_azure, rewrite(fake_azure, instance, mine)) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {10: mine.name}
        assert record(fake_azure, theirs.name).holders == ()

    def test_if_match_saves_it(self, fake_azure: FakeAzure) -> None:
        mine, theirs, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        etag = machine(fake_azure, instance)["etag"]
        fake_azure.attach_meanwhile(instance, theirs.unique_id, 4)
        found = refusal(rewrite, fake_azure, instance, mine, etag)
        assert found == (412, "PreconditionFailed")
        assert luns(fake_azure, instance) == {4: theirs.name}
        etag = machine(fake_azure, instance)["etag"]
        assert outcome(fake_azure, rewrite(fake_azure, instance, mine, etag))[0] == "Succeeded"
        assert luns(fake_azure, instance) == {4: theirs.name, 11: mine.name}

    def test_attaching_one_disk_touches_no_other(self, fake_azure: FakeAzure) -> None:
        mine, theirs, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        fake_azure.attach_meanwhile(instance, theirs.unique_id, before="*.attachDetachDataDisks")
        attached(fake_azure, instance, mine)
        assert luns(fake_azure, instance) == {0: theirs.name, 1: mine.name}


class TestNumbers:
    def test_somebody_else_takes_the_number_first(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        theirs = fake_azure.take_lun(instance)
        assert refusal(attach, fake_azure, instance, disk, lun=0) == (400, "InvalidParameter")
        assert fake_azure.disks()[theirs].disk_state == "Attached"
        attached(fake_azure, instance, disk, lun=1)
        assert list(luns(fake_azure, instance)) == [0, 1]

    def test_it_can_happen_again(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        for occurrence in (1, 2):
            fake_azure.take_lun(instance, occurrence=occurrence)
        for lun in (0, 1):
            found = refusal(attach, fake_azure, instance, disk, lun=lun)
            assert found == (400, "InvalidParameter")
        attached(fake_azure, instance, disk, lun=2)
        assert fake_azure.hooks == []

    def test_what_is_taken_cannot_be_taken_again(self, fake_azure: FakeAzure) -> None:
        disk, other, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        fake_azure.attach(instance, disk.unique_id, 3)
        assert fake_azure.node(instance).name(disk.unique_id) is not None
        for one, lun in ((other, 3), (disk, 4)):
            with pytest.raises(ValueError, match="cannot take"):
                fake_azure.attach(instance, one.unique_id, lun)

    def test_disks_of_strangers_fit_the_machine(self, fake_azure: FakeAzure) -> None:
        instance = fake_azure.run_instance(None)
        theirs = fake_azure.take_lun(instance)
        assert fake_azure.disks()[theirs].zones == ()


class TestMeanwhile:
    def test_anything_can_happen_before_a_request(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.meanwhile("disks.*", lambda: fake_azure.rip_out(instance, disk.unique_id))
        call = client(fake_azure).disks.begin_delete
        assert outcome(fake_azure, begin(call, GROUP, "data")) == ("Succeeded", "")
        assert fake_azure.hooks == []

    def test_a_disk_can_be_ripped_out_while_it_is_being_attached(
        self, fake_azure: FakeAzure
    ) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        begun = attach(fake_azure, instance, disk)
        fake_azure.rip_out(instance, disk.unique_id)
        assert outcome(fake_azure, begun) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {}
        assert record(fake_azure, disk.name).holders == ()
        assert fake_azure.node(instance).name(disk.unique_id) is None

    def test_and_while_it_is_being_detached(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.fail_next("*.attachDetachDataDisks")
        begun = detach(fake_azure, instance, disk)
        fake_azure.rip_out(instance, disk.unique_id)
        assert outcome(fake_azure, begun)[0] == "Failed"
        assert luns(fake_azure, instance) == {}


class TestFailures:
    def test_attaching_can_fail_after_it_was_accepted(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.fail_next("virtualMachines.attachDetachDataDisks", "VMStartTimedOut", "Late.")
        begun = attach(fake_azure, instance, disk)
        assert waited(fake_azure, begun)["error"] == {"code": "VMStartTimedOut", "message": "Late."}
        assert luns(fake_azure, instance) == {}
        assert record(fake_azure, disk.name).holders == ()
        assert machine(fake_azure, instance)["properties"]["provisioningState"] == "Failed"
        attached(fake_azure, instance, disk)

    def test_the_disk_can_stay_in_the_list(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.fail_next("*.attachDetachDataDisks", leaves_failed=True)
        assert outcome(fake_azure, attach(fake_azure, instance, disk))[0] == "Failed"
        assert luns(fake_azure, instance) == {0: disk.name}
        assert record(fake_azure, disk.name).disk_state == "Attached"
        assert fake_azure.node(instance).name(disk.unique_id) is None
        detached(fake_azure, instance, disk)
        assert record(fake_azure, disk.name).disk_state == "Unattached"

    def test_the_next_update_attaches_it(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.fail_next("*.attachDetachDataDisks", leaves_failed=True)
        waited(fake_azure, attach(fake_azure, instance, disk))
        call = client(fake_azure).virtual_machines.begin_update
        waited(fake_azure, begin(call, GROUP, "vm-1", {}))
        assert fake_azure.node(instance).name(disk.unique_id) is not None

    def test_unless_somebody_else_has_it(self, fake_azure: FakeAzure) -> None:
        disk, first, second = made(fake_azure), fake_azure.run_instance(), fake_azure.run_instance()
        attached(fake_azure, first, disk)
        fake_azure.find_conflicts_late()
        fake_azure.fail_next("*.attachDetachDataDisks", leaves_failed=True)
        waited(fake_azure, attach(fake_azure, second, disk))
        call = client(fake_azure).virtual_machines.begin_update
        waited(fake_azure, begin(call, GROUP, "vm-2", {}))
        assert luns(fake_azure, second) == {0: disk.name}
        assert fake_azure.node(second).name(disk.unique_id) is None

    @pytest.mark.parametrize("stays", [True, False])
    def test_detaching_can_fail(self, fake_azure: FakeAzure, stays: bool) -> None:  # noqa: FBT001
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.fail_next("*.attachDetachDataDisks", leaves_failed=stays)
        assert outcome(fake_azure, detach(fake_azure, instance, disk))[0] == "Failed"
        assert [one["toBeDetached"] for one in data_disks(fake_azure, instance)] == [stays]
        assert fake_azure.node(instance).name(disk.unique_id) is not None

    def test_failures_are_counted(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.*", times=2)
        results = [outcome(fake_azure, create(fake_azure))[0] for _ in range(3)]
        assert results == ["Failed", "Failed", "Succeeded"]

    def test_codes_have_usual_messages(self, fake_azure: FakeAzure) -> None:
        fake_azure.fail_next("disks.*", "OverconstrainedAllocationRequest")
        found = waited(fake_azure, create(fake_azure))["error"]
        assert found["message"] == "The operation failed."


class TestRoom:
    @pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed"])
    def test_a_zone_can_be_full(self, fake_azure: FakeAzure, code: str) -> None:
        fake_azure.run_out_of_room("1", code)
        begun = create(fake_azure, "data")
        found = waited(fake_azure, begun)
        assert (found["status"], found["error"]["code"]) == ("Failed", code)
        assert fake_azure.disks() == {}
        made(fake_azure, zones=["2"])
        made(fake_azure, zones=None)
        fake_azure.have_room("1")
        made(fake_azure)

    def test_a_full_zone_can_refuse_at_once(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_out_of_room("2", "SkuNotAvailable", at_once=True)
        assert refusal(create, fake_azure, zones=["2"]) == (409, "SkuNotAvailable")
        assert fake_azure.disks() == {}

    def test_a_location_can_be_full(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_out_of_room(None)
        assert outcome(fake_azure, create(fake_azure, zones=None))[0] == "Failed"

    def test_there_can_be_a_limit(self, fake_azure: FakeAzure) -> None:
        fake_azure.run_instance()
        fake_azure.limit_disks(1)
        disk = made(fake_azure, "data")
        status_, code, message = refused(create, fake_azure)
        assert (status_, code) == (409, "OperationNotAllowed")
        assert "exceeding quota limits" in message
        waited(fake_azure, begin(client(fake_azure).disks.begin_delete, GROUP, disk.name))
        made(fake_azure)


class TestMachines:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, (404, "NotFound")),
            ({"code": "BadRequest", "status": 400}, (400, "BadRequest")),
        ],
    )
    def test_there_may_be_no_attaching_of_single_disks(
        self, fake_azure: FakeAzure, options: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.withdraw_attach_detach(**options)
        assert refusal(attach, fake_azure, instance, disk) == expected
        assert outcome(fake_azure, rewrite(fake_azure, instance, disk)) == ("Succeeded", "")

    def test_an_update_can_end_the_one_before_it(self, fake_azure: FakeAzure) -> None:
        first, second, instance = made(fake_azure), made(fake_azure), fake_azure.run_instance()
        fake_azure.preempt_updates()
        old = attach(fake_azure, instance, first)
        new = attach(fake_azure, instance, second)
        assert status(fake_azure, old)["status"] == "Canceled"
        assert status(fake_azure, old)["error"]["code"] == "OperationPreempted"
        assert outcome(fake_azure, new) == ("Succeeded", "")
        assert luns(fake_azure, instance) == {0: second.name}

    def test_two_machines_are_updated_at_once(self, fake_azure: FakeAzure) -> None:
        begun = [attach(fake_azure, fake_azure.run_instance(), made(fake_azure)) for _ in range(2)]
        assert [outcome(fake_azure, one)[0] for one in begun] == ["Succeeded", "Succeeded"]

    def test_a_long_update_blocks_the_machine(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        fake_azure.hold_next("virtualMachines.*")
        attach(fake_azure, instance, disk)
        fake_azure.clock.advance(3600)
        body = {"dataDisksToDetach": [{"diskId": disk_id(fake_azure, disk)}]}
        assert refusal(change, fake_azure, instance, body) == (409, "Conflict")
        (number,) = (
            one.id for one in fake_azure.operations().values() if one.status == "InProgress"
        )
        fake_azure.let_go(number)
        detached(fake_azure, instance, disk)
