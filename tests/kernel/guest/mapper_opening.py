"""Volumes that user space made, opened by the kernel and back: cases that run in the guest."""

import io
import os
from functools import partial
from pathlib import Path

from cloudcrypt.disk import FileDisk, read
from cloudcrypt.errors import StateForbids, UnsupportedOperation
from cloudcrypt.keys import bound_key_id
from cloudcrypt.ledger import State
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import KernelMapper, MappingState
from cloudcrypt.model import Mode
from cloudcrypt.sizes import KIB, MIB
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import header_keys
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
    wait_until,
)
from tests.unit.nodes import key_service


@case()
def what_user_space_wrote_the_kernel_reads(bench: Bench) -> None:
    device = bench.formatted()
    size = bench.open(device).size
    with Path("/dev/mapper", NAME).open("rb", buffering=0) as payload:
        assert CONTENT == payload.read(len(CONTENT))
        assert size == payload.seek(0, os.SEEK_END)
    bench.close()
    tail = os.urandom(8 * KIB)
    bench.write(device, tail, size - len(tail))
    with bench.open(device).open() as payload:
        assert tail == payload.pread(size - len(tail), len(tail) + 1)
        assert size == payload.size
    bench.close()


@case()
def what_the_kernel_wrote_user_space_reads(bench: Bench) -> None:
    device = bench.formatted()
    content = os.urandom(3 * MIB)
    mapping = bench.open(device)
    with mapping.open() as payload:
        payload.pwrite(12345, content)
    size = mapping.size
    bench.close()
    assert content == bench.read(device, 12345, len(content))
    assert CONTENT[:12345] == bench.read(device, 0, 12345)
    assert size == len(bench.read(device, 0, size))  # every sector, and with integrity every tag


@case()
def every_sector_can_be_read_and_filesystems_are_at_home(bench: Bench) -> None:
    device = bench.formatted()
    mapping = bench.open(device)
    with mapping.open() as payload:
        assert mapping.size == len(payload.readall())
    run("mkfs.ext4", "-q", str(mapping.path))
    place = bench.folder / "mounted"
    place.mkdir()
    run("mount", str(mapping.path), str(place))
    (place / "file").write_bytes(CONTENT)
    run("umount", str(place))
    bench.close()
    assert b"\x53\xef" == bench.read(device, 1024 + 56, 2)  # the magic number of ext4
    mapping = bench.open(device)
    run("e2fsck", "-fn", str(mapping.path))
    run("mount", "-o", "ro", str(mapping.path), str(place))
    found = (place / "file").read_bytes()
    run("umount", str(place))
    bench.close()
    assert CONTENT == found


@case()
def a_mapping_has_the_flags_and_its_key_is_in_no_keyring_any_more(bench: Bench) -> None:
    device = bench.formatted()
    bench.open(device)
    line = table().split()
    record = bench.record()
    size = 64 if bench.mode is Mode.CRYPT else 96
    assert f":{size}:logon:cryptsetup:{record.uuid}-d0" == line[4]
    assert {"no_read_workqueue", "no_write_workqueue", "sector_size:4096"} <= set(line)
    assert "cryptsetup" not in Path("/proc/keys").read_text("ascii")
    expected = {NAME} if bench.mode is Mode.CRYPT else {NAME, f"{NAME}_dif"}
    assert expected == mapped()
    bench.close()
    assert set() == mapped()


@case()
def a_mapper_knows_what_it_mapped(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    stage = bench.stage(mapper)
    assert (None, False) == (mapper.get(VOLUME), mapper.is_active(VOLUME))
    mapping = stage.open(device)
    assert mapping is mapper.get(VOLUME)
    assert mapping is stage.open(device)
    assert mapper.is_active(VOLUME)
    assert (VOLUME, True, device.identity) == (
        mapping.volume_id,
        mapping.writable,
        mapping.device_identity,
    )
    assert bench.record().holder is not None
    stage.close(VOLUME)
    assert (None, False) == (mapper.get(VOLUME), mapper.is_active(VOLUME))
    assert bench.record().holder is None
    stage.close(VOLUME)
    assert mapper.deactivate(VOLUME) is False


@case()
def the_key_is_wiped_and_the_device_left_to_the_kernel(bench: Bench) -> None:
    device = bench.formatted()
    volume = bench.unlocked(device)
    key = volume.volume_key.reveal()
    mapper = KernelMapper()
    mapper.activate(VOLUME, FileDisk(device.path, writable=True), volume, writable=True)
    assert bytes(len(key)) == bytes(key)
    mapper.deactivate(VOLUME)


@case()
def stock_cryptsetup_reads_every_sector_of_what_user_space_made(bench: Bench) -> None:
    device = bench.formatted()
    keys = key_service().get_data_key(bound_key_id(VOLUME), 32)
    derived = header_keys(CHEAP, VOLUME, 1, bytes(keys.reveal()))
    passphrase = bench.folder / "passphrase"
    passphrase.write_bytes(derived.passphrase.reveal())
    settle()
    run("cryptsetup", "open", "--key-file", str(passphrase), str(device.path), "stock")
    written = os.urandom(len(CONTENT))
    with Path("/dev/mapper/stock").open("r+b") as payload:
        found = payload.read()
        assert CONTENT == found[: len(CONTENT)]
        payload.seek(0)
        payload.write(written)
    settle()
    run("cryptsetup", "close", "stock")
    assert written == bench.read(device)
    mapping = bench.open(device)
    assert len(found) == mapping.size
    with mapping.open() as payload:
        assert written + found[len(written) :] == payload.readall()
    bench.close()


@case()
def the_status_is_what_the_kernel_says(bench: Bench) -> None:
    device = bench.formatted()
    mapper = KernelMapper()
    assert mapper.status(VOLUME) is None
    mapping = bench.open(device)
    status = mapper.status(VOLUME)  # of another process
    assert status is not None
    assert (MappingState.ACTIVE, bench.mode, mapping.size, False) == (
        status.state,
        status.mode,
        status.size,
        status.read_only,
    )
    assert (NAME, mapping.path, 0, ()) == (status.name, status.path, status.users, status.holders)
    assert {each.name for each in status.devices} == mapped()
    assert (table(),) == status.devices[0].table
    run("dmsetup", "create", "above", "--table", f"0 8 linear {mapping.path} 0")
    status = mapper.status(VOLUME)
    assert status is not None
    assert (1, 1) == (status.users, len(status.holders))
    settle()
    run("dmsetup", "remove", "above")
    run("dmsetup", "suspend", NAME)
    status = mapper.status(VOLUME)
    run("dmsetup", "resume", NAME)
    assert status is not None
    assert status.state is MappingState.SUSPENDED
    with mapping.path.open("rb"):
        mapper.deactivate(VOLUME, deferred=True)
        status = mapper.status(VOLUME)
        assert status is not None
        assert status.state is MappingState.LEAVING
    wait_until(lambda: mapper.status(VOLUME) is None)
    bench.stage(mapper).close(VOLUME)


@case()
def the_header_of_the_disk_is_not_read_again(bench: Bench) -> None:
    device = bench.formatted()
    volume = bench.unlocked(device)
    with FileDisk(device.path) as disk:
        before = read(disk, 0, 1 * MIB)
    with device.path.open("r+b", buffering=0) as raw:
        raw.write(b"\xff" * MIB)
    mapper = KernelMapper()
    settle()
    disk = FileDisk(device.path, writable=True)
    mapping = mapper.activate(VOLUME, disk, volume, writable=True)
    with mapping.open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
    mapper.deactivate(VOLUME)
    with device.path.open("r+b", buffering=0) as raw:
        raw.write(before)


@case()
def a_volume_mapped_for_reading_is_not_written(bench: Bench) -> None:
    device = bench.formatted()
    before = bench.loops[VOLUME].file.read_bytes()
    mapper = KernelMapper()
    stage = bench.stage(mapper)
    mapping = stage.open(device, writable=False)
    with mapping.open() as payload:
        assert CONTENT == payload.read(len(CONTENT))
        refused(io.UnsupportedOperation, lambda: payload.write(b"x"))
    with mapping.path.open("r+b", buffering=0) as raw:
        refused(PermissionError, lambda: raw.write(bytes(4096)))
    for other in (stage, bench.stage(KernelMapper())):
        refused(StateForbids, partial(other.open, device))
    stage.close(VOLUME)
    os.sync()
    assert before == bench.loops[VOLUME].file.read_bytes()


@case()
def discards_reach_the_storage_only_if_asked(bench: Bench) -> None:
    device = bench.formatted()
    bench.open(device)
    assert "allow_discards" not in table()
    bench.close()
    mapper = KernelMapper(discards=True)
    if bench.mode is Mode.INTEGRITY:
        refused(UnsupportedOperation, lambda: bench.open(device, mapper))
        assert set() == mapped()
        return
    mapping = bench.open(device, mapper)
    assert "allow_discards" in table()
    run("blkdiscard", "-o", "4096", "-l", "4096", str(mapping.path))
    mapper.deactivate(VOLUME)
    with FileDisk(device.path) as disk:
        assert bytes(4096) == read(disk, layout.DATA_OFFSET + 4096, 4096)


@case()
def the_ledger_says_what_happened(bench: Bench) -> None:
    device = bench.formatted()
    bench.open(device)
    assert (State.READY, SIZE) == (bench.record().state, bench.record().capacity)
    bench.close()
    assert bench.record().holder is None
