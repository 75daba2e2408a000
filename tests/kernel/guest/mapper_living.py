"""A mapping through its life, past the death of processes: cases that run in the guest."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from cloudcrypt.disk import LOOKED_AT, FileDisk
from cloudcrypt.errors import DeviceBusy, DeviceIOError, DeviceUnavailable, SectorRefused
from cloudcrypt.integrity import superblock
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import KernelMapper, UserspaceMapper
from cloudcrypt.mapper.engines import geometry_of
from cloudcrypt.model import BlockDevice, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from tests.kernel.guest.mapper_bench import (
    CONTENT,
    NAME,
    SIZE,
    VOLUME,
    Bench,
    case,
    mapped,
    refused,
    run,
    settle,
    table,
)
from tests.kernel.guest.mapper_refusing import activate


def in_another_process(bench: Bench, what: str) -> subprocess.Popen[str]:
    """Start a process that opens the volume and then waits for a line, or does ``what`` first."""
    arguments = str(bench.folder), str(bench.loops[VOLUME].path), bench.mode.value
    program = f"""
import sys
from cloudcrypt.mapper import KernelMapper
from tests.kernel.guest.mapper_bench import VOLUME, joined
bench, device = joined{arguments}
mapper = KernelMapper()
{what}
print("done", flush=True)
sys.stdin.readline()
"""
    pipe = subprocess.PIPE
    started = subprocess.Popen(
        [sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True, env={**os.environ}
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "done\n"
    return started


def wait_until_free(device: BlockDevice) -> None:
    """Return when the kernel has let go of a device; a deferred removal ends by itself."""
    end = time.monotonic() + 60
    while True:
        try:
            os.close(os.open(device.path, os.O_RDWR | os.O_EXCL))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


@case()
def a_mapping_outlives_its_process_and_is_taken_over(bench: Bench) -> None:
    device = bench.formatted()
    process = in_another_process(bench, "bench.stage(mapper).open(device)")
    before = table()
    mapper = KernelMapper()
    assert (None, True) == (mapper.get(VOLUME), mapper.is_active(VOLUME))
    process.send_signal(signal.SIGKILL)
    process.wait()
    mapping = bench.open(device, mapper)
    assert before == table()
    assert mapping is mapper.get(VOLUME)
    with mapping.open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
        payload.pwrite(0, b"taken over")
    bench.close()
    assert (None, False, None) == (
        mapper.get(VOLUME),
        mapper.is_active(VOLUME),
        bench.record().holder,
    )
    refused(DeviceUnavailable, lambda: mapping.size)
    assert b"taken over" == bench.read(device, 0, 10)


@case()
def a_mapping_in_use_is_taken_over_while_it_is_written(bench: Bench) -> None:
    device = bench.formatted()
    mapping = bench.open(device)
    writer = subprocess.Popen(
        ["dd", "if=/dev/zero", f"of={mapping.path}", "bs=64k", "count=100", "oflag=direct"],
        stderr=subprocess.DEVNULL,
    )
    for _ in range(3):
        again = bench.open(device)
        assert mapping.size == again.size
    assert writer.wait() == 0
    bench.close()
    assert bytes(1000) == bench.read(device, 0, 1000)


@case()
def what_another_process_closed_is_not_returned(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    first = bench.open(device, mapper)
    process = in_another_process(bench, "bench.stage(mapper).close(VOLUME)")
    process.communicate("")
    assert mapper.get(VOLUME) is None
    second = bench.open(device, mapper)
    assert first is not second
    bench.close()
    process = in_another_process(bench, "bench.stage(mapper).open(device)")
    process.communicate("")
    # It has the same name and number as before, and is another one all the same.
    assert mapper.get(VOLUME) is None
    assert bench.open(device, mapper) is mapper.get(VOLUME)
    bench.close()


@case()
def closing_ends_the_files_of_this_process(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    with bench.open(device, mapper).open() as payload:
        payload.write(b"flushed by closing")
        bench.stage(mapper).close(VOLUME)
        refused(DeviceUnavailable, lambda: payload.pread(0, 1))
        refused(DeviceUnavailable, lambda: payload.pwrite(0, b"x"))
    assert set() == mapped()
    assert b"flushed by closing" == bench.read(device, 0, 18)


@case()
def a_mapping_in_use_is_not_closed_unless_its_end_may_be_awaited(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    mapping = bench.open(device, mapper)
    user = os.open(mapping.path, os.O_RDWR)
    refused(DeviceBusy, lambda: bench.stage(mapper).close(VOLUME))
    assert mapping is mapper.get(VOLUME)
    with mapping.open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
    assert bench.record().holder is not None
    assert mapper.deactivate(VOLUME, deferred=True) is False
    assert (None, True) == (mapper.get(VOLUME), mapper.is_active(VOLUME))
    refused(DeviceBusy, lambda: bench.open(device))
    assert os.pread(user, 10, 0) == CONTENT[:10]
    os.pwrite(user, b"before the end", 0)
    os.close(user)
    wait_until_free(device)
    assert set() == mapped()
    assert bench.record().holder is not None
    bench.stage(mapper).close(VOLUME)  # who left it to the kernel gives up the hold
    assert bench.record().holder is None
    assert b"before the end" == bench.read(device, 0, 14)
    bench.open(device, mapper)
    assert mapper.deactivate(VOLUME, deferred=True) is True
    assert set() == mapped()


@case(Mode.INTEGRITY)
def what_a_dying_process_left_below_is_cleared_away(bench: Bench) -> None:
    device = bench.formatted()
    for is_opened in (True, False):
        bench.open(device)
        settle()
        run("dmsetup", "remove", NAME)
        assert {f"{NAME}_dif"} == mapped()
        if is_opened:
            bench.open(device)
            assert {NAME, f"{NAME}_dif"} == mapped()
        bench.close()
        assert set() == mapped()


@case()
def what_was_never_checked_is_checked_and_finished(bench: Bench) -> None:
    device = bench.formatted()
    bench.loops[VOLUME].grow(2 * SIZE)
    with bench.unlocked(device) as volume:
        if bench.mode is Mode.INTEGRITY:
            bench.loops[VOLUME].grow(SIZE)
        activate(device, volume, 1 << 14 | 1 << 24 | 1 << 25)  # and died
    size = bench.open(device).size
    expected = layout.payload_size(SIZE)
    if bench.mode is Mode.INTEGRITY:
        expected = geometry_of(volume.header).payload_size
    assert expected == size
    bench.close()


@case()
def a_larger_disk_changes_nothing_until_the_volume_grows(bench: Bench) -> None:
    device = bench.formatted()
    size = bench.open(device).size
    bench.close()
    bench.loops[VOLUME].grow(2 * SIZE)
    device = bench.device()
    for _ in range(3):
        mapping = bench.open(device)
        assert size == mapping.size
        assert (f"{NAME}_lim" in mapped()) is (bench.mode is Mode.INTEGRITY)
        again = bench.open(device)
        assert size == again.size
        with mapping.open() as payload:
            assert size == len(payload.readall())
        bench.close()
        assert set() == mapped()
    with bench.unlocked(device) as volume, FileDisk(device.path) as disk:
        if bench.mode is Mode.INTEGRITY:
            superblock.require(VOLUME, disk, geometry_of(volume.header))
    assert CONTENT == bench.read(device)
    stage = bench.stage(KernelMapper())
    stage.grow(device, integrity_growth=True)
    grown = stage.open(device)
    assert grown.size > 1.9 * size
    assert f"{NAME}_lim" not in mapped()
    with grown.open() as payload:
        assert grown.size == len(payload.readall())
        payload.pwrite(grown.size - 3, b"end")
    size = grown.size
    bench.close()
    assert b"end" == bench.read(device, size - 3, 3)


@case()
def a_mounted_volume_grows(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    mapping = bench.open(device, mapper)
    run("mkfs.ext4", "-q", str(mapping.path))
    place = bench.folder / "mounted"
    place.mkdir()
    run("mount", str(mapping.path), str(place))
    (place / "file").write_bytes(CONTENT)
    before, sizes = table(), []
    for factor, grower in ((2, mapper), (3, KernelMapper())):  # this process, and another
        bench.loops[VOLUME].grow(factor * SIZE)
        device = bench.device()
        stage = bench.stage(grower)
        if bench.mode is Mode.INTEGRITY:
            refused(DeviceBusy, lambda: stage.grow(device, integrity_growth=True))  # noqa: B023
            continue
        stage.grow(device)
        stage.grow(device)
        run("resize2fs", str(mapping.path))
        sizes.append(mapping.size)
    if bench.mode is Mode.CRYPT:
        assert [layout.payload_size(2 * SIZE), layout.payload_size(3 * SIZE)] == sizes
        assert before.split()[2:] == table().split()[2:]  # all but the length
        assert os.statvfs(place).f_blocks * os.statvfs(place).f_frsize > 2 * SIZE
    else:
        assert before == table()
    assert CONTENT == (place / "file").read_bytes()
    assert "cryptsetup" not in Path("/proc/keys").read_text("ascii")
    run("umount", str(place))
    bench.close()
    mapping = bench.open(device)
    run("e2fsck", "-fn", str(mapping.path))
    bench.close()


@case(Mode.INTEGRITY)
def a_damaged_sector_is_named(bench: Bench) -> None:
    device = bench.formatted()
    with bench.unlocked(device) as volume:
        geometry = geometry_of(volume.header)
    with bench.loops[VOLUME].file.open("r+b") as raw:
        raw.seek(geometry.data_offset(5) + 100)
        raw.write(b"\xaa\x55")
    with bench.open(device).open() as payload:
        error = refused(SectorRefused, lambda: payload.pread(0, 10 * SECTOR_SIZE))
        assert (VOLUME, 5) == (error.volume, error.sector)
        assert CONTENT[:5000] == payload.pread(0, 5000)
    bench.open(device)  # proven by the sectors that are whole
    bench.close()


@case(Mode.INTEGRITY)
def what_was_synced_survives_a_power_cut(bench: Bench) -> None:
    device = bench.formatted()
    file = bench.loops[VOLUME].file
    written = dict[int, bytes]()
    with bench.open(device).open() as payload:
        for sector in range(0, 1500, 7):
            written[sector] = os.urandom(100)
            payload.pwrite(sector * SECTOR_SIZE, written[sector])
        payload.flush()
        cut = file.read_bytes()
    bench.close()
    file.write_bytes(cut)
    for sector, content in written.items():  # user space replays in memory
        assert content == bench.read(device, sector * SECTOR_SIZE, 100)
        break
    with bench.open(bench.device()).open() as payload:
        for sector, content in written.items():
            assert content == payload.pread(sector * SECTOR_SIZE, 100)
    bench.close()


@case()
def a_failing_device_is_reported_and_unmapped_all_the_same(bench: Bench) -> None:
    device = bench.formatted()
    settle()
    run("dmsetup", "create", "base", "--table", f"0 {SIZE // 512} linear {device.path} 0")
    settle()
    try:
        minor = run("dmsetup", "info", "-c", "--noheadings", "-o", "minor", "base").strip()
        path = Path(f"/dev/dm-{minor}")
        with FileDisk(path) as disk:
            base = BlockDevice(VOLUME, path, SIZE, disk.identity)
        mapping = bench.open(base)
        payload = mapping.open()
        payload.pwrite(0, b"cannot be kept" * 10_000)
        run("dmsetup", "load", "base", "--table", f"0 {SIZE // 512} error")
        run("dmsetup", "suspend", "--noflush", "--nolockfs", "base")
        run("dmsetup", "resume", "base")
        refused(DeviceIOError, lambda: payload.pread(mapping.size // 2, 1))
        refused(DeviceIOError, payload.close)
        assert payload.closed
        if bench.mode is Mode.INTEGRITY:
            refused(DeviceIOError, bench.close)
        else:  # the kernel tells once: the writer knows
            bench.close()
        assert {"base"} == mapped()
        assert bench.record().holder is None
    finally:
        settle()
        run("dmsetup", "remove", "--retry", "base")


@case()
def a_volume_with_rotated_keys_opens(bench: Bench) -> None:
    device = bench.formatted()
    settle()
    bench.stage(UserspaceMapper()).rotate(device)
    with bench.open(device).open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
    bench.close()


@case(Mode.CRYPT)
def a_device_that_is_looked_at_is_waited_for(bench: Bench) -> None:
    device = bench.disk()
    for writable in (False, True):
        with device.path.open("rb") as looking:
            fcntl.flock(looking, fcntl.LOCK_EX)  # of another open file, as of another process
            timer = threading.Timer(0.3, partial(fcntl.flock, looking, fcntl.LOCK_UN))
            timer.start()
            with FileDisk(device.path, writable=writable):
                assert not timer.is_alive()
            fcntl.flock(looking, fcntl.LOCK_EX)
            began = time.monotonic()
            refused(DeviceBusy, partial(FileDisk, device.path, writable=writable))
            assert LOOKED_AT <= time.monotonic() - began < 10 * LOOKED_AT


@case()
def user_space_does_not_read_under_the_kernel(bench: Bench) -> None:
    device = bench.formatted()
    before = bench.open(device)
    stage = bench.stage(UserspaceMapper())
    refused(DeviceBusy, lambda: stage.open(device, writable=False))
    refused(DeviceBusy, lambda: stage.open(device))
    with stage.examine(device) as examined:  # the header alone
        refused(DeviceBusy, examined.engine)
    with before.open() as payload:
        payload.pwrite(0, b"not in any cache")
    bench.close()
    assert b"not in any cache" == bench.read(device, 0, 16)


@case()
def what_memory_held_of_a_disk_is_forgotten_once_it_was_mapped(bench: Bench) -> None:
    device = bench.formatted()
    assert CONTENT == bench.read(device)
    with device.path.open("rb"):  # somebody keeps the device open, and so what memory has of it
        assert CONTENT == bench.read(device)
        with bench.open(device).open() as payload:
            payload.pwrite(0, b"past the page cache")
        bench.close()
        assert b"past the page cache" == bench.read(device, 0, 19)
