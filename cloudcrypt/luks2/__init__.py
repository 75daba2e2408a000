"""LUKS2 headers of the documented profile: parse, verify, unlock, seal and write, in Python.

The order is enforced by types::

    raw = read_header(disk)                                  # the disk is read once
    unverified = parse(raw)                                  # well-formed, nothing more
    verified = verify(unverified, profile, expectation, seal_key)
    volume = unlock(verified, passphrase)                    # the only maker of a volume key
"""

from cloudcrypt.luks2.parse import RawHeader, UnverifiedHeader, parse, read_header
from cloudcrypt.luks2.seal import BoundKeys, SealKey, derive
from cloudcrypt.luks2.sectors import SectorFile
from cloudcrypt.luks2.steps import Step
from cloudcrypt.luks2.unlock import UnlockedVolume, unlock
from cloudcrypt.luks2.verify import VerifiedHeader, verify
from cloudcrypt.luks2.write import HeaderImage, HeaderKeys, build, new_volume_key, rewrap, serialise

__all__ = [
    "BoundKeys",
    "HeaderImage",
    "HeaderKeys",
    "RawHeader",
    "SealKey",
    "SectorFile",
    "Step",
    "UnlockedVolume",
    "UnverifiedHeader",
    "VerifiedHeader",
    "build",
    "derive",
    "new_volume_key",
    "parse",
    "read_header",
    "rewrap",
    "serialise",
    "unlock",
    "verify",
]
