"""Identify Namespace is asked as Linux and NVMe define it, and every refusal is an OSError."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cloudcrypt.device import locate
from cloudcrypt.device._nvme import (
    PAGE_BYTES,
    identify_namespace,
    recorded_page,
    usual_identify,
)
from cloudcrypt.errors import DeviceUnavailable
from cloudcrypt.model import Attachment, Blank, GoogleDeviceName
from cloudcrypt_testing.fake_gce.devices import GoogleNode, identify_page

FIELDS = {
    "opcode": ctypes.c_uint8,
    "flags": ctypes.c_uint8,
    "rsvd1": ctypes.c_uint16,
    "nsid": ctypes.c_uint32,
    "cdw2": ctypes.c_uint32,
    "cdw3": ctypes.c_uint32,
    "metadata": ctypes.c_uint64,
    "addr": ctypes.c_uint64,
    "metadata_len": ctypes.c_uint32,
    "data_len": ctypes.c_uint32,
    **{f"cdw{each}": ctypes.c_uint32 for each in range(10, 16)},
    "timeout_ms": ctypes.c_uint32,
    "result": ctypes.c_uint32,
}
"""The fields of ``struct nvme_admin_cmd`` in ``linux/nvme_ioctl.h``, in their order."""


class AdminCommand(ctypes.Structure):
    """The same, laid out by the rules of this machine's C."""

    _fields_ = tuple(FIELDS.items())  # type: ignore[mutable-override]  # typeshed: a Sequence


class Kernel:
    """Answers the ioctl as the driver does: into the memory that the command points to."""

    def __init__(self, page: bytes, status: int = 0) -> None:
        self.page = page
        self.status = status
        self.asked = list[tuple[int, int, AdminCommand]]()

    def __call__(self, fd: int, request: int, command: Any) -> int:
        found = AdminCommand.from_buffer_copy(command)
        self.asked.append((fd, request, found))
        if self.status == 0:
            assert found.data_len == len(self.page)
            ctypes.memmove(found.addr, self.page, len(self.page))
        return self.status


@pytest.fixture
def namespace(tmp_path: Path) -> Path:
    tmp_path.joinpath("nsid").write_text("7\n")
    return tmp_path


def test_the_page_is_what_the_kernel_wrote(namespace: Path) -> None:
    page = os.urandom(PAGE_BYTES)
    assert page == identify_namespace(3, namespace, ioctl=Kernel(page))


def test_the_command_is_identify_namespace_and_nothing_else(namespace: Path) -> None:
    kernel = Kernel(bytes(PAGE_BYTES))
    identify_namespace(3, namespace, ioctl=kernel)
    ((fd, request, command),) = kernel.asked
    io_read_write = 3 << 30 | ctypes.sizeof(AdminCommand) << 16 | ord("N") << 8 | 0x41
    said = {name: getattr(command, name) for name in FIELDS}
    assert (fd, request) == (3, io_read_write)
    assert command.addr % PAGE_BYTES == 0
    assert {"opcode": 6, "nsid": 7, "addr": command.addr, "data_len": PAGE_BYTES} == {
        name: value for name, value in said.items() if value
    }


def test_a_status_of_the_device_is_an_error(namespace: Path) -> None:
    with pytest.raises(OSError, match="NVMe status 0x400b"):
        identify_namespace(3, namespace, ioctl=Kernel(b"", status=0x400B))


@pytest.mark.parametrize("text", ["", "x", "-1", None])
def test_a_namespace_without_a_number_is_not_asked(namespace: Path, text: str | None) -> None:
    stated, kernel = namespace / "nsid", Kernel(bytes(PAGE_BYTES))
    stated.unlink() if text is None else stated.write_text(text)
    with pytest.raises(OSError, match="namespace number"):
        identify_namespace(3, namespace, ioctl=kernel)
    assert kernel.asked == []


def test_this_kernel_refuses_a_file_that_is_no_namespace(namespace: Path) -> None:
    fd = os.open(namespace / "nsid", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)) as caught:
            identify_namespace(fd, namespace)
    finally:
        os.close(fd)
    assert caught.value.errno == errno.ENOTTY


def test_a_namespace_that_may_not_be_asked_is_unavailable(tmp_path: Path) -> None:
    node = GoogleNode(tmp_path / "node", is_nvme=True)
    attachment = Attachment("gcp:p/z/1", "z/vm", 0, Blank(), GoogleDeviceName("data-1"))
    with pytest.raises(DeviceUnavailable, match="does not say what it is") as caught:
        locate(attachment, root=node.root, identify=identify_namespace)
    assert isinstance(caught.value.__cause__, OSError)


def test_on_this_host_the_kernel_is_asked_and_no_record_believed(tmp_path: Path) -> None:
    (tmp_path / "host").symlink_to("/")
    roots = [Path("/"), tmp_path / "host", tmp_path]
    expected = [identify_namespace, identify_namespace, recorded_page]
    assert expected == [usual_identify(root) for root in roots]


def test_a_recorded_page_is_read_as_it_is(tmp_path: Path) -> None:
    page = identify_page("data-1")
    tmp_path.joinpath("identify").write_bytes(page)
    assert page == recorded_page(0, tmp_path)
    tmp_path.joinpath("identify").unlink()
    with pytest.raises(OSError, match="no page was recorded"):
        recorded_page(0, tmp_path)
