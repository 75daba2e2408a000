"""The device-mapper's ioctls: what is sent, what is understood, and hosts without one."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudcrypt.errors import HostUnready, MappingFailed
from cloudcrypt.mapper._devicemapper import HIDDEN, DeviceMapper, _request

NAME = "vol-0123456789abcdef0"
NOBODY = 65534
KEY = "00112233445566778899aabbccddeeff"


def answer(*lines: tuple[str, str], flags: int = 0, users: int = 0) -> bytearray:
    """Return what the kernel answers to DM_TABLE_STATUS, by include/uapi/linux/dm-ioctl.h."""
    targets, start = b"", 0
    for kind, parameters in lines:
        content = parameters.encode() + b"\0"
        following = len(targets) + 40 + -(-len(content) // 8) * 8
        targets += struct.pack("=QQiI16s", start, 1000, 0, following, kind.encode())
        targets = (targets + content).ljust(following, b"\0")
        start += 1000
    device = os.makedev(253, 5)
    head = struct.pack(
        "=3I2IIiIIIQ128s129s7x",
        *(4, 47, 0),
        *(16384, 312, len(lines), users, flags, 0, 0, device),
        NAME.encode(),
        b"CRYPT-LUKS2-0-x",
    )
    return bytearray((head + targets).ljust(16384, b"\0"))


def test_requests_have_the_numbers_of_the_kernel() -> None:
    # DM_TABLE_STATUS and DM_DEV_REMOVE as strace(1) knows them.
    assert (_request(12), _request(4)) == (0xC138FD0C, 0xC138FD04)


def test_an_answer_is_understood(tmp_path: Path) -> None:
    number = tmp_path / "dev/block/253:5"
    number.mkdir(parents=True)
    (number / "diskseq").write_text("17\n")
    devices = DeviceMapper(sysfs=tmp_path)
    found = devices._read(answer(("linear", "8:0 0"), ("zero", ""), users=2))
    assert (NAME, "CRYPT-LUKS2-0-x", "253:5", 2) == (
        found.name,
        found.uuid,
        found.number,
        found.users,
    )
    lines = [(each.start, each.length, each.kind, each.parameters) for each in found.targets]
    assert lines == [(0, 1000, "linear", "8:0 0"), (1000, 1000, "zero", "")]
    assert (2000, 17) == (found.sectors, found.sequence)
    states = (found.readonly, found.suspended, found.leaving, found.pending)
    assert (False, False, False, False) == states


@pytest.mark.parametrize(
    ("flag", "state"),
    [(1 << 0, "readonly"), (1 << 1, "suspended"), (1 << 6, "pending"), (1 << 17, "leaving")],
)
def test_the_state_of_a_device_is_understood(tmp_path: Path, flag: int, state: str) -> None:
    found = DeviceMapper(sysfs=tmp_path)._read(answer(("zero", ""), flags=flag))
    assert getattr(found, state) is True
    assert found.sequence is None  # as before Linux 5.15


def test_a_key_in_the_table_is_not_passed_on(tmp_path: Path) -> None:
    devices = DeviceMapper(sysfs=tmp_path)
    line = f"aes-xts-plain64 {KEY} 0 8:0 32768 1 allow_discards"
    (target,) = devices._read(answer(("crypt", line))).targets
    assert f"aes-xts-plain64 {HIDDEN} 0 8:0 32768 1 allow_discards" == target.parameters
    referred = line.replace(KEY, ":64:logon:cryptsetup:x-d0")
    (target,) = devices._read(answer(("crypt", referred))).targets
    assert referred == target.parameters


@pytest.mark.parametrize("line", ["", "cipher", f"cipher {KEY}", f" {KEY} 0"])
def test_odd_lines_are_read_without_an_error(tmp_path: Path, line: str) -> None:
    devices = DeviceMapper(sysfs=tmp_path)
    (target,) = devices._read(answer(("crypt", line))).targets
    assert target.kind == "crypt"


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingFailed, match="too long"):
        DeviceMapper(sysfs=tmp_path)._read(answer(("zero", ""), flags=1 << 8))


def asking(devices: DeviceMapper) -> list[Callable[[], object]]:
    return [
        lambda: devices.find(NAME),
        lambda: devices.remove(NAME),
        lambda: devices.limit(NAME, "", "8:0", 8),
    ]


def test_a_host_without_device_mapper_is_not_ready(tmp_path: Path) -> None:
    devices = DeviceMapper(tmp_path / "control")
    for ask in asking(devices):
        with pytest.raises(HostUnready, match="the device-mapper") as refusal:
            ask()
        assert "modprobe dm_mod" in refusal.value.remedy


def test_what_is_no_device_mapper_is_an_error_and_not_absence(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.touch()
    devices = DeviceMapper(control)
    for ask in asking(devices):
        with pytest.raises(MappingFailed) as failure:
            ask()
        assert NAME == failure.value.mapping


def test_who_may_not_use_it_is_told(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.touch(mode=0)
    was = os.geteuid()
    if was == 0:  # who may open everything
        os.seteuid(NOBODY)
    try:
        with pytest.raises(HostUnready, match="permission"):
            DeviceMapper(control).find(NAME)
    finally:
        os.seteuid(was)
