"""The numbered steps of verification; every refusal carries one of them."""

import enum
from typing import NoReturn

from cloudcrypt.errors import HeaderRefused


class Step(enum.IntEnum):
    """What is checked, in the order in which it is checked.

    Steps 1 to 6 look at bytes and make an `UnverifiedHeader` of them (`parse`); steps 7 to 15
    compare it with the profile and with what the caller expects and make a `VerifiedHeader`
    (`verify`); steps 16 and 17 take the key (`unlock`). No key derivation runs before step 16.
    """

    READ = 1
    """The device holds a LUKS2 header, read once and completely."""
    BINARY = 2
    """Each binary header: magic, version, sizes and offsets; no label; zero padding."""
    CHECKSUM = 3
    """Each copy carries its own SHA-256 checksum."""
    COPIES = 4
    """Both copies agree: sequence id, UUID and JSON, byte for byte."""
    JSON = 5
    """The JSON area equals its own canonical serialisation, byte for byte, padded with zeros."""
    DOCUMENT = 6
    """The document has exactly the objects and fields of the kinds known here, rightly typed."""
    IDENTITY = 7
    """The UUID is well-formed, and the one the caller expects."""
    MODE = 8
    """The mode, with integrity or without, is the caller's."""
    KEYSLOT = 9
    """Exactly keyslot 0: key size, area, anti-forensic splitter."""
    KDF = 10
    """The cost of Argon2id is within the profile, before it is paid."""
    SEGMENT = 11
    """Exactly segment 0: cipher, sector size, offset, size, tweak."""
    DIGEST = 12
    """Exactly digest 0 over keyslot 0 and segment 0, with bounded iterations."""
    TOKEN = 13
    """The seal alone in a sealed header, no token at all in another."""
    CAPACITY = 14
    """The device holds header and payload, and is not smaller than recorded."""
    SEAL = 15
    """The MAC verifies under the key of the volume id and generation that the caller names."""
    UNLOCK = 16
    """The passphrase opens keyslot 0: the volume key matches the digest."""
    XTS_KEY = 17
    """The two halves of the XTS key differ (IEEE 1619)."""


def refuse(step: Step, found: object, expected: object) -> NoReturn:
    """Refuse the header at ``step``.

    Raises:
        HeaderRefused: always.
    """
    raise HeaderRefused(int(step), step.name, found, expected)


def require(step: Step, what: str, found: object, expected: object) -> None:
    """Refuse unless ``found`` is ``expected``, in type and value.

    Raises:
        HeaderRefused: they differ.
    """
    if type(found) is not type(expected) or found != expected:
        refuse(step, {what: found}, expected)
