"""A change of header that was cut short leaves exactly one of two headers."""

import functools
import itertools

import attrs
import pytest

from cloudcrypt.errors import HeaderRefused, SealRefused
from cloudcrypt.luks2 import HeaderImage, build, read_header, rewrap, unlock
from cloudcrypt.luks2.recover import Candidate, finish, recover
from cloudcrypt.model import Mode
from cloudcrypt_testing.disks import CutDisk, MemoryDisk, PowerCut, RecordingDisk
from cloudcrypt_testing.mutations import forge, put, secondary_only
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import UUID, SampleVolume, header_keys, repeatable, sample_volume

TEARS = [0, 1, 511, 512, 4096, 4097, 8192, 16383, 16384, 100_000, 258_047, 258_048]
CUTS = list(itertools.product(range(3), TEARS, [False, True]))
COPY_CUTS = list(itertools.product(range(2), [t for t in TEARS if t <= 16384], [False, True]))


@functools.cache
def generations() -> tuple[SampleVolume, SampleVolume]:
    """Return a volume before and after a rotation of its keys."""
    old = sample_volume(CHEAP)
    keys = header_keys(CHEAP, old.volume_id, 2)
    with old.unlock(old.disk()) as unlocked:
        image = rewrap(unlocked, keys, area_offset=290816, randomness=repeatable("rotation"))
    return old, attrs.evolve(old, generation=2, keys=keys, image=image)


def candidate(volume: SampleVolume) -> Candidate:
    assert volume.keys.seal is not None
    return Candidate(volume.expectation, volume.keys.seal)


def goal_first() -> list[Candidate]:
    return [candidate(volume) for volume in reversed(generations())]


def rotated_until(after: int, tear: int, *, lose_unsynced: bool) -> MemoryDisk:
    """Return the disk of a volume whose rotation lost power."""
    old, new = generations()
    disk = old.disk()
    cut = CutDisk(disk, after=after, tear=tear, lose_unsynced=lose_unsynced)
    with pytest.raises(PowerCut):
        new.image.write_to(cut)
    return disk


def settled_as(disk: MemoryDisk) -> SampleVolume:
    """Recover and finish, and return the generation that the volume has from then on."""
    old, new = generations()
    raw = read_header(disk)
    header = recover(raw, CHEAP, goal_first())
    finish(disk, header)
    return {1: old, 2: new}[header.generation]


@pytest.mark.parametrize(("after", "tear", "lose_unsynced"), CUTS)
def test_a_rotation_cut_anywhere_leaves_exactly_one_generation(
    after: int, tear: int, *, lose_unsynced: bool
) -> None:
    disk = rotated_until(after, tear, lose_unsynced=lose_unsynced)
    survivor = settled_as(disk)
    (other,) = {*map(id, generations())} - {id(survivor)}
    gone = next(volume for volume in generations() if id(volume) == other)
    assert survivor.volume_key == survivor.unlock(disk).volume_key
    with pytest.raises(HeaderRefused):
        gone.verify(disk)


@pytest.mark.parametrize(("after", "tear", "lose_unsynced"), CUTS)
def test_recovering_twice_gives_the_same(after: int, tear: int, *, lose_unsynced: bool) -> None:
    disk = rotated_until(after, tear, lose_unsynced=lose_unsynced)
    survivor = settled_as(disk)
    assert survivor is settled_as(disk)
    assert survivor.volume_key == survivor.unlock(disk).volume_key


def test_finishing_writes_everything_again_for_a_flush_may_have_failed_before() -> None:
    old, _ = generations()
    recording = RecordingDisk(old.disk())
    finish(recording, old.verify(recording))
    kinds = [item.kind for item in recording.operations if item.kind != "read"]
    assert ["write", "sync"] * 3 == kinds


@pytest.mark.parametrize(("again", "tear", "lose_unsynced"), COPY_CUTS)
@pytest.mark.parametrize(("after", "first_tear"), [(0, 4096), (1, 0), (1, 8192), (2, 0), (2, 8192)])
def test_finishing_may_be_cut_as_well(
    after: int, first_tear: int, again: int, tear: int, *, lose_unsynced: bool
) -> None:
    disk = rotated_until(after, first_tear, lose_unsynced=False)
    raw = read_header(disk)
    header = recover(raw, CHEAP, goal_first())
    try:
        cut = CutDisk(disk, after=again, tear=tear, lose_unsynced=lose_unsynced)
        finish(cut, header)
    except PowerCut:
        pass
    survivor = settled_as(disk)
    assert header.generation == survivor.generation
    assert survivor.volume_key == survivor.unlock(disk).volume_key


@pytest.mark.parametrize(("after", "tear"), list(itertools.product(range(3), TEARS)))
def test_a_first_format_cut_anywhere_opens_or_is_refused(after: int, tear: int) -> None:
    volume = sample_volume(CHEAP)
    disk = MemoryDisk(volume.disk().size)
    with pytest.raises(PowerCut):
        volume.image.write_to(CutDisk(disk, after=after, tear=tear))
    text_end = len(volume.image.primary.rstrip(b"\0"))  # the rest was zeros before
    is_whole = after == 2 and tear >= text_end
    if is_whole:
        assert volume.volume_key == volume.unlock(disk).volume_key
    else:
        with pytest.raises(HeaderRefused):
            volume.verify(disk)


def test_a_rotation_that_reached_one_whole_copy_goes_forward() -> None:
    disk = rotated_until(2, 0, lose_unsynced=False)
    assert recover(read_header(disk), CHEAP, goal_first()).generation == 2


def test_a_rotation_that_reached_no_whole_copy_goes_back() -> None:
    disk = rotated_until(1, 4097, lose_unsynced=False)
    assert recover(read_header(disk), CHEAP, goal_first()).generation == 1


def test_without_a_change_under_way_copies_that_differ_are_refused() -> None:
    disk = rotated_until(2, 0, lose_unsynced=False)
    for volume in generations():
        with pytest.raises(HeaderRefused):
            volume.verify(disk)


def test_the_key_of_a_recovered_header_opens_it() -> None:
    disk = rotated_until(2, 0, lose_unsynced=False)
    header = recover(read_header(disk), CHEAP, goal_first())
    new = generations()[1]
    assert new.volume_key == unlock(header, new.keys.passphrase).volume_key


def test_a_header_of_neither_candidate_is_refused() -> None:
    stranger = sample_volume(CHEAP, volume_id="local:example/stranger")
    with pytest.raises(SealRefused):
        recover(read_header(stranger.disk()), CHEAP, [candidate(generations()[0])])


@pytest.mark.parametrize("size", [0, 255])
def test_a_disk_without_any_header_is_refused_and_not_taken_for_a_change(size: int) -> None:
    disk = MemoryDisk(32 * 1024 * 1024)
    disk.write(0, bytes([size]) * 32768)
    with pytest.raises(HeaderRefused):
        recover(read_header(disk), CHEAP, goal_first())


def test_a_forged_copy_is_passed_over_and_overwritten() -> None:
    old = generations()[0]
    disk = forge(old.image, secondary_only(put("segments/0/encryption", "null")))
    assert old is settled_as(disk)
    assert old.volume_key == old.unlock(disk).volume_key


@pytest.mark.parametrize("newer_is_secondary", [False, True])
def test_of_two_copies_of_one_candidate_the_newer_is_taken(*, newer_is_secondary: bool) -> None:
    old = generations()[0]

    def image(seqid: int) -> HeaderImage:
        return build(
            CHEAP,
            Mode.CRYPT,
            UUID,
            old.volume_key,
            old.keys,
            seqid=seqid,
            randomness=repeatable("same area"),
        )

    older, newer = image(3), image(4)
    disk = MemoryDisk(32 * 1024 * 1024)
    newer.write_to(disk)
    disk.write(0, older.primary) if newer_is_secondary else disk.write(16384, older.secondary)
    raw = read_header(disk)
    header = recover(raw, CHEAP, [candidate(old)])
    assert header.seqid == 4
    finish(disk, header)
    assert old.verify(disk).seqid == 4
