"""Filesystems on encrypted volumes: made, used, unmounted, grown, copied; cases in the guest."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import attrs

from cloudcrypt.errors import DeviceBusy, MountBusy, StateForbids
from cloudcrypt.filesystem import FilesystemKind, Health, MountOptions
from cloudcrypt.ledger import Filesystem, Making, Raw, Untouched
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import ClonedFrom, Mode
from cloudcrypt.sizes import MIB
from tests.kernel.guest.filesystem_bench import CONTENT, FilesystemBench, case, write
from tests.kernel.guest.mapper_bench import NAME, VOLUME, refused, run, settle

OTHER = "local:0123456789ab/vol-0123456789abcdef1"


@case()
def what_was_written_is_read_after_all_was_closed(bench: FilesystemBench) -> None:
    device, target = bench.mounted()
    made = bench.record().payload
    assert isinstance(made, Filesystem)
    assert CONTENT == (target / "file").read_bytes()
    assert f"/dev/mapper/{NAME}" == run("findmnt", "-no", "SOURCE", str(target)).strip()
    bench.filesystem.unmount(target)
    bench.reopened()
    assert made == bench.filesystem.make(device, bench.kind)
    assert Health.CLEAN is bench.filesystem.check()
    mount = bench.filesystem.mount(target)
    assert {"rw", "nosuid", "nodev"} <= mount.options
    assert "discard" not in mount.super_options
    assert CONTENT == (target / "file").read_bytes()
    status = bench.filesystem.status()
    assert ((mount,), made) == (status.mounts, status.payload)
    assert status.found is not None
    assert (made.kind, made.uuid) == (status.found.kind, status.found.uuid)
    bench.filesystem.unmount(target)
    bench.process.close(VOLUME)
    stage = bench.stage(UserspaceMapper())
    assert isinstance(stage.filesystem(VOLUME).status().payload, Filesystem)


@case(("xfs",))
def every_verb_can_be_repeated(bench: FilesystemBench) -> None:
    device, target = bench.mounted()
    made = bench.record().payload
    for _ in range(2):
        assert made == bench.filesystem.make(device, bench.kind)  # while it is mounted, too
        assert made == bench.filesystem.adopt()
        assert target == bench.filesystem.mount(target).target
    bench.process = bench.new_process()
    bench.process.open(device, raw=False)  # another process takes the mapping over
    assert target == bench.filesystem.mount(target).target
    for _ in range(2):
        bench.new_process().filesystem(VOLUME).unmount(target)  # and a third one needs no key
    assert not target.is_mount()


@case(("ext4-integrity",))
def what_is_in_use_stays_and_names_its_users(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    with (target / "file").open("rb") as file:
        busy = refused(MountBusy, lambda: bench.filesystem.unmount(target))
        assert any(holder.startswith(f"{os.getpid()} (") for holder in busy.holders)
        assert CONTENT == (target / "file").read_bytes()
        refused(DeviceBusy, lambda: bench.process.close(VOLUME))
        bench.filesystem.unmount(target, lazy=True)
        assert not target.is_mount()
        assert CONTENT == file.read()
    bench.reopened()
    bench.filesystem.mount(target)
    assert CONTENT == (target / "file").read_bytes()


@case(("ext4", "ext4-integrity", "xfs"))
def what_was_synced_survives_a_power_cut(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    write(target / "second", CONTENT)
    cut = bench.copied(VOLUME)
    bench.filesystem.unmount(target)
    settle()
    bench.process.close(VOLUME)
    bench.attach(VOLUME, cut)
    bench.process = bench.new_process()
    bench.process.open(bench.device(), raw=False)
    if bench.kind is FilesystemKind.XFS:
        assert Health.UNREPLAYED is bench.filesystem.check()
    bench.filesystem.mount(target)
    assert [CONTENT] * 2 == [(target / name).read_bytes() for name in ("file", "second")]
    bench.filesystem.unmount(target)
    assert Health.CLEAN is bench.filesystem.check()


def _grown(bench: FilesystemBench, more: int) -> int:
    """Let the disk grow while it is in use, or closed if it has integrity; then all above it."""
    target, loop = bench.target(), bench.loops[VOLUME]
    size = bench.device().size + more
    if bench.mode is Mode.CRYPT:
        loop.grow(size)
        bench.process.grow(bench.device())
    else:
        bench.filesystem.unmount(target)
        bench.process.close(VOLUME)
        loop.grow(size)
        bench.process.grow(bench.device(), integrity_growth=True)
        bench.process.open(bench.device(), raw=False)
        bench.filesystem.mount(target)
    return bench.filesystem.grow()


@case(("ext4", "ext4-integrity", "xfs"))
def it_grows_and_keeps_what_it_holds(bench: FilesystemBench) -> None:
    bench.mounted()
    target = bench.target()
    before = os.statvfs(target)
    more = 160 * MIB if bench.mode is Mode.CRYPT else 32 * MIB
    size = _grown(bench, more)
    after = os.statvfs(target)
    assert (after.f_blocks - before.f_blocks) * after.f_frsize > more * 7 // 8
    mapping = bench.process._mapper.get(VOLUME)
    assert mapping is not None
    assert 0 <= mapping.size - size < 16 * MIB
    assert size == bench.filesystem.grow()
    assert CONTENT == (target / "file").read_bytes()
    bench.filesystem.unmount(target)
    assert Health.CLEAN is bench.filesystem.check()
    bench.reopened()
    bench.filesystem.mount(target)
    assert (size, CONTENT) == (bench.filesystem.grow(), (target / "file").read_bytes())


@case(("ext4", "xfs"))
def every_size_between_is_grown_to_or_left_unused(bench: FilesystemBench) -> None:
    bench.mounted()
    mapping = bench.process._mapper.get(VOLUME)
    assert mapping is not None
    for more in (4096, 63 * 4096, MIB - 4096, 3 * MIB, 95 * MIB, 4096, 64 * 4096):
        size = _grown(bench, more)
        assert size == bench.filesystem.grow()
        assert 0 <= mapping.size - size < 8 * MIB
    bench.filesystem.unmount(bench.target())
    assert Health.CLEAN is bench.filesystem.check()


@case(("xfs",))
def a_copy_is_mounted_beside_its_origin(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    made = bench.record().payload
    bench.filesystem.unmount(target)
    bench.attach(OTHER, bench.copied(VOLUME))
    copy = bench.device(OTHER)
    bench.process.rebind(copy, ClonedFrom(VOLUME))
    settle()
    bench.process.open(copy, raw=False)
    other = bench.process.filesystem(OTHER)
    assert made == other.make(copy, bench.kind)
    for first, second in ((bench.filesystem, other), (other, bench.filesystem)):
        targets = bench.target("one"), bench.target("two")
        first.mount(targets[0])
        second.mount(targets[1])
        assert [CONTENT] * 2 == [(each / "file").read_bytes() for each in targets]
        first.unmount(targets[0])
        second.unmount(targets[1])
    bench.process.close(OTHER)


@case(("ext4",))
def what_is_open_for_reading_is_mounted_for_reading(bench: FilesystemBench) -> None:
    _, target = bench.mounted()
    bench.filesystem.unmount(target)
    bench.reopened(writable=False)
    refused(StateForbids, lambda: bench.filesystem.mount(target))
    bench.filesystem.mount(target, MountOptions(read_only=True))
    assert CONTENT == (target / "file").read_bytes()
    refused(OSError, (target / "new").touch)
    refused(StateForbids, bench.filesystem.grow)


MAKER = """
import sys
from cloudcrypt.filesystem import PayloadChoice
from cloudcrypt.mapper import KernelMapper
from tests.kernel.guest.mapper_bench import VOLUME, joined
bench, device = joined(sys.argv[1], sys.argv[2], "crypt")
stage = bench.stage(KernelMapper())
stage.open(device, raw=False)
print("ready", flush=True)
stage.filesystem(VOLUME).make(device, PayloadChoice.parse(sys.argv[3]).kind)
"""


@case(("xfs",))
def a_process_that_dies_while_it_makes_one_leaves_one_to_be_made(bench: FilesystemBench) -> None:
    device = bench.opened()
    arguments = [str(bench.folder), str(device.path), bench.kind.value]
    command = [sys.executable, "-c", MAKER, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        assert b"ready\n" == maker.stdout.readline()
        while isinstance(bench.record().payload, Untouched):
            os.sched_yield()
        maker.send_signal(signal.SIGKILL)
    made = bench.filesystem.make(device, bench.kind)
    assert made == bench.record().payload
    bench.filesystem.mount(bench.target())


@case(("ext4",))
def a_payload_that_was_written_to_gets_a_filesystem_by_hand_alone(bench: FilesystemBench) -> None:
    bench.opened()
    settle()
    bench.process.close(VOLUME)
    bench.process.open(bench.device())
    assert Raw() == bench.record().payload
    path = Path("/dev/mapper", NAME)
    run("mkfs.ext4", "-q", str(path))
    adopted = bench.filesystem.adopt()
    assert run("blkid", "-p", "-o", "value", "-s", "UUID", str(path)).strip() == adopted.uuid
    bench.filesystem.mount(bench.target())


@case(("xfs",))
def what_was_begun_becomes_another_kind(bench: FilesystemBench) -> None:
    device, made = bench.made()
    for kind in (FilesystemKind.EXT4, FilesystemKind.XFS):
        record = bench.record()
        begun = attrs.evolve(record, payload=Making(made.kind, made.uuid))
        bench.ledger.replace(record, begun)
        made = bench.filesystem.make(device, kind)
        assert kind is made.kind
    bench.filesystem.mount(bench.target())
