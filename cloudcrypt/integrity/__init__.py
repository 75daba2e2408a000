"""dm-integrity in user space: geometry, superblock, journal and tags of integrity volumes.

What is written is what the kernel writes, byte for byte; what is read is verified first.
"""

from cloudcrypt.integrity.engine import IntegrityEngine
from cloudcrypt.integrity.geometry import Geometry

__all__ = ["Geometry", "IntegrityEngine"]
