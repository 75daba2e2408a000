"""Named encryption profiles: every number that a header is held to, with its source.

A profile is data. `CLOUDCRYPT_V1` is what is written; `CONSTELLATION` is what is also read, for
volumes that Constellation or libcryptsetup wrote with the same parameters.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.sizes import KIB, TIB

SECTOR_SIZE = 4096
"""Bytes of an encryption sector. Source: the documented profile of Constellation."""

XTS_RECOMMENDED = 1 * TIB
"""Bytes under one XTS key above which a warning is given. Source: IEEE 1619."""

XTS_LIMIT = 256 * TIB
"""Bytes under one XTS key above which a volume is refused. Source: IEEE 1619."""


@attrs.frozen
class Bounds:
    """An inclusive range of numbers."""

    least: int
    most: int

    @classmethod
    def exactly(cls, value: int) -> "Bounds":
        """Return the range that holds ``value`` alone."""
        return cls(value, value)

    def __contains__(self, value: int) -> bool:
        """Say whether ``value`` is within the range."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        """Return the range for a message."""
        return str(self.least) if self.least == self.most else f"{self.least}..{self.most}"


@attrs.frozen
class Layout:
    """Sizes of one mode, all in bytes.

    ``area_size`` is 4000 stripes of the volume key rounded up to 4096 (cryptsetup,
    luks2_json_format.c). The alternate area is used by rotation and rebinding and starts where
    the first one ends.
    """

    key_size: int
    area_size: int
    area_offset: int = 32 * KIB

    @property
    def alternate_offset(self) -> int:
        """Byte offset of the alternate keyslot area."""
        return self.area_offset + self.area_size

    def other_offset(self, offset: int) -> int:
        """Return the offset of the area that is not the one at ``offset``."""
        return self.area_offset if offset == self.alternate_offset else self.alternate_offset


LAYOUTS: Mapping[Mode, Layout] = MappingProxyType(
    {
        Mode.CRYPT: Layout(key_size=64, area_size=258048),
        Mode.INTEGRITY: Layout(key_size=96, area_size=385024),
    }
)


@attrs.frozen
class Argon2idCost:
    """The cost of one Argon2id run; ``memory`` in KiB, ``lanes`` is what LUKS2 calls cpus."""

    time: int
    memory: int
    lanes: int


@attrs.frozen
class Profile:
    """What a header may be.

    ``write`` and ``write_digest_iterations`` are what we write; the bounds are what is read. The
    bounds are checked before any key derivation runs, so that a hostile header costs nothing.
    ``sealed`` says that the header carries exactly one token, the seal, and may use the alternate
    keyslot area.
    """

    name: str
    source: str
    sealed: bool
    write: Argon2idCost
    write_digest_iterations: int
    time: Bounds
    memory: Bounds
    lanes: Bounds
    digest_iterations: Bounds


RFC_9106_LOW_MEMORY = Argon2idCost(time=3, memory=64 * KIB, lanes=4)
"""The second recommended option of RFC 9106, section 4: t=3, m=64 MiB, p=4."""

DIGEST_ITERATIONS_MIN = 1000
"""The minimum of libcryptsetup for PBKDF2. It suffices: what is digested is a random key."""

CLOUDCRYPT_V1 = Profile(
    name="cloudcrypt/v1",
    source="Constellation's documented profile, to the letter",
    sealed=True,
    write=RFC_9106_LOW_MEMORY,
    write_digest_iterations=DIGEST_ITERATIONS_MIN,
    time=Bounds.exactly(RFC_9106_LOW_MEMORY.time),
    memory=Bounds.exactly(RFC_9106_LOW_MEMORY.memory),
    lanes=Bounds.exactly(RFC_9106_LOW_MEMORY.lanes),
    digest_iterations=Bounds.exactly(DIGEST_ITERATIONS_MIN),
)
"""What cloudcrypt writes for the policy ``bound``; read back exactly."""

CONSTELLATION = Profile(
    name="constellation",
    source="what libcryptsetup makes of Constellation's profile: it benchmarks the time cost "
    "upwards and the lanes downwards",
    sealed=False,
    write=RFC_9106_LOW_MEMORY,
    write_digest_iterations=DIGEST_ITERATIONS_MIN,
    time=Bounds(3, 64),
    memory=Bounds(8, 64 * KIB),
    lanes=Bounds(1, 4),
    digest_iterations=Bounds(DIGEST_ITERATIONS_MIN, 4194304),
)
"""What is written and read for the policy ``constellation``."""

PROFILES: Mapping[KeyPolicy, Profile] = MappingProxyType(
    {KeyPolicy.BOUND: CLOUDCRYPT_V1, KeyPolicy.CONSTELLATION: CONSTELLATION}
)
