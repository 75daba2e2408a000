"""Mappers: how an unlocked volume becomes something that is read and written.

`UserspaceMapper` decrypts in this process: no privilege, no kernel module. `KernelMapper` lets the
kernel do it: a block device for filesystems, that outlives the process.
"""

from cloudcrypt.mapper._mapping import KernelMapping
from cloudcrypt.mapper.engines import Engine, engine_for, geometry_of, payload_size
from cloudcrypt.mapper.kernel import KernelMapper
from cloudcrypt.mapper.protocol import Mapper, Mapping, Reopen
from cloudcrypt.mapper.status import MappedDevice, MappingState, MappingStatus
from cloudcrypt.mapper.userspace import UserspaceMapper, UserspaceMapping

__all__ = [
    "Engine",
    "KernelMapper",
    "KernelMapping",
    "MappedDevice",
    "Mapper",
    "Mapping",
    "MappingState",
    "MappingStatus",
    "Reopen",
    "UserspaceMapper",
    "UserspaceMapping",
    "engine_for",
    "geometry_of",
    "payload_size",
]
