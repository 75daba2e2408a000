"""The parts of virtual machines that need none: archives, modules, the monitor, recorded writes."""

import json
import lzma
import socket
import struct
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.disk import read
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.vm import QMPRefused, VMFailed, VMUnavailable
from cloudcrypt_testing.vm.bed import Bed
from cloudcrypt_testing.vm.initramfs import settings
from cloudcrypt_testing.vm.modules import Modules, plain
from cloudcrypt_testing.vm.newc import Archive
from cloudcrypt_testing.vm.qmp import QMP
from cloudcrypt_testing.vm.writelog import WriteLog, recorded


def entries(content: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, mode and content of each entry of an archive, by the kernel's description."""
    position = 0
    while content[position : position + 6] == b"070701":
        fields = [int(content[position + at : position + at + 8], 16) for at in range(6, 110, 8)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = content[position + 110 : position + 110 + name_size - 1].decode()
        start = -(-(position + 110 + name_size) // 4) * 4
        position = -(-(start + size) // 4) * 4
        yield name, mode, content[start : start + size]


def test_an_archive_has_folders_before_what_is_in_them() -> None:
    archive = Archive()
    archive.file("/a/b/file", b"content", mode=0o755)
    archive.link("a/link", "b/file")
    archive.character_device("dev/console", 5, 1)
    archive.folder("a")
    expected = [
        ("a", 0o040755, b""),
        ("a/b", 0o040755, b""),
        ("a/b/file", 0o100755, b"content"),
        ("a/link", 0o120777, b"b/file"),
        ("dev", 0o040755, b""),
        ("dev/console", 0o020600, b""),
        ("TRAILER!!!", 0, b""),
    ]
    assert expected == list(entries(archive.to_bytes()))


def test_settings_are_what_a_shell_reads() -> None:
    (name, _, content), _ = entries(settings({"ONE": "it's a word", "TWO": ""}))
    assert (name, content) == ("settings", b"ONE='it'\"'\"'s a word'\nTWO=''\n")


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    dependencies = (
        "kernel/top-one.ko: kernel/middle.ko.xz kernel/base.ko\n"
        "kernel/middle.ko.xz: kernel/base.ko\n"
        "kernel/base.ko:\n"
    )
    (tmp_path / "modules.dep").write_text(dependencies)
    return Modules(tmp_path)


def test_modules_come_after_what_they_need_and_once(modules: Modules) -> None:
    needed = modules.needed(["top_one", "base", "not-in-this-kernel"])
    assert ["base.ko", "middle.ko.xz", "top-one.ko"] == [path.name for path in needed]


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "one.ko.xz").write_bytes(lzma.compress(b"one"))
    (tmp_path / "two.ko").write_bytes(b"two")
    assert plain(tmp_path / "one.ko.xz") == ("one.ko", b"one")
    assert plain(tmp_path / "two.ko") == ("two.ko", b"two")


def test_a_folder_in_which_nothing_was_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VMUnavailable):
        Bed.load(tmp_path)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def monitor(path: Path, answers: list[dict[str, Any]]) -> Generator[None]:
    """Greet whoever connects, answer each command with the next of ``answers``, and hang up."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b'{"QMP": {"version": {}}}\n')
                stream.flush()
                for answer, line in zip(answers, stream, strict=False):
                    asked = json.loads(line)["id"]
                    stream.write(json.dumps({**answer, "id": asked}).encode() + b"\n")
                    stream.write(b'{"event": "GONE", "data": {"device": "%d"}}\n' % asked)
                    stream.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_the_monitor_tells_answers_from_events_and_refusals(tmp_path: Path) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "no room"}}
    with monitor(tmp_path / "qmp", [{"return": {}}, {"return": [1]}, refusal]):
        qmp = QMP(tmp_path / "qmp")
        assert qmp.command("first") == [1]
        qmp.wait_for("GONE", "device", "2", 60)
        with pytest.raises(QMPRefused, match=r"second: no room \(GenericError\)"):
            qmp.command("second")
        with pytest.raises(VMFailed, match="no event GONE of 2"):
            qmp.wait_for("GONE", "device", "2", 0.05)
        qmp.close()


def test_a_monitor_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with monitor(tmp_path / "qmp", [{"return": {}}]):
        qmp = QMP(tmp_path / "qmp")
        with pytest.raises(VMFailed, match="gone"):
            qmp.command("quit")
        with pytest.raises(VMFailed):
            qmp.wait_for("GONE", "device", "7", 60)
        qmp.close()
    with monitor(tmp_path / "qmp2", []), pytest.raises(VMFailed, match="gone"):
        QMP(tmp_path / "qmp2")
    with pytest.raises(OSError, match="No such file"):
        QMP(tmp_path / "nothing")


FLUSH, FUA, DISCARD = 1, 2, 4


def written(path: Path, *steps: tuple[int, bytes | int, int]) -> WriteLog:
    """Write a log of (sector, content or number of sectors, flags) and read it back."""
    content = struct.pack("<QQQI", 0x6A736677736872, 1, len(steps), 512).ljust(512, b"\0")
    for sector, what, flags in steps:
        count = what if isinstance(what, int) else len(what) // 512
        content += struct.pack("<QQQQ", sector, count, flags, 0).ljust(512, b"\0")
        content += b"" if isinstance(what, int) else what
    path.write_bytes(content)
    return WriteLog.read(path)


@pytest.fixture
def log(tmp_path: Path) -> WriteLog:
    return written(
        tmp_path / "log",
        (0, b"a" * 512, 0),
        (0, 0, FLUSH),
        (1, b"b" * 1024, 0),
        (0, 1, DISCARD),
        (3, b"c" * 512, FUA),
    )


def test_every_prefix_of_what_was_written_is_a_state(log: WriteLog) -> None:
    before = MemoryDisk(2048)
    before.write(1536, b"z" * 512)
    found = {state.count: read(state.disk, 0, 2048)[::512] for state in log.states(before)}
    assert {0: b"\0\0\0z", 1: b"a\0\0z", 3: b"abbz", 4: b"\0bbz", 5: b"\0bbc"} == found
    assert read(before, 0, 2048)[::512] == b"\0\0\0z"
    assert log.flushes == 1


def test_a_cache_loses_what_was_not_flushed_and_nothing_else(log: WriteLog) -> None:
    assert log.volatile(5) == (2, 3)
    assert log.volatile(1) == (0,)
    assert log.volatile(2) == ()
    disk = MemoryDisk(2048)
    log.replay(disk, lost=[2])
    assert read(disk, 0, 2048)[::512] == b"\0\0\0c"
    for durable in (0, 4):
        with pytest.raises(ValueError, match="durable"):
            log.replay(MemoryDisk(2048), lost=[durable])


def test_what_a_cache_may_lose_is_lost_in_several_ways(log: WriteLog) -> None:
    found = [
        (state.count, state.lost, read(state.disk, 0, 2048)[::512])
        for state in log.losses(MemoryDisk(2048))
    ]
    assert found == [
        (1, (0,), b"\0\0\0\0"),  # before the flush
        (5, (2, 3), b"a\0\0c"),  # at the end: what was durable stays
        (5, (2,), b"\0\0\0c"),
        (5, (3,), b"abbc"),
    ]
    assert [(2, 0), (3, 1), (4, 3)] == [
        (count, len(list(log.losses(MemoryDisk(2048), [count])))) for count in (2, 3, 4)
    ]
    assert [(4, (2, 3)), (4, (2,)), (4, (3,))] == [
        (state.count, state.lost) for state in log.losses(MemoryDisk(2048), [4, 4], most=2)
    ]


def test_of_many_that_may_be_lost_some_are_tried(tmp_path: Path) -> None:
    log = written(tmp_path / "log", *[(number, b"a" * 512, 0) for number in range(10)])
    lost = [state.lost for state in log.losses(MemoryDisk(8192), most=3)]
    every = tuple(range(10))
    assert lost[:4] == [every, (0,), (4,), (8,)]
    assert lost[4:] == [tuple(n for n in every if n != kept) for kept in (0, 4, 8)]


def test_zeros_that_were_written_over_something_are_there(tmp_path: Path) -> None:
    log = written(tmp_path / "log", (0, b"a" * 512, 0), (0, bytes(2 * MIB), 0))
    disk = MemoryDisk(2 * MIB)
    log.replay(disk, 1)
    assert read(disk, 0, 1) == b"a"
    log.replay(disk)
    assert read(disk, 0, 2 * MIB) == bytes(2 * MIB)


def test_a_log_that_has_not_begun_is_empty_and_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    assert recorded(path) == 0
    assert WriteLog.read(path).entries == ()
    path.write_bytes(bytes(512))
    with pytest.raises(ValueError, match="not a log"):
        recorded(path)
    assert recorded(written(tmp_path / "other", (0, 0, FLUSH)).path) == 1
