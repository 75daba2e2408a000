"""No byte of a sealed header can change: not one of its copies, not one of its keyslot area."""

import functools
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudcrypt.errors import HeaderRefused
from cloudcrypt.luks2 import RawHeader, Step, layout, parse, read_header, unlock, verify
from cloudcrypt.model import Mode
from cloudcrypt_testing.headers import FIELDS, Forgery
from cloudcrypt_testing.mutations import forge
from cloudcrypt_testing.profiles import CHEAP
from cloudcrypt_testing.volumes import SampleVolume, sample_volume

SALT = range(104, 168)
CHECKSUM = range(448, 512)
MODES = st.sampled_from(list(Mode))
CHANGES = st.integers(1, 255)


@functools.cache
def genuine(mode: Mode) -> tuple[SampleVolume, bytes]:
    """Return a sealed volume and what is read of its header."""
    volume = sample_volume(CHEAP, mode)
    return volume, read_header(volume.disk()).content


def check(mode: Mode, content: bytes) -> None:
    """Verify ``content`` as the header of the genuine volume."""
    volume, _ = genuine(mode)
    raw = RawHeader("changed", layout.DEVICE_MIN, content)
    verify(parse(raw), CHEAP, volume.expectation, volume.keys.seal)


def changed(mode: Mode, offset: int, change: int) -> bytes:
    content = bytearray(genuine(mode)[1])
    content[offset] ^= change
    return bytes(content)


def changed_in_both_copies(mode: Mode, offset: int, change: int) -> bytes:
    """Change a byte of each copy and make the checksums right again."""
    forgery = Forgery.of(genuine(mode)[0].image)
    for copy in forgery.copies:
        whole = bytearray(copy.binary + copy.json_area)
        whole[offset] ^= change
        copy.binary, copy.json_area = whole[: layout.BINARY_SIZE], bytes(whole[4096:])
    content = genuine(mode)[1]
    copies = forgery.primary.to_bytes() + forgery.secondary.to_bytes()
    return copies + content[layout.KEYSLOTS_OFFSET :]


def test_every_byte_of_both_copies_counts() -> None:
    for offset in range(layout.KEYSLOTS_OFFSET):
        with pytest.raises(HeaderRefused):
            check(Mode.CRYPT, changed(Mode.CRYPT, offset, 1 + offset % 255))


@given(MODES, st.integers(0, layout.KEYSLOTS_OFFSET - 1), CHANGES)
def test_any_change_of_a_byte_of_a_copy_is_refused(mode: Mode, offset: int, change: int) -> None:
    with pytest.raises(HeaderRefused) as refusal:
        check(mode, changed(mode, offset, change))
    assert refusal.value.step <= Step.COPIES


@given(MODES, st.data())
def test_any_change_of_a_byte_of_the_keyslot_area_breaks_the_seal(
    mode: Mode, data: st.DataObject
) -> None:
    image = genuine(mode)[0].image
    offset = data.draw(st.integers(0, len(image.area) - 1))
    content = changed(mode, image.area_offset + offset, data.draw(CHANGES))
    with pytest.raises(HeaderRefused) as refusal:
        check(mode, content)
    assert Step.SEAL == refusal.value.step


@given(MODES, st.integers(0, layout.METADATA_SIZE - 1), CHANGES)
def test_correct_checksums_do_not_help_whoever_changes_a_byte(
    mode: Mode, offset: int, change: int
) -> None:
    if offset in SALT or offset in CHECKSUM:
        return
    with pytest.raises(HeaderRefused):
        check(mode, changed_in_both_copies(mode, offset, change))


@pytest.mark.parametrize("mode", Mode)
def test_with_correct_checksums_the_salts_of_the_copies_alone_are_free(mode: Mode) -> None:
    text_end = len(genuine(mode)[0].image.primary.rstrip(b"\0")) + 1
    free = set()
    for offset in itertools.chain(range(text_end), [16000, 16383]):
        if offset in CHECKSUM:  # what is made right again cannot be changed
            continue
        try:
            check(mode, changed_in_both_copies(mode, offset, 1))
            free.add(offset)
        except HeaderRefused:
            pass
    assert set(SALT) == free


@given(st.binary(min_size=64, max_size=64), st.binary(min_size=64, max_size=64))
@example(bytes(64), b"\xff" * 64)
def test_a_volume_opens_whatever_the_salts_of_its_copies(primary: bytes, secondary: bytes) -> None:
    volume, _ = genuine(Mode.CRYPT)
    offset, length = FIELDS["salt"]

    def salted(forgery: Forgery) -> None:
        forgery.primary.binary[offset : offset + length] = primary
        forgery.secondary.binary[offset : offset + length] = secondary

    with unlock(volume.verify(forge(volume.image, salted)), volume.keys.passphrase) as unlocked:
        assert volume.volume_key == unlocked.volume_key


@given(st.integers(layout.KEYSLOTS_OFFSET + 385024, layout.READ_SIZE - 1), CHANGES)
def test_what_is_not_in_use_of_the_keyslots_space_is_not_looked_at(
    offset: int, change: int
) -> None:
    check(Mode.INTEGRITY, changed(Mode.INTEGRITY, offset, change))
