"""What the kernel says of its devices is heard; what others say is not, and lost events count."""

import socket
from contextlib import closing

import pytest

from cloudcrypt.device._uevents import Uevents, concerns_disks

KERNEL = (0, 1)  # the sender of the kernel's events


def _event(*fields: str, header: str = "add@/devices/x") -> bytes:
    return b"".join(field.encode() + b"\0" for field in (header, *fields))


BLOCK = _event("ACTION=add", "SUBSYSTEM=block")
NET = _event("ACTION=add", "SUBSYSTEM=net")
NEWS = [("add", "block"), ("change", "block"), ("change", "scsi"), ("change", "nvme")]
OTHERS = [
    *[("add", subsystem) for subsystem in ("net", "blocks", "", "tty", "scsi", "nvme")],
    *[("remove", subsystem) for subsystem in ("block", "scsi", "nvme")],
    ("", "block"),
]


@pytest.mark.parametrize(("action", "subsystem"), NEWS)
def test_what_the_kernel_says_of_a_disk_concerns_disks(action: str, subsystem: str) -> None:
    fields = f"ACTION={action}", "DEVPATH=/devices/x=y", f"SUBSYSTEM={subsystem}", "SEQNUM=1"
    assert concerns_disks(_event(*fields), 0, KERNEL)


@pytest.mark.parametrize(("action", "subsystem"), OTHERS)
def test_what_it_says_of_anything_else_does_not(action: str, subsystem: str) -> None:
    assert not concerns_disks(_event(f"ACTION={action}", f"SUBSYSTEM={subsystem}"), 0, KERNEL)


@pytest.mark.parametrize("message", [b"", b"\0", b"SUBSYSTEM=block", b"\xff" * 100, b"\0" * 9000])
def test_any_bytes_are_an_event_or_none(message: bytes) -> None:
    assert not concerns_disks(message, 0, KERNEL)


def test_what_others_say_is_not_believed() -> None:
    assert not concerns_disks(BLOCK, 0, (4711, 1))
    assert not concerns_disks(BLOCK, socket.MSG_TRUNC, (4711, 2))


def test_a_message_that_was_cut_may_concern_disks() -> None:
    assert concerns_disks(_event("SUBSYSTEM=net"), socket.MSG_TRUNC, KERNEL)


class Socket:
    """Says what a netlink socket does, and then that nothing is there."""

    def __init__(self, *answers: bytes | OSError, bind: OSError | None = None) -> None:
        self.answers = list(answers)
        self.trouble = bind
        self.is_closed = False

    def bind(self, address: tuple[int, int]) -> None:
        assert address == (0, 1)
        if self.trouble is not None:
            raise self.trouble

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        assert size >= 2048
        answer = self.answers.pop(0) if self.answers else BlockingIOError(11, "again")
        if isinstance(answer, OSError):
            raise answer
        return answer, [], 0, KERNEL

    def close(self) -> None:
        self.is_closed = True


def _uevents(monkeypatch: pytest.MonkeyPatch, faked: Socket) -> Uevents:
    def made(*_: int) -> Socket:
        return faked

    monkeypatch.setattr(socket, "socket", made)
    return Uevents()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((), False),
        ((NET,), False),
        ((NET, BLOCK, NET), True),
        ((OSError(105, "no buffer space"),), True),
        ((OSError(105, "no buffer space"), NET), True),
    ],
    ids=["nothing", "another", "a disk", "lost", "lost and another"],
)
def test_all_that_has_come_is_taken(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[bytes | OSError, ...], *, told: bool
) -> None:
    faked = Socket(*answers)
    assert _uevents(monkeypatch, faked).drain() is told
    assert faked.answers == []


def test_a_socket_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="broken"):
        _uevents(monkeypatch, Socket(OSError(5, "broken"))).drain()


def test_a_socket_that_may_not_listen_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    faked = Socket(bind=PermissionError(1, "no"))
    with pytest.raises(PermissionError):
        _uevents(monkeypatch, faked)
    assert faked.is_closed


def test_the_kernel_of_this_host_can_be_listened_to() -> None:
    try:
        uevents = Uevents()
    except OSError as error:
        pytest.skip(f"no netlink here: {error}")
    with closing(uevents):
        uevents.drain()
        assert uevents.fileno() >= 0
