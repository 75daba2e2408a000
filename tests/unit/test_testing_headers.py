"""The hostile headers that other tests rely on are genuine but for what was attacked."""

import hashlib

import pytest

from cloudcrypt.disk import read
from cloudcrypt.luks2 import layout
from cloudcrypt.profiles import Profile
from cloudcrypt_testing.headers import FIELDS, Forgery
from cloudcrypt_testing.mutations import (
    chain,
    drop,
    duplicate,
    field,
    forge,
    primary_only,
    put,
    rename,
    reorder,
    secondary_only,
    text,
)
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import sample_volume

IMAGE = sample_volume(CHEAP).image


def test_a_header_taken_apart_and_put_together_is_the_same() -> None:
    assert IMAGE.to_bytes() == read(forge(IMAGE), 0, layout.DATA_OFFSET)


def test_a_mutation_changes_the_document_and_the_checksum_and_nothing_else() -> None:
    forged = Forgery.of(IMAGE)
    put("segments/0/offset", "0")(forged)
    genuine = Forgery.of(IMAGE)
    for mine, theirs in zip(genuine.copies, forged.copies, strict=True):
        before, after = mine.to_bytes(), theirs.to_bytes()
        assert before[:448] == after[:448]
        assert before[512:4096] == after[512:4096]
        expected = mine.document()
        expected["segments"]["0"]["offset"] = "0"
        assert expected == theirs.document()
    assert genuine.area == forged.area


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
def test_the_checksum_is_by_the_algorithm_that_is_stated(name: str) -> None:
    forged = Forgery.of(IMAGE)
    field("checksum_alg", name.encode())(forged)
    copy = forged.primary.to_bytes()
    blanked = copy[:448] + bytes(64) + copy[512:]
    expected = hashlib.new(name, blanked).digest().ljust(64, b"\0")
    offset, length = FIELDS["csum"]
    assert expected == copy[offset : offset + length]


@pytest.mark.parametrize("which", ["primary", "secondary"])
def test_one_copy_alone_can_be_attacked(which: str) -> None:
    mutation = {"primary": primary_only, "secondary": secondary_only}[which]
    forged = Forgery.of(IMAGE)
    mutation(chain(put("config/evil", 1), field("seqid", 9)))(forged)
    genuine = Forgery.of(IMAGE)
    changed = {
        "primary": forged.primary != genuine.primary,
        "secondary": forged.secondary != genuine.secondary,
    }
    assert {"primary": which == "primary", "secondary": which == "secondary"} == changed


def test_keys_keep_their_place_when_renamed_and_are_reversed_when_reordered() -> None:
    forged = Forgery.of(IMAGE)
    chain(rename("tokens", "other"), reorder("config"), duplicate("digests/0", "1"))(forged)
    document = forged.primary.document()
    assert ["keyslots", "other", "segments", "digests", "config"] == list(document)
    assert ["keyslots_size", "json_size"] == list(document["config"])
    assert document["digests"]["0"] == document["digests"]["1"]
    drop("other")(forged)
    assert "other" not in forged.secondary.document()


def test_a_text_that_is_not_there_is_a_mistake_of_the_test() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        forge(IMAGE, text("nowhere", "x"))


def test_fields_cover_the_binary_header_without_gaps() -> None:
    end = 0
    for offset, length in FIELDS.values():
        assert end == offset
        end += length
    assert layout.BINARY_SIZE == end


@pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=lambda p: p.name)
def test_a_sample_volume_is_the_same_every_time(profile: Profile) -> None:
    assert sample_volume(profile).image == sample_volume(profile).image
    assert sample_volume(profile).image != sample_volume(profile, seed="other").image
