"""Threads, processes and other fakes beside one fake Compute Engine."""

import http.client
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.cloud import compute_v1

from cloudcrypt_testing.fake_gce import FakeClock, FakeGce, Timings
from tests.unit.gce_calls import (
    DONE,
    PROJECT,
    TIMES,
    ZONE,
    at,
    attach,
    attached,
    detach,
    devices,
    disks,
    failure,
    insert,
    instances,
    made,
    operations,
    raw,
    read,
    refusal,
    waited,
)

ELSEWHERE = """
import sys
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import compute_v1
endpoint, how = sys.argv[1:]
settings = {
    "credentials": AnonymousCredentials(),
    "client_options": ClientOptions(api_endpoint=endpoint),
}
where = {"project": "demo-project", "zone": "europe-west3-a"}
disks, operations = compute_v1.DisksClient(**settings), compute_v1.ZoneOperationsClient(**settings)
operation = disks.insert_unary(**where, disk_resource=compute_v1.Disk(name="data", size_gb=1))
while operation.status != compute_v1.Operation.Status.DONE:
    operation = getattr(operations, how)(**where, operation=operation.name)
print(operation.target_id)
"""


def closed(gce: FakeGce, kind: Callable[..., Any]) -> Any:
    """Return a client of its own, for whoever closes it."""
    options = ClientOptions(api_endpoint=gce.endpoint)
    return kind(credentials=gce.credentials(), client_options=options)


class TestThreads:
    def test_many_threads_make_and_attach_without_losing_anything(self, fake_gce: FakeGce) -> None:
        instance = fake_gce.run_instance()

        def work(number: int) -> None:
            disk = made(fake_gce, f"d{number}")
            attached(fake_gce, disk, instance)
            if number % 2:
                assert failure(waited(fake_gce, detach(fake_gce, instance, disk.name))) == ("", 0)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(20)))
        assert sorted(devices(fake_gce, instance)) == sorted(f"d{n}" for n in range(0, 20, 2))
        assert len(fake_gce.disks()) == 20
        assert len(fake_gce.node(instance).devices) == 11

    def test_one_name_is_won_by_one_of_many_threads(self, fake_gce: FakeGce) -> None:
        def work(_number: int) -> int:
            body = {"name": "data", "sizeGb": "1"}
            return raw(fake_gce, "POST", f"zones/{ZONE}/disks", body)[0]

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(work, range(8)))
        assert sorted(outcomes) == [200] + [409] * 7

    def test_waits_at_once_let_no_second_pass_twice(self, fake_gce: FakeGce) -> None:
        begun = [insert(fake_gce) for _ in range(8)]

        def work(number: int) -> object:
            return waited(fake_gce, begun[number]).status

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(work, range(8))) == {DONE}
        assert fake_gce.clock.monotonic() == pytest.approx(TIMES.create)

    def test_others_are_answered_while_one_waits(self, fake_gce: FakeGce) -> None:
        slow = FakeClock(is_real=True)
        fake_gce.reset(clock=slow, timings=Timings(create=0.5))
        operation = insert(fake_gce)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(waited, fake_gce, operation)
            assert operations(fake_gce).get(**at(), operation=operation.name).status != DONE
            assert waiting.result().status == DONE


class TestProcesses:
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_forked_child_talks_to_the_server_of_its_parent(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        child = os.fork()
        if child == 0:  # pragma: no cover - not measured in a child
            try:
                node = fake_gce.node(instance)
                with (node.root / "dev" / (node.name(str(disk.id)) or "")).open("r+b") as file:
                    file.write(b"child")
                mine = closed(fake_gce, compute_v1.InstancesClient)
                where = {**at(), "instance": instance.partition("/")[2]}
                mine.detach_disk_unary(**where, device_name=disk.name)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the parent looks at the exit status alone
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        fake_gce.clock.advance(TIMES.detach)
        assert devices(fake_gce, instance) == []
        assert read(fake_gce.backing(str(disk.id)), 5) == b"child"

    @pytest.mark.parametrize(("how", "tick"), [("get", 0.5), ("wait", 0.0)])
    def test_another_program_waits_to_the_end(
        self, fake_gce: FakeGce, how: str, tick: float
    ) -> None:
        fake_gce.reset(clock=FakeClock(tick=tick))
        command = [sys.executable, "-c", ELSEWHERE, fake_gce.endpoint, how]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert list(fake_gce.disks()) == [run.stdout.strip()]
        assert fake_gce.requests.count(f"zoneOperations.{how}") >= 1


class TestSeveralFakes:
    def test_two_fakes_share_nothing(self, fake_gce: FakeGce, tmp_path: Path) -> None:
        mine = made(fake_gce, "data")
        with FakeGce(tmp_path, project="other-project", region="us-central1") as other:
            client = closed(other, compute_v1.DisksClient)
            where: dict[str, Any] = {"project": "other-project", "zone": other.zones[0]}
            client.insert_unary(**where, disk_resource=compute_v1.Disk(name="data", size_gb=1))
            (theirs,) = other.disks()
            assert theirs != str(mine.id)
            assert list(fake_gce.disks()) == [str(mine.id)]
            assert refusal(client.list, **at()) == (404, "notFound")
            assert other.endpoint.startswith("http://127.0.0.1:")
            client.transport.close()
        assert disks(fake_gce).get(**at(), disk="data").status == "READY"

    def test_two_fakes_on_one_clock_settle_together(
        self, fake_gce: FakeGce, tmp_path: Path
    ) -> None:
        with FakeGce(tmp_path, clock=fake_gce.clock) as other:
            client = closed(other, compute_v1.DisksClient)
            client.insert_unary(**at(), disk_resource=compute_v1.Disk(name="a", size_gb=1))
            made(fake_gce, "data")
            assert [disk.status for disk in other.disks().values()] == ["READY"]
            client.transport.close()

    def test_a_fake_that_was_left_answers_no_more(self, tmp_path: Path) -> None:
        with FakeGce(tmp_path) as gce:
            url = f"{gce.endpoint}/compute/v1/projects/{PROJECT}/zones"
            assert requests.get(url, timeout=60).status_code == 200
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=60)

    def test_a_reset_leaves_nothing_behind(self, fake_gce: FakeGce) -> None:
        disk, instance = made(fake_gce, "data"), fake_gce.run_instance()
        attached(fake_gce, disk, instance)
        fake_gce.fail_next("disks.insert")
        fake_gce.run_out_of_room(ZONE)
        fake_gce.throttle("*", burst=0, rate=0)
        folder = fake_gce.node(instance).root
        fake_gce.reset()
        assert list(disks(fake_gce).list(**at())) == []
        assert list(instances(fake_gce).list(**at())) == []
        assert fake_gce.requests.actions == ["disks.list", "instances.list"]
        assert not folder.exists()
        assert not fake_gce.backing(str(disk.id)).exists()
        assert made(fake_gce, "data").id != disk.id

    def test_a_reset_goes_on_with_another_clock(self, fake_gce: FakeGce) -> None:
        old, new = fake_gce.clock, FakeClock()
        fake_gce.reset(clock=new, timings=Timings(create=60))
        operation = insert(fake_gce)
        old.advance(3600)
        assert operations(fake_gce).get(**at(), operation=operation.name).status != DONE
        new.advance(60)
        assert operations(fake_gce).get(**at(), operation=operation.name).status == DONE


class TestConnections:
    def test_one_connection_carries_many_requests(self, fake_gce: FakeGce) -> None:
        connection = http.client.HTTPConnection(fake_gce.endpoint.removeprefix("http://"))
        sockets = set[object]()
        for name in ("zones", "regions"):
            connection.request("GET", f"/compute/v1/projects/{PROJECT}/{name}")
            answer = connection.getresponse()
            assert (answer.status, b"selfLink" in answer.read()) == (200, True)
            sockets.add(connection.sock)
        connection.close()
        assert len(sockets) == 1


def test_attachments_begun_at_once_are_waited_for_in_any_order(fake_gce: FakeGce) -> None:
    instance = fake_gce.run_instance()
    wanted = [made(fake_gce) for _ in range(3)]
    begun = [attach(fake_gce, disk, instance) for disk in wanted]
    assert [failure(waited(fake_gce, one)) for one in reversed(begun)] == [("", 0)] * 3
