"""Sizes: whole numbers of binary units, in and out."""

import pytest

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.sizes import GIB, KIB, MIB, TIB, format_size, parse_size, round_down, round_up


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("1B", 1),
        ("1KiB", KIB),
        ("512MiB", 512 * MIB),
        ("10 GiB", 10 * GIB),
        (" 2tib ", 2 * TIB),
        ("3 mib", 3 * MIB),
        ("007", 7),
    ],
)
def test_a_whole_number_with_a_binary_unit_is_a_size(text: str, size: int) -> None:
    assert size == parse_size(text)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0 GiB", "-1", "+1", "1.5GiB", "1 GB", "1K", "1Gi", "GiB", "1 2", "1e3", "٣ GiB",
     "1 GiB GiB", "0x10", "1" * 20, "inf"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse_size(text)
    assert refusal.value.parameter == "size"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (KIB, "1 KiB"),
        (1536, "1.5 KiB"),
        (16 * MIB, "16 MiB"),
        (10 * GIB, "10 GiB"),
        (10 * GIB + 512 * MIB, "10.5 GiB"),
        (256 * TIB, "256 TiB"),
    ],
)
def test_a_size_is_shown_in_its_largest_unit(size: int, text: str) -> None:
    assert text == format_size(size)


@pytest.mark.parametrize(
    ("size", "down", "up"),
    [(0, 0, 0), (1, 0, 512), (511, 0, 512), (512, 512, 512), (513, 512, 1024)],
)
def test_rounding_goes_to_multiples(size: int, down: int, up: int) -> None:
    assert (down, up) == (round_down(size, 512), round_up(size, 512))
