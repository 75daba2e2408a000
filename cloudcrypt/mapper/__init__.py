"""Mappers: how an unlocked volume becomes something that is read and written.

`UserspaceMapper` decrypts in this process: no privilege, no kernel module. A mapper for the
kernel's device-mapper follows.
"""

from cloudcrypt.mapper.engines import Engine, engine_for, geometry_of, payload_size
from cloudcrypt.mapper.protocol import Mapper, Mapping
from cloudcrypt.mapper.userspace import UserspaceMapper, UserspaceMapping

__all__ = [
    "Engine",
    "Mapper",
    "Mapping",
    "UserspaceMapper",
    "UserspaceMapping",
    "engine_for",
    "geometry_of",
    "payload_size",
]
