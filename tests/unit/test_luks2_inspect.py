"""The report for people: every deviation is shown, and nothing that is found raises."""

import pytest

from cloudcrypt.luks2 import layout, read_header
from cloudcrypt.luks2.inspect import inspect
from cloudcrypt.luks2.parse import RawHeader
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES, Profile
from cloudcrypt_testing.mutations import forge, put
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import sample_volume
from tests.unit.attacks.model import Attack, genuine
from tests.unit.attacks.table import CASES

VISIBLE = [
    pytest.param(attack, policy, id=f"{attack.row} {attack.name[:60]} ({policy.value})")
    for attack, policy in CASES
    if attack.step.value < 13
    and attack.row not in {10, 11, 31, 36, 42, 54}
    # A rule of two fields at once.
    and attack.name != "less memory than 8 KiB a lane"
]


@pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=lambda p: p.name)
@pytest.mark.parametrize("mode", Mode)
def test_a_genuine_header_agrees_in_every_field(profile: Profile, mode: Mode) -> None:
    report = inspect(read_header(sample_volume(profile, mode).disk()), profile)
    assert [field for field in report.fields if not field.agrees] == []
    assert report.agrees
    assert (mode, profile.name) == (report.mode, report.profile)


@pytest.mark.parametrize(("attack", "policy"), VISIBLE)
def test_what_can_be_seen_without_a_key_is_reported(attack: Attack, policy: KeyPolicy) -> None:
    disk = forge(genuine(policy, attack.mode).image, attack.mutation)
    report = inspect(read_header(disk), PROFILES[policy])
    assert not report.agrees


@pytest.mark.parametrize("content", [b"\0", b"\xff", b"{", b"LUKS\xba\xbe\0\2"])
def test_any_bytes_have_a_report(content: bytes) -> None:
    raw = RawHeader("noise", layout.DEVICE_MIN, (content * layout.READ_SIZE)[: layout.READ_SIZE])
    assert not inspect(raw, CHEAP).agrees


def test_a_deviation_says_what_was_found_and_what_is_wanted() -> None:
    volume = sample_volume(CHEAP)
    disk = forge(volume.image, put("segments/0/encryption", "aes-ecb"))
    deviations = [f for f in inspect(read_header(disk), CHEAP).fields if not f.agrees]
    (field,) = deviations
    assert ("segments.0.encryption", "'aes-ecb'", "'aes-xts-plain64'") == (
        field.path,
        field.found,
        field.expected,
    )


def test_hostile_names_and_values_are_shown_as_ascii_on_one_line() -> None:
    volume = sample_volume(CHEAP)
    disk = forge(volume.image, put("\x1b[2J\n", "\x1b[2J\n" * 1000))
    report = inspect(read_header(disk), CHEAP)
    texts = [text for f in report.fields for text in (f.path, f.found, f.expected)]
    assert all(text.isascii() and text.isprintable() and len(text) < 200 for text in texts)


def test_the_number_of_fields_is_bounded() -> None:
    volume = sample_volume(CHEAP)
    disk = forge(volume.image, put("tokens", {str(number): 0 for number in range(1000)}))
    assert len(inspect(read_header(disk), CHEAP).fields) < 700
