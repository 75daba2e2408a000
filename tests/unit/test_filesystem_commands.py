"""What the real programs make of files: filesystems with the UUID that was chosen, and verdicts."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import DeviceIOError, DeviceTooSmall, FilesystemFailed
from cloudcrypt.filesystem import (
    SMALLEST,
    Commands,
    Ended,
    FilesystemKind,
    Health,
    HostTools,
    ToolStopped,
)
from cloudcrypt.sizes import MIB
from cloudcrypt.waiting import Deadline
from tests.unit.payloads import NOISE, PAYLOADS, FileNodes

EXT4, XFS = FilesystemKind.EXT4, FilesystemKind.XFS
UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"
OTHER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
Make = Callable[..., Commands]


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Make]:
    """Return what opens a payload of noise, and the programs for it."""
    with ExitStack() as closing:
        lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        closing.callback(os.close, lock)

        def opened(size: int, name: str = "payload") -> Commands:
            path = tmp_path / name
            path.write_bytes(NOISE)
            os.truncate(path, size)
            node = closing.enter_context(FileNodes().opened(path, UUID, writable=True))
            return Commands(HostTools(), node, lock, Deadline.after(60))

        yield opened


@attrs.frozen
class Saying:
    """Programs that end at once, as the test says."""

    ended: Ended | None
    ran: list[tuple[str, ...]] = attrs.field(factory=list[tuple[str, ...]])

    def run(self, tool: str, arguments: object, **_: object) -> Ended:
        self.ran.append((tool, *map(str, arguments)))  # type: ignore[call-overload]
        if self.ended is None:
            raise ToolStopped(f"{tool} was stopped")
        return self.ended


def saying(commands: Commands, status: int, said: str = "") -> Commands:
    return attrs.evolve(commands, tools=Saying(Ended("e2fsck", status, said, said)))


@pytest.mark.parametrize("kind", FilesystemKind)
def test_a_filesystem_is_made_with_the_uuid_that_was_chosen(
    commands: Make, kind: FilesystemKind
) -> None:
    made = commands(PAYLOADS[kind])
    made.make(kind, UUID)
    found = made.node.superblock()
    assert found is not None
    assert (kind, UUID, made.node.size) == (found.kind, found.uuid, found.size)
    assert found.block_size == 4096
    assert Health.CLEAN is made.check(kind, full=True)
    assert Health.CLEAN is made.check(kind, full=False)


@pytest.mark.parametrize("kind", FilesystemKind)
@pytest.mark.parametrize("before", FilesystemKind)
def test_a_filesystem_is_made_again_whatever_is_there(
    commands: Make, kind: FilesystemKind, before: FilesystemKind
) -> None:
    made = commands(PAYLOADS[XFS])
    made.make(before, OTHER)
    made.make(kind, UUID)
    found = made.node.superblock()
    assert found is not None
    assert (kind, UUID) == (found.kind, found.uuid)


def test_ext4_becomes_read_only_on_errors_and_keeps_no_blocks_for_root(commands: Make) -> None:
    made = commands(PAYLOADS[EXT4])
    made.make(EXT4, UUID)
    dumped = subprocess.run(
        ["/usr/sbin/dumpe2fs", "-h", made.node.path], check=True, capture_output=True, text=True
    ).stdout
    facts = dict(line.split(":", 1) for line in dumped.splitlines() if ":" in line)
    assert facts["Errors behavior"].strip() == "Remount read-only"
    assert facts["Reserved block count"].strip() == "0"
    assert "has_journal" in facts["Filesystem features"]


@pytest.mark.parametrize("kind", FilesystemKind)
def test_the_smallest_payload_is_large_enough(commands: Make, kind: FilesystemKind) -> None:
    made = commands(SMALLEST[kind])
    made.require_room(kind)
    made.make(kind, UUID)
    assert made.node.superblock() is not None
    with pytest.raises(DeviceTooSmall) as refusal:
        commands(SMALLEST[kind] - 4096, "smaller").require_room(kind)
    assert (SMALLEST[kind] - 4096, SMALLEST[kind]) == (refusal.value.size, refusal.value.needed)


def test_what_the_program_refuses_is_an_error_with_its_words(commands: Make) -> None:
    small = commands(2 * MIB)
    with pytest.raises(FilesystemFailed, match=r"making xfs on .*mkfs.xfs ended with status 1"):
        small.make(XFS, UUID)
    assert small.node.superblock() is None


def test_what_ends_well_and_is_not_durable_is_an_error(commands: Make) -> None:
    made = saying(commands(32 * MIB), 0)
    pipe = os.pipe()  # fsync(2) refuses pipes
    broken = attrs.evolve(made, node=attrs.evolve(made.node, descriptor=pipe[1]))
    with pytest.raises(DeviceIOError, match="flush"):
        broken.make(EXT4, UUID)
    os.close(pipe[0])
    os.close(pipe[1])


@pytest.mark.parametrize("kind", FilesystemKind)
def test_a_program_that_is_stopped_is_a_failure(commands: Make, kind: FilesystemKind) -> None:
    stopped = attrs.evolve(commands(32 * MIB), tools=Saying(None))
    for ask in (
        lambda: stopped.make(kind, UUID),
        lambda: stopped.check(kind, full=True),
        lambda: stopped.grow(kind, Path("/mnt")),
    ):
        with pytest.raises(FilesystemFailed, match="was stopped"):
            ask()


# --- checks ---


def test_ext4_with_small_errors_is_repaired(commands: Make) -> None:
    made = commands(PAYLOADS[EXT4])
    made.make(EXT4, UUID)
    debugfs(made, "set_super_value free_blocks_count 7")
    debugfs(made, "set_super_value state 0")  # not cleanly unmounted
    assert Health.REPAIRED is made.check(EXT4, full=False)
    assert Health.CLEAN is made.check(EXT4, full=True)


def test_ext4_with_bad_errors_needs_a_person(commands: Make) -> None:
    made = commands(PAYLOADS[EXT4])
    made.make(EXT4, UUID)
    debugfs(made, "clri <2>")  # the root folder
    assert Health.CLEAN is made.check(EXT4, full=False)  # it says so
    assert Health.DAMAGED is made.check(EXT4, full=True)


def test_xfs_with_errors_needs_a_person_and_is_not_changed(commands: Make) -> None:
    made = commands(PAYLOADS[XFS])
    made.make(XFS, UUID)
    with made.node.path.open("r+b") as file:
        file.seek(4096)  # the headers of the free space of the first group
        file.write(b"\xff" * 64)
    before = made.node.path.read_bytes()
    assert Health.DAMAGED is made.check(XFS, full=True)
    assert before == made.node.path.read_bytes()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, Health.CLEAN),
        (1, Health.REPAIRED),
        (2, Health.REPAIRED),
        (3, Health.REPAIRED),
        (4, Health.DAMAGED),
        (5, Health.DAMAGED),
        (7, Health.DAMAGED),
    ],
)
def test_the_status_of_e2fsck_is_a_verdict(commands: Make, status: int, expected: Health) -> None:
    assert expected is saying(commands(MIB), status).check(EXT4, full=True)


@pytest.mark.parametrize("status", [8, 9, 12, 16, 32, 128, -9])
def test_another_status_of_e2fsck_is_a_failure_that_names_no_file(
    commands: Make, status: int
) -> None:
    with pytest.raises(FilesystemFailed) as failure:
        saying(commands(MIB), status, "/letters/alice: bad block").check(EXT4, full=True)
    assert "alice" not in str(failure.value)


ALERT = (
    "        - zero log...\nALERT: The filesystem has valuable metadata changes in a log which is "
    "being\nignored because the -n option was used."
)


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (0, "", Health.CLEAN),
        (1, "", Health.DAMAGED),
        (0, ALERT, Health.UNREPLAYED),
        (1, ALERT.replace(" in a ", "\nin a "), Health.UNREPLAYED),
    ],
)
def test_the_status_of_xfs_repair_is_a_verdict_unless_the_log_was_ignored(
    commands: Make, status: int, said: str, expected: Health
) -> None:
    assert expected is saying(commands(MIB), status, said).check(XFS, full=False)


@pytest.mark.parametrize("status", [2, 4, -11])
def test_another_status_of_xfs_repair_is_a_failure(commands: Make, status: int) -> None:
    with pytest.raises(FilesystemFailed, match="checking xfs"):
        saying(commands(MIB), status).check(XFS, full=False)


# --- growth ---


def test_programs_that_grow_are_told_the_device_or_the_target(commands: Make) -> None:
    tools = Saying(Ended("x", 0, "", ""))
    told = attrs.evolve(commands(MIB), tools=tools)
    told.grow(EXT4, Path("/mnt"))
    told.grow(XFS, Path("/mnt"))
    assert [("resize2fs", told.node.pinned), ("xfs_growfs", "-d", "/mnt")] == tools.ran


def test_growth_that_is_refused_is_a_failure(commands: Make) -> None:
    with pytest.raises(FilesystemFailed, match=r"growing ext4.*status 1.*no space"):
        saying(commands(MIB), 1, "no space").grow(EXT4, Path("/mnt"))


def debugfs(made: Commands, request: str) -> None:
    command = ["/usr/sbin/debugfs", "-w", "-R", request, str(made.node.path)]
    subprocess.run(command, check=True, capture_output=True)
