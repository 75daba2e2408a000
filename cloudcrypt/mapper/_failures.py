"""What a failed call of libcryptsetup means, as an error of ours."""

import errno

from cloudcrypt.errors import (
    CloudcryptError,
    DeviceBusy,
    HostUnready,
    MappingConflict,
    MappingFailed,
    VolumeKeyRefused,
    shown,
)
from cloudcrypt.luks2 import Step
from cloudcrypt.mapper._libcryptsetup import CallError

_MOST = 400  # characters of the library's words in a message


def translated(error: CallError, name: str, device: str, operation: str) -> CloudcryptError:
    """Return the error of ours for a failed call.

    Args:
        error: of the library.
        name: of the mapping.
        device: what an error calls the device that is busy.
        operation: what was tried, as a noun.
    """
    words = shown("; ".join(error.words), _MOST)
    match error.code:
        case errno.EPERM:  # from activation by volume key alone
            found = "a key that the digest denies"
            return VolumeKeyRefused(int(Step.UNLOCK), Step.UNLOCK.name, found, "the volume key")
        case errno.EEXIST:
            return MappingConflict(name, "name", "in use", "free")
        case errno.EBUSY:
            return DeviceBusy(device)
        case errno.ENOTSUP:
            what = f"what a mapping needs of the kernel: {words}"
            return HostUnready(what, "modprobe dm_crypt dm_integrity")
        case _:
            return MappingFailed(name, operation, error.code, words)
