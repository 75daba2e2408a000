"""The power goes at every write of a volume's life on a real kernel: it is new, or whole.

One virtual machine formats, uses, rotates and grows a volume of each mode, and QEMU records all
that reaches the disks. Every prefix of that is looked at in user space, together with the ledger as
it was then, and so are states in which some of what was not flushed is lost. Some of them get a
virtual machine that boots on them: ``CLOUDCRYPT_POWER_BOOTS`` says how many.
"""

import os
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import read
from cloudcrypt.model import Mode
from cloudcrypt_testing.vm import VM, google_disk
from tests.kernel.guest.power_recording import GROWN, SIZE
from tests.kernel.power_moments import Moment, Recording
from tests.kernel.power_userspace import UNFORMATTED, Tried, check, check_share

BOOTS = int(os.environ.get("CLOUDCRYPT_POWER_BOOTS", "20"))
AT_ONCE = 2
"""Virtual machines, or processes, that check at the same time."""

GUEST = "tests.kernel.guest"
FACTS = {"vendor": "Google"}
TIMEOUT = 600.0
"""Seconds for one call; a host with nothing else to do takes a twentieth of it."""

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Return what prints a line, captured or not."""

    def said(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="")  # noqa: T201 - how much was tried

    return said


@pytest.fixture(scope="module")
def recordings(
    new_vm: Callable[..., VM], tmp_path_factory: pytest.TempPathFactory
) -> dict[Mode, Recording]:
    """Return the life of a volume of each mode."""
    folder = tmp_path_factory.mktemp("lives")
    with new_vm(name="living") as vm:
        return {mode: recorded_life(vm, mode, folder) for mode in Mode}


def recorded_life(vm: VM, mode: Mode, folder: Path) -> Recording:
    """Let a volume live on a disk of its own; return what was written to that."""
    image, log = folder / f"{mode.value}.img", folder / f"{mode.value}.log"
    with image.open("xb") as file:
        file.truncate(SIZE)
    disk = vm.plug(google_disk(mode.value), image, log=log)
    live = partial(vm.python, f"{GUEST}.power_recording:lived", FACTS, mode.value, timeout=TIMEOUT)
    before = live([])
    disk.resize(GROWN)
    after = live(before)
    disk.unplug()
    return Recording.read(mode, log, [before, after])


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_whenever_the_power_goes_a_volume_is_new_or_whole(
    recordings: dict[Mode, Recording], say: Say, mode: Mode
) -> None:
    recording = recordings[mode]
    begin = time.monotonic()
    tried = {"prefixes": Tried(), "losses": Tried()}
    shares = [range(number, 10**9, AT_ONCE) for number in range(AT_ONCE)]
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as workers:
        for found in workers.map(check_share, [recording] * AT_ONCE, shares):
            for kind, part in found:
                tried[kind].add(part)
    writes = sum(entry.length > 0 for entry in recording.log.entries)
    say(
        f"{mode.value}: {writes} writes and {recording.log.flushes} flushes in "
        f"{len(recording.steps)} steps; {time.monotonic() - begin:.0f} s in user space"
    )
    for kind, counted in tried.items():
        say(f"{kind}: {counted}")
    prefixes, losses = tried.values()
    assert prefixes.moments >= writes + 1  # with each step that may be the last one
    for counted in (prefixes, losses):
        assert counted.moments == counted.new + counted.whole + counted.unknown
        assert min(counted.new, counted.filesystems, counted.files) > 0
    assert losses.moments > recording.log.flushes


@pytest.mark.parametrize("mode", Mode, ids=lambda mode: mode.value)
def test_what_was_not_written_yet_would_be_missed(
    recordings: dict[Mode, Recording], tmp_path: Path, mode: Mode
) -> None:
    recording = recordings[mode]
    later = {step.what: step for step in reversed(recording.steps)}
    early = [moment for moment in recording.prefixes() if moment.step is later["mount"]][:1]
    for moment in early:
        check(moment, tmp_path)
        for what in ("created small", "files synced", "rotate"):
            with pytest.raises(AssertionError, match=what):
                check(attrs.evolve(moment, step=later[what]), tmp_path)
    assert early


def test_virtual_machines_boot_on_what_is_left(
    recordings: dict[Mode, Recording], new_vm: Callable[..., VM], say: Say, tmp_path: Path
) -> None:
    begin = time.monotonic()
    half = BOOTS // 2
    chosen = recordings[Mode.CRYPT].chosen(half) + recordings[Mode.INTEGRITY].chosen(BOOTS - half)
    with ThreadPoolExecutor(AT_ONCE) as workers:
        found = list(workers.map(partial(booted, new_vm, tmp_path), range(BOOTS), chosen))
    lost = sum(bool(moment.state.lost) for moment in chosen)
    say(
        f"{BOOTS} boots, {lost} after something was lost that was not flushed: "
        f"{found.count('new')} new and {found.count('whole')} whole; "
        f"{time.monotonic() - begin:.0f} s"
    )
    assert found == [expected(moment) for moment in chosen]


def expected(moment: Moment) -> str:
    record = moment.step.record
    return "new" if record is None or record.state in UNFORMATTED else "whole"


def booted(new_vm: Callable[..., VM], folder: Path, number: int, moment: Moment) -> str:
    """Boot a virtual machine, and let it check what a moment has left."""
    with new_vm(name=f"boot-{number}", cpus=2) as vm:
        return checked(vm, moment, folder / str(number))


def checked(vm: VM, moment: Moment, image: Path) -> str:
    """Let the kernel check what a moment has left; return whether it is new or whole."""
    step = moment.step
    with plugged(vm, moment, image):
        found: str = vm.python(
            f"{GUEST}.power_checking:check",
            FACTS,
            step.stored,
            step.files,
            is_grown=step.size == GROWN,
            timeout=TIMEOUT,
        )
    return found


@contextmanager
def plugged(vm: VM, moment: Moment, image: Path) -> Generator[None]:
    """Plug in a disk with what a moment has left; at the end it is pulled out and forgotten."""
    content = moment.disk()
    with image.open("xb") as file:
        file.truncate(content.size)
        for begin, end in content.extents(0, content.size):
            file.seek(begin)
            file.write(read(content, begin, end - begin))
    disk = vm.plug(google_disk("left"), image)
    try:
        yield
    except Exception as error:
        error.add_note(str(moment))
        raise
    disk.unplug()
    image.unlink()
