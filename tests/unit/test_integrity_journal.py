"""The journal: what is written parses, and what parses is what a kernel would replay."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudcrypt.disk import read
from cloudcrypt.errors import JournalRefused
from cloudcrypt.integrity import Geometry
from cloudcrypt.integrity.initialise import write_journal_and_superblock
from cloudcrypt.integrity.journal import Entry, Journal, Position, parse, section_bytes
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.volumes import repeatable
from tests.unit import integrity_facts as facts
from tests.unit.protected import capacity_for, filled

SECTORS = 100
NOISE = repeatable("ciphertext")(40 * 4096)
Ring = Sequence[Sequence[int]]


def entry(sector: int, version: int = 0) -> facts.Entry:
    """Return a sector as an entry; journals do not look at tags."""
    return sector * 8, filled(1000 * sector + version), bytes([version]) * 32


def journal_of(images: Sequence[bytes | bytearray], sectors: int = SECTORS) -> Journal:
    geometry = Geometry(len(images), sectors * 8)
    return parse("vol", memoryview(b"".join(images)), geometry)


def whole(number: int) -> list[int]:
    return [number] * facts.SECTION_UNITS


def torn(new: int, old: int, units: int) -> list[int]:
    """Return a section of which so many units have arrived."""
    return [new] * units + [old] * (facts.SECTION_UNITS - units)


def journal_with(ring: Ring) -> Journal:
    """Return what is read where each section has one entry, for the sector of its number."""
    return journal_of(
        [facts.section_image(i, numbers, [entry(i)]) for i, numbers in enumerate(ring)]
    )


# --- sections ---


@pytest.mark.parametrize("sequence", range(facts.SEQUENCES))
@pytest.mark.parametrize("section", [0, 1, 495])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 31, 32])
def test_a_section_is_that_of_the_formulas(section: int, sequence: int, count: int) -> None:
    ciphers = [NOISE[n * 4096 : (n + 1) * 4096] for n in range(count)]
    entries = [(n * 17, memoryview(cipher), bytes([n]) * 32) for n, cipher in enumerate(ciphers)]
    expected = facts.section_image(
        section, whole(sequence), [(n * 8, bytes(c), t) for n, c, t in entries]
    )
    assert expected == section_bytes(Position(section, sequence), entries)


@given(st.lists(st.tuples(st.integers(0, SECTORS - 1), st.integers(0, 7)), max_size=32))
@settings(max_examples=40)
def test_entries_that_are_written_are_read(written: list[tuple[int, int]]) -> None:
    entries = [
        (sector, memoryview(NOISE)[at * 4096 : (at + 1) * 4096], bytes([at]) * 32)
        for sector, at in written
    ]
    found = journal_of([section_bytes(Position(0, 1), entries)])
    assert [Entry(sector, bytes(cipher), tag) for sector, cipher, tag in entries] == list(
        found.entries
    )
    assert found.whole
    assert found.is_clean is (not written)


def test_a_fresh_journal_is_whole_and_empty_and_that_of_the_formulas() -> None:
    capacity = capacity_for(sections=3, sectors=5)
    disk, geometry = MemoryDisk(capacity), Geometry.of(capacity, 3)
    write_journal_and_superblock(disk, geometry)
    expected = b"".join(facts.section_image(i, whole(0)) for i in range(3))
    content = read(disk, geometry.section_offset(0), len(expected))
    assert expected == content
    assert parse("vol", memoryview(content), geometry).is_clean


def test_every_unit_of_a_journal_has_a_commit_id_of_its_own() -> None:
    found = {
        bytes(section_bytes(Position(section, sequence))[at + 504 : at + 512])
        for section in range(3)
        for sequence in range(4)
        for at in range(0, facts.SECTION, 512)
    }
    assert 3 * 4 * facts.SECTION_UNITS == len(found)


@pytest.mark.parametrize(
    ("position", "after"),
    [((0, 0), (1, 0)), ((1, 3), (2, 3)), ((2, 0), (0, 1)), ((2, 3), (0, 0))],
)
def test_the_ring_goes_on_with_the_next_number_after_its_end(
    position: tuple[int, int], after: tuple[int, int]
) -> None:
    assert Position(*after) == Position(*position).after(3)


# --- which sections are replayed ---


@pytest.mark.parametrize("sequence", range(facts.SEQUENCES))
@pytest.mark.parametrize("newest", range(5))
def test_a_ring_is_replayed_from_its_oldest_section_whatever_its_numbers(
    sequence: int, newest: int
) -> None:
    before = (sequence + 3) % 4
    ring = [whole(sequence if i <= newest else before) for i in range(5)]
    found = journal_with(ring)
    order = [*range(newest + 1, 5), *range(newest + 1)]
    assert order == [item.sector for item in found.entries]
    assert found.whole
    # The next section is the oldest one, with the number that follows its own.
    follows = ring[order[0]][0] + 1
    assert Position(order[0], follows % 4) == found.position


@pytest.mark.parametrize("units", [1, 7, 8, 9, 100, facts.SECTION_UNITS - 1])
@pytest.mark.parametrize("sequence", range(facts.SEQUENCES))
@pytest.mark.parametrize("at", range(4))
def test_a_section_that_was_torn_does_not_count_and_ends_the_replay(
    at: int, sequence: int, units: int
) -> None:
    before = (sequence + 3) % 4
    ring = [whole(sequence) for _ in range(at)]
    ring += [torn(sequence, before, units)]
    ring += [whole(before) for _ in range(3 - at)]
    found = journal_with(ring)
    assert [*range(at + 1, 4), *range(at)] == [item.sector for item in found.entries]
    assert not found.whole
    assert not found.is_clean


def test_a_ring_of_one_section_is_replayed_if_it_is_whole() -> None:
    for sequence in range(4):
        assert [0] == [item.sector for item in journal_with([whole(sequence)]).entries]
        before = (sequence + 3) % 4
        found = journal_with([torn(sequence, before, 9)])
        assert ((), False) == (found.entries, found.whole)


NUMBERS = st.integers(0, 3)


@st.composite
def rings(draw: st.DrawFn) -> list[list[int]]:
    """Draw a ring: one that a crash can leave, or one of any numbers at all."""
    count = draw(st.integers(1, 6))
    if draw(st.booleans()):
        sequence, newest = draw(NUMBERS), draw(st.integers(0, count - 1))
        ring = [whole(sequence if i <= newest else (sequence + 3) % 4) for i in range(count)]
    else:
        pool = draw(st.lists(NUMBERS, min_size=1, max_size=4))
        ring = [whole(draw(st.sampled_from(pool))) for _ in range(count)]
    for index in draw(st.lists(st.integers(0, count - 1), max_size=2)):
        ring[index] = torn(draw(NUMBERS), ring[index][-1], draw(st.integers(0, 264)))
    return ring


@given(rings())
@settings(max_examples=300)
def test_any_ring_is_replayed_as_a_kernel_would(ring: list[list[int]]) -> None:
    expected = facts.replay_order(ring)
    if expected is None:
        with pytest.raises(JournalRefused, match="all four sequence numbers"):
            journal_with(ring)
        return
    found = journal_with(ring)
    assert expected == [item.sector for item in found.entries]
    if found.whole:  # then writing may go on: the ring must stay one that is replayed whole
        numbers = [section[0] for section in ring]
        numbers[found.position.section] = found.position.sequence
        order = facts.replay_order([whole(number) for number in numbers])
        assert order is not None
        assert (len(ring), found.position.section) == (len(order), order[-1])


@pytest.mark.parametrize(
    "ring",
    [
        [whole(0), whole(1), whole(2), whole(3)],
        [torn(0, 1, 7), torn(2, 3, 100)],
        [[unit % 4 for unit in range(facts.SECTION_UNITS)]],
    ],
    ids=["sections", "torn", "one section"],
)
def test_a_ring_in_which_all_four_numbers_are_in_use_is_refused(ring: Ring) -> None:
    assert facts.replay_order(ring) is None
    with pytest.raises(JournalRefused, match="all four sequence numbers are in use"):
        journal_with(ring)


def test_numbers_that_say_that_nothing_was_committed_replay_nothing() -> None:
    # As a clearing that was cut leaves it: the newest has 2, the others were set to 0.
    ring = [whole(0), whole(2), whole(0)]
    assert [] == facts.replay_order(ring)
    assert () == journal_with(ring).entries


# --- which entries count ---


def test_of_two_entries_for_a_sector_the_later_one_comes_last() -> None:
    images = [
        facts.section_image(0, whole(1), [entry(5, 3), entry(6), entry(5, 4)]),
        facts.section_image(1, whole(0), [entry(5, 1)]),
        facts.section_image(2, whole(0), [entry(5, 2)]),
    ]
    found = [(item.sector, item.tag[0]) for item in journal_of(images).entries]
    assert [(5, 1), (5, 2), (5, 3), (6, 0), (5, 4)] == found
    final = {item.sector: item.cipher for item in journal_of(images).entries}
    assert final[5] == entry(5, 4)[1]


def test_entries_that_are_not_used_are_passed_over_wherever_they_are() -> None:
    image = facts.section_image(0, whole(1), [None, entry(1), None, None, entry(2)])
    assert [1, 2] == [item.sector for item in journal_of([image]).entries]


@pytest.mark.parametrize("low", [0, 8, 0xFFFFFFFF])
def test_the_upper_half_of_a_sector_number_alone_says_that_an_entry_is_not_used(low: int) -> None:
    unit = 0xFFFFFFFF << 32 | low
    image = facts.section_image(0, whole(1), [(unit, filled(1), bytes(32))])
    assert () == journal_of([image]).entries


@pytest.mark.parametrize("unit", [SECTORS * 8, SECTORS * 8 + 8, 1 << 40, 0xFFFFFFFE << 32])
def test_entries_beyond_the_payload_are_passed_over_as_the_kernel_does(unit: int) -> None:
    image = facts.section_image(0, whole(1), [(unit, filled(1), bytes(32)), entry(3)])
    assert [3] == [item.sector for item in journal_of([image]).entries]


@pytest.mark.parametrize("unit", [1, 4, 7, 9, SECTORS * 8 - 1])
def test_an_entry_for_no_whole_sector_is_refused(unit: int) -> None:
    images = [facts.section_image(0, whole(0)), facts.section_image(1, whole(0), [entry(0)])]
    images[1] = facts.section_image(1, whole(0), [entry(0), (unit, filled(1), bytes(32))])
    with pytest.raises(JournalRefused, match="entry 1 is for no sector") as refusal:
        journal_of(images)
    assert ("vol", 1) == (refusal.value.volume, refusal.value.section)


def test_an_entry_for_no_sector_in_a_section_that_does_not_count_does_no_harm() -> None:
    images = [
        facts.section_image(0, torn(1, 0, 9), [(3, filled(1), bytes(32))]),
        facts.section_image(1, whole(0), [entry(4)]),
    ]
    assert [4] == [item.sector for item in journal_of(images).entries]


@given(st.integers(0, 2), st.integers(0, 263), st.integers(0, 63))
@settings(max_examples=60)
def test_a_commit_id_with_any_bit_changed_is_refused(section: int, unit: int, bit: int) -> None:
    images = [facts.section_image(i, whole(2), [entry(i)]) for i in range(3)]
    images[section][unit * 512 + 504 + bit // 8] ^= 1 << bit % 8
    with pytest.raises(JournalRefused, match="a commit id is damaged") as refusal:
        journal_of(images)
    assert section == refusal.value.section


def test_sections_that_were_exchanged_are_refused() -> None:
    images = [facts.section_image(i, whole(2), [entry(i)]) for i in range(2)]
    with pytest.raises(JournalRefused, match="a commit id is damaged"):
        journal_of(images[::-1])


def test_a_journal_of_zeros_is_refused() -> None:
    with pytest.raises(JournalRefused, match="a commit id is damaged"):
        journal_of([bytes(facts.SECTION)])
