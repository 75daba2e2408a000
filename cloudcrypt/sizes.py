"""Binary units of size, parsed and printed in one place.

Every size in cloudcrypt is a plain ``int`` of bytes; this module turns it into text and back.
"""

import re

from cloudcrypt.errors import InvalidRequest

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_UNITS = {"": 1, "B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "TIB": TIB}
_SIZE = re.compile(r"([0-9]{1,19})\s*([A-Za-z]{0,3})", re.ASCII)


def parse_size(text: str) -> int:
    """Return the number of bytes that ``text`` names.

    Args:
        text: a whole number with an optional binary unit: ``4096``, ``512MiB``, ``10 GiB``.
            Units are B, KiB, MiB, GiB and TiB (powers of 1024), in any case.

    Returns:
        The size in bytes, at least 1.

    Raises:
        InvalidRequest: the text is not a positive whole number with such a unit. Decimal units
            (GB) are refused rather than guessed.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = _UNITS.get(match[2].upper()) if match else None
    if match is None or factor is None or int(match[1]) == 0:
        raise InvalidRequest("size", text, "a size is a whole number with B, KiB, MiB, GiB or TiB")
    return int(match[1]) * factor


def format_size(size: int) -> str:
    """Return ``size`` bytes in the largest unit that divides it, else with one decimal."""
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= unit:
            return f"{size // unit} {name}" if size % unit == 0 else f"{size / unit:.1f} {name}"
    return f"{size} B"


def round_down(size: int, unit: int) -> int:
    """Return the largest multiple of ``unit`` that is not above ``size``, both in bytes."""
    return size - size % unit


def round_up(size: int, unit: int) -> int:
    """Return the smallest multiple of ``unit`` that is not below ``size``, both in bytes."""
    return -(-size // unit) * unit
