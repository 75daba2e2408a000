"""Filesystems on open volumes: made, checked, mounted and grown by the kernel and its own programs.

Nothing here decides whether a filesystem may be made. That is recorded in the ledger, and
`cloudcrypt.stage` asks there; what can be read from a disk is never a reason to write to it.
"""

from cloudcrypt.filesystem.commands import SMALLEST, Commands, Health
from cloudcrypt.filesystem.host import RUNTIME, Filesystems
from cloudcrypt.filesystem.kinds import PayloadChoice
from cloudcrypt.filesystem.mountinfo import Mount
from cloudcrypt.filesystem.mounts import MountOptions, Mounts
from cloudcrypt.filesystem.node import MappingNodes, Node, Nodes, Number
from cloudcrypt.filesystem.superblock import Superblock, superblock_in
from cloudcrypt.filesystem.syscalls import HostKernel, Kernel
from cloudcrypt.filesystem.tools import PACKAGES, Ended, HostTools, Tools, ToolStopped
from cloudcrypt.ledger import FilesystemKind

__all__ = [
    "PACKAGES",
    "RUNTIME",
    "SMALLEST",
    "Commands",
    "Ended",
    "FilesystemKind",
    "Filesystems",
    "Health",
    "HostKernel",
    "HostTools",
    "Kernel",
    "MappingNodes",
    "Mount",
    "MountOptions",
    "Mounts",
    "Node",
    "Nodes",
    "Number",
    "PayloadChoice",
    "Superblock",
    "ToolStopped",
    "Tools",
    "superblock_in",
]
