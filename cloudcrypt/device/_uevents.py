"""Events of the kernel's devices, as udev gets them, but without udev.

Linux: netlink(7), ``NETLINK_KOBJECT_UEVENT``; lib/kobject_uevent.c.
"""

import errno
import socket
from typing import Final

_PROTOCOL: Final = 15  # NETLINK_KOBJECT_UEVENT, linux/netlink.h
_KERNEL_GROUP: Final = 1  # the kernel sends to this multicast group, udev to group 2
_KERNEL_PORT: Final = 0  # the kernel's own address: nobody else can send from it
_LONGEST: Final = 8192  # bytes: UEVENT_BUFFER_SIZE is 2048, and a header comes before that
_NEWS: Final = {b"block": {b"add", b"change"}, b"scsi": {b"change"}, b"nvme": {b"change"}}
"""A disk is complete when it comes in ``block``; what a SCSI disk, or the controller of an NVMe
namespace, asks the kernel to look at is said in ``scsi`` and ``nvme``."""


class Uevents:
    """What the kernel says of its devices, from the moment this was made.

    Listening needs no privilege. A network namespace of a user namespace gets no events.
    """

    def __init__(self) -> None:
        """Begin to listen.

        Raises:
            OSError: it cannot be listened, as where a container forbids netlink.
        """
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _PROTOCOL)
        try:
            self._socket.bind((0, _KERNEL_GROUP))  # 0: the kernel chooses our own address
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def drain(self) -> bool:
        """Take all events that have come, and say whether a disk may have changed.

        Raises:
            OSError: it cannot be listened any more.
        """
        told = False
        while True:
            try:
                message, _, flags, sender = self._socket.recvmsg(_LONGEST)
            except BlockingIOError:
                return told
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # events were lost: whatever they said
                    raise
                told = True
            else:
                told = concerns_disks(message, flags, sender) or told

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._socket.close()


def concerns_disks(message: bytes, flags: int, sender: tuple[int, int]) -> bool:
    """Say whether a message is an event of the kernel's that may be one of a disk.

    Args:
        message: ``ACTION@DEVPATH``, then ``KEY=VALUE``, each with a NUL byte behind it.
        flags: of recvmsg(2); of a message that was cut, not all can be seen.
        sender: address and groups.
    """
    if sender[0] != _KERNEL_PORT:
        return False
    if flags & socket.MSG_TRUNC:
        return True
    fields = [field.partition(b"=") for field in message.split(b"\0")[1:]]
    said = {key: value for key, _, value in fields}
    return said.get(b"ACTION") in _NEWS.get(said.get(b"SUBSYSTEM", b""), ())
