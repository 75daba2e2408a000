"""Sample volumes: everything that is known of a volume, made at once and the same every time."""

import hashlib
import itertools
from collections.abc import Callable

import attrs

from cloudcrypt.disk import Disk
from cloudcrypt.luks2 import (
    HeaderImage,
    HeaderKeys,
    UnlockedVolume,
    VerifiedHeader,
    build,
    derive,
    new_volume_key,
    parse,
    read_header,
    unlock,
    verify,
)
from cloudcrypt.model import Expectation, Mode
from cloudcrypt.profiles import Profile
from cloudcrypt.secret import Secret
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.headers import DEVICE_SIZE

VOLUME_ID = "local:example/vol-1"
DATA_KEY = bytes(32)
UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"


@attrs.frozen
class SampleVolume:
    """A volume, and what its owner knows of it; ``image`` is its genuine header."""

    profile: Profile
    mode: Mode
    volume_id: str
    generation: int
    uuid: str
    volume_key: Secret
    keys: HeaderKeys
    image: HeaderImage

    @property
    def expectation(self) -> Expectation:
        """What the owner expects to find."""
        return Expectation(self.mode, self.generation, self.uuid)

    def disk(self, size: int = DEVICE_SIZE) -> MemoryDisk:
        """Return a disk of ``size`` bytes with the genuine header."""
        disk = MemoryDisk(size)
        self.image.write_to(disk)
        return disk

    def verify(self, disk: Disk, expectation: Expectation | None = None) -> VerifiedHeader:
        """Return the header of ``disk`` if it passes as this volume's.

        Raises:
            HeaderRefused: it does not.
        """
        expected = self.expectation if expectation is None else expectation
        return verify(parse(read_header(disk)), self.profile, expected, self.keys.seal)

    def unlock(self, disk: Disk) -> UnlockedVolume:
        """Return the volume on ``disk``, opened with this volume's passphrase.

        Raises:
            HeaderRefused: it is not this volume.
        """
        return unlock(self.verify(disk), self.keys.passphrase)


def sample_volume(
    profile: Profile,
    mode: Mode = Mode.CRYPT,
    *,
    volume_id: str = VOLUME_ID,
    generation: int = 1,
    uuid: str = UUID,
    data_key: bytes = DATA_KEY,
    seed: str = "sample",
) -> SampleVolume:
    """Return a volume whose every byte follows from the arguments."""
    randomness = repeatable(seed)
    volume_key = new_volume_key(mode, randomness)
    keys = header_keys(profile, volume_id, generation, data_key)
    image = build(profile, mode, uuid, volume_key, keys, randomness=randomness)
    return SampleVolume(profile, mode, volume_id, generation, uuid, volume_key, keys, image)


def header_keys(
    profile: Profile, volume_id: str, generation: int, data_key: bytes = DATA_KEY
) -> HeaderKeys:
    """Return the keys that the policy of ``profile`` makes of a data key."""
    if not profile.sealed:
        return HeaderKeys(Secret(data_key), None)
    bound = derive(Secret(data_key), volume_id, generation)
    return HeaderKeys(bound.passphrase, bound.seal)


def repeatable(seed: str) -> Callable[[int], bytes]:
    """Return a source of "random" bytes that is the same for the same seed. Only for tests!"""
    counter = itertools.count()

    def randomness(length: int) -> bytes:
        return hashlib.shake_256(f"{seed}/{next(counter)}".encode("ascii")).digest(length)

    return randomness
