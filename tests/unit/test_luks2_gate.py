"""A gate closes once, after everybody has left; a payload whose gate is closed is of no use."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudcrypt.errors import DeviceUnavailable
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.luks2.gate import Gate
from cloudcrypt_testing.disks import FailingDisk, Operation, RecordingDisk
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import sample_volume

PATIENCE = 60  # seconds until a thread counts as hung


def test_a_closed_gate_lets_nobody_in() -> None:
    gate = Gate("vol")
    gate.close()
    gate.close()
    with pytest.raises(DeviceUnavailable) as refusal, gate:
        pytest.fail("somebody got in")
    assert ("vol", "the volume was closed") == (refusal.value.device, refusal.value.reason)


def test_users_do_not_exclude_each_other() -> None:
    gate = Gate("vol")
    both_in = threading.Barrier(2)

    def use() -> int:
        with gate:
            return both_in.wait(PATIENCE)

    with ThreadPoolExecutor(2) as pool:
        assert {0, 1} == {each.result(PATIENCE) for each in [pool.submit(use) for _ in range(2)]}


def test_closing_waits_for_those_who_are_within() -> None:
    gate = Gate("vol")
    happened: list[str] = []
    entered, may_leave = threading.Event(), threading.Event()

    def use() -> None:
        with gate:
            entered.set()
            assert may_leave.wait(PATIENCE)
            happened.append("left")

    def close() -> None:
        gate.close()
        happened.append("closed")

    with ThreadPoolExecutor(2) as pool:
        user = pool.submit(use)
        assert entered.wait(PATIENCE)
        closer = pool.submit(close)
        may_leave.set()
        user.result(PATIENCE)
        closer.result(PATIENCE)
    assert ["left", "closed"] == happened


def test_leaving_after_a_failure_counts() -> None:
    gate = Gate("vol")
    with pytest.raises(RuntimeError, match="within"), gate:
        raise RuntimeError("within")
    gate.close()


def test_a_payload_behind_a_closed_gate_touches_neither_disk_nor_key() -> None:
    volume = sample_volume(CHEAP)
    disk = RecordingDisk(volume.disk())
    unlocked = volume.unlock(disk)
    gate = Gate("vol")
    file = SectorFile(XTSEngine(disk, unlocked), writable=True, gate=gate)
    file.write(b"before")
    gate.close()
    unlocked.volume_key.wipe()
    disk.operations.clear()
    for use in (
        lambda: file.pread(0, 1),
        lambda: file.pwrite(0, b"x"),
        lambda: file.readinto(bytearray(1)),
        file.flush,
    ):
        with pytest.raises(DeviceUnavailable):
            use()
    file.close()
    assert file.closed
    assert disk.operations == []


def test_a_read_that_is_under_way_ends_before_the_gate_is_closed() -> None:
    volume = sample_volume(CHEAP)
    below = volume.disk()
    unlocked = volume.unlock(below)
    entered, may_go_on = threading.Event(), threading.Event()
    gate = Gate("vol")

    def slow(operation: Operation) -> bool:
        entered.set()
        assert may_go_on.wait(PATIENCE)
        return operation.kind == "never"

    def close() -> None:
        gate.close()
        unlocked.volume_key.wipe()

    SectorFile(XTSEngine(below, unlocked), writable=True).pwrite(0, b"content")
    file = SectorFile(XTSEngine(FailingDisk(below, slow), unlocked), writable=False, gate=gate)
    with ThreadPoolExecutor(2) as pool:
        read = pool.submit(file.pread, 0, 7)
        assert entered.wait(PATIENCE)
        closing = pool.submit(close)
        may_go_on.set()
        assert read.result(PATIENCE) == b"content"
        closing.result(PATIENCE)
