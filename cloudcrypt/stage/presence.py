"""Whether the filesystem that is recorded is on a device, and no other."""

from cloudcrypt.errors import FilesystemDamaged, FilesystemMismatch
from cloudcrypt.filesystem import Commands, FilesystemKind, Health, Node, Superblock
from cloudcrypt.ledger import Filesystem, Making


def require_there(node: Node, expected: Filesystem) -> Superblock:
    """Return the superblock of the filesystem that must be on a device.

    Raises:
        FilesystemMismatch: it is not there, or is larger than the device.
    """
    found = node.superblock()
    if found is None or (found.kind, found.uuid) != (expected.kind, expected.uuid):
        text = f"{expected.kind.value} {expected.uuid}"
        raise FilesystemMismatch(str(node.path), None if found is None else str(found), text)
    if found.size > node.size:
        wanted = f"at most {node.size} bytes of it"
        raise FilesystemMismatch(str(node.path), f"{found.size} bytes of {found}", wanted)
    return found


def require_none_but(node: Node, making: Making | None) -> None:
    """Refuse to overwrite a filesystem that is whole and not the one that was begun.

    That none is found permits nothing; that one is found forbids.

    Raises:
        FilesystemMismatch: there is one.
    """
    found = node.superblock()
    if found is not None and (making is None or found.uuid != making.uuid):
        expected = "none" if making is None else f"none but {making.uuid}"
        raise FilesystemMismatch(str(node.path), str(found), expected)


def require_healthy(commands: Commands, kind: FilesystemKind) -> None:
    """Check ext4 before it is mounted for writing.

    Raises:
        FilesystemDamaged: it needs a person.
    """
    if kind is FilesystemKind.EXT4 and commands.check(kind, full=False) is Health.DAMAGED:
        raise FilesystemDamaged(str(commands.node.path), "e2fsck cannot repair it by itself")
