"""Threads, processes and other fakes beside one fake Azure."""

import http.client
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.mgmt.compute import ComputeManagementClient

from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock, Timings
from tests.unit.azure_calls import (
    AUTHORIZED,
    GROUP,
    attach,
    attached,
    client,
    create,
    detach,
    disk_id,
    luns,
    made,
    outcome,
    raw,
    read,
    record,
    status,
    wish,
)

ELSEWHERE = """
import sys
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient

class Authorization(SansIOHTTPPolicy):
    def on_request(self, request):
        request.http_request.headers["Authorization"] = "Bearer worthless"

class Credential:
    def get_token(self, *scopes, **options):
        return AccessToken("worthless", 2**33)

endpoint, subscription = sys.argv[1:]
compute = ComputeManagementClient(
    Credential(), subscription, base_url=endpoint,
    authentication_policy=Authorization(), polling_interval=0,
)
body = {
    "location": "westeurope",
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
}
disk = compute.disks.begin_create_or_update("demo-group", "data", body).result()
print(disk.properties.unique_id)
"""


def own_client(azure: FakeAzure) -> Any:
    """Return a client of its own, for whoever closes it."""
    return ComputeManagementClient(
        azure.credential(),
        azure.subscription,
        base_url=azure.endpoint,
        authentication_policy=azure.authentication_policy(),
        retry_total=0,
    )


class TestThreads:
    def test_many_threads_make_disks_without_losing_any(self, fake_azure: FakeAzure) -> None:
        names = [f"d{number:02}" for number in range(20)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(partial(create, fake_azure), names))
        assert sorted(disk.name for disk in fake_azure.disks().values()) == names

    def test_one_update_of_a_machine_is_won_by_one_of_many_threads(
        self, fake_azure: FakeAzure
    ) -> None:
        instance = fake_azure.run_instance()
        disks = [made(fake_azure) for _ in range(6)]

        def work(number: int) -> int:
            try:
                return attach(fake_azure, instance, disks[number]).status
            except HttpResponseError as error:
                return int(error.status_code or 0)

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(work, range(6))) == [202] + [409] * 5
        assert len(luns(fake_azure, instance)) == 1


class TestProcesses:
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_forked_child_talks_to_the_server_of_its_parent(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        child = os.fork()
        if child == 0:  # pragma: no cover - not measured in a child
            try:
                node = fake_azure.node(instance)
                with (node.root / "dev" / str(node.name(disk.unique_id))).open("r+b") as file:
                    file.write(b"child")
                body = {"dataDisksToDetach": [{"diskId": disk_id(fake_azure, disk)}]}
                machines = own_client(fake_azure).virtual_machines
                machines.begin_attach_detach_data_disks(GROUP, "vm-1", body, polling=False)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent looks at the exit status alone
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        fake_azure.clock.advance(60)
        assert luns(fake_azure, instance) == {}
        assert read(fake_azure.backing(disk.unique_id), 5) == b"child"

    def test_another_program_waits_to_the_end(self, fake_azure: FakeAzure) -> None:
        fake_azure.reset(clock=FakeClock(tick=0.5))
        command = [sys.executable, "-c", ELSEWHERE, fake_azure.endpoint, fake_azure.subscription]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert list(fake_azure.disks()) == [run.stdout.strip()]
        assert fake_azure.requests.count("operations.get") >= 1


class TestSeveralFakes:
    def test_two_fakes_share_nothing(self, fake_azure: FakeAzure, tmp_path: Path) -> None:
        mine = made(fake_azure, "data")
        with FakeAzure(tmp_path, subscription="s", resource_group="g", location="here") as other:
            with own_client(other) as compute:
                body = {**wish(), "location": "here"}
                compute.disks.begin_create_or_update("g", "data", body, polling=False)
            (theirs,) = other.disks()
            assert theirs != mine.unique_id
            assert list(fake_azure.disks()) == [mine.unique_id]
            assert other.endpoint.startswith("http://127.0.0.1:")
        assert record(fake_azure, "data") == mine

    def test_a_fake_that_was_left_answers_no_more(self, tmp_path: Path) -> None:
        with FakeAzure(tmp_path) as azure:
            assert raw(azure, "GET", "disks").status_code == 200
        with pytest.raises(requests.ConnectionError):
            raw(azure, "GET", "disks")

    def test_a_reset_leaves_nothing_behind(self, fake_azure: FakeAzure) -> None:
        disk, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, disk)
        fake_azure.fail_next("disks.createOrUpdate")
        fake_azure.run_out_of_room("1")
        fake_azure.withdraw_attach_detach()
        fake_azure.add_group("other")
        fake_azure.throttle("*", burst=0, rate=0)
        folder = fake_azure.node(instance).root
        fake_azure.reset()
        assert list(client(fake_azure).disks.list()) == []
        assert fake_azure.requests.actions == ["disks.list"]
        assert not folder.exists()
        assert not fake_azure.backing(disk.unique_id).exists()
        again, instance = made(fake_azure, "data"), fake_azure.run_instance()
        attached(fake_azure, instance, again)
        assert again.unique_id != disk.unique_id

    def test_a_reset_goes_on_with_another_clock(self, fake_azure: FakeAzure) -> None:
        old, new = fake_azure.clock, FakeClock()
        fake_azure.reset(clock=new, timings=Timings(create=60))
        begun = create(fake_azure)
        old.advance(3600)
        assert status(fake_azure, begun)["status"] == "InProgress"
        new.advance(60)
        assert status(fake_azure, begun)["status"] == "Succeeded"


class TestConnections:
    def test_one_connection_carries_many_requests(self, fake_azure: FakeAzure) -> None:
        connection = http.client.HTTPConnection(fake_azure.endpoint.removeprefix("http://"))
        scope = f"/subscriptions/{fake_azure.subscription}/providers/Microsoft.Compute"
        sockets = set[object]()
        for kind in ("disks", "snapshots"):
            path = f"{scope}/{kind}?api-version=2025-01-02"
            connection.request("GET", path, headers=dict(AUTHORIZED))
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"value": []}')
            sockets.add(connection.sock)
        connection.close()
        assert len(sockets) == 1


def test_a_clock_can_do_all_by_itself(fake_azure: FakeAzure) -> None:
    fake_azure.reset(clock=FakeClock(is_real=True), timings=Timings(create=0.01, attach=0.01))
    disk, instance = made(fake_azure), fake_azure.run_instance()
    attached(fake_azure, instance, disk)
    fake_azure.reset(clock=FakeClock())
    disk, instance = made(fake_azure), fake_azure.run_instance()
    attached(fake_azure, instance, disk)
    begun = detach(fake_azure, instance, disk)
    assert outcome(fake_azure, begun) == ("Succeeded", "")
