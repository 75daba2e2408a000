"""``cloudcrypt doctor``: what of a host is ready, for what, and what to install for the rest."""

import json
import os
import struct
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloudcrypt.cli import main
from cloudcrypt.cli.checks import Area, Check, examine, missing_for
from cloudcrypt.errors import HostUnready
from cloudcrypt.filesystem import HostTools
from cloudcrypt.mapper import readiness


def test_it_finds_what_this_environment_has() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    document = json.loads(result.stdout)
    checks = {check["check"]: check for check in document["checks"]}
    assert result.exit_code == 0
    for what in ("Argon2id", "cryptsetup", "SDK aws", "libcryptsetup", "mkfs.ext4", "xfs_repair"):
        assert checks[what]["ready"], what
    assert document["ready"]["user space"]
    assert list(document["missing"]) == [area.value for area in Area]


def test_people_get_a_line_for_each_thing_a_host_can_be_ready_for() -> None:
    output = CliRunner().invoke(main, ["doctor"]).stdout.splitlines()
    assert "ready for user space: yes" in output
    assert ["kernel mappings", "filesystem ext4", "filesystem xfs"] == [
        line.removeprefix("ready for ").split(":")[0] for line in output[-3:]
    ]


def no_library() -> str:
    raise HostUnready("libcryptsetup 2.6 or later", "apt-get install libcryptsetup12")


def checks_on(root: Path, missing: str = "nothing", tools: str = "") -> dict[str, Check]:
    """Return the checks of a host that lacks the packages below ``missing``."""

    def find_spec(module: str) -> object:
        if module.split(".", maxsplit=1)[0] == missing:
            raise ModuleNotFoundError(module)
        return module

    found = examine(find_spec, no_library, root, HostTools(tools))
    return {check.what: check for check in found}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_it_names_the_remedy_of_what_is_missing(tmp_path: Path) -> None:
    found = checks_on(tmp_path, "google")
    assert 'pip install "cloudcrypt[gcp]"' == found["SDK gcp"].advice
    assert not found["SDK gcp"].ready
    assert found["SDK azure"].ready
    assert "unknown" == found["memory for Argon2id"].found
    expected = {
        "libcryptsetup": "apt-get install libcryptsetup12",
        "device-mapper": "modprobe dm_mod",
        "dm-crypt": "modprobe dm_crypt",
        "dm-integrity": "modprobe dm_integrity",
        "CAP_SYS_ADMIN": "run as root",
        "kernel ext4": "modprobe ext4",
        "mkfs.ext4": "apt-get install e2fsprogs",
        "e2fsck": "apt-get install e2fsprogs",
        "resize2fs": "apt-get install e2fsprogs",
        "kernel xfs": "modprobe xfs",
        "mkfs.xfs": "apt-get install xfsprogs",
        "xfs_growfs": "apt-get install xfsprogs",
        "xfs_repair": "apt-get install xfsprogs",
    }
    assert expected == {what: found[what].advice for what in expected}
    assert {False} == {found[what].ready for what in (*expected, "kernel keyring")}


def test_it_sees_modules_and_memory(tmp_path: Path) -> None:
    (tmp_path / "sys/module/dm_crypt").mkdir(parents=True)
    modules = tmp_path / "lib/modules" / os.uname().release
    write(modules / "modules.builtin", "kernel/drivers/md/dm-integrity.ko\n")
    write(modules / "modules.dep", "kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n")
    write(tmp_path / "proc/meminfo", "MemTotal: 9 kB\nMemAvailable: 102400 kB\n")
    write(tmp_path / "proc/filesystems", "nodev\tsysfs\n\text4\n")
    write(tmp_path / "dev/mapper/control", "")
    found = checks_on(tmp_path)
    assert ("loaded", "built in") == (found["dm-crypt"].found, found["dm-integrity"].found)
    assert ("loaded", "available") == (found["kernel ext4"].found, found["kernel xfs"].found)
    assert not found["memory for Argon2id"].ready
    assert found["device-mapper"].ready


@pytest.mark.parametrize(
    ("capabilities", "is_admin"),
    [("000001ffffffffff", True), ("0000000000200000", True), ("000001ffffdfffff", False)],
)
def test_it_sees_whether_it_may_map_and_mount(
    tmp_path: Path, capabilities: str, *, is_admin: bool
) -> None:
    write(tmp_path / "proc/self/status", f"Name:\tx\nCapEff:\t{capabilities}\n")
    (tmp_path / "proc/sys/kernel/keys").mkdir(parents=True)
    write(tmp_path / "dev/mapper/control", "")
    found = checks_on(tmp_path)
    assert is_admin is found["CAP_SYS_ADMIN"].ready
    assert found["kernel keyring"].ready
    # A device-mapper that does not answer to root is none.
    assert is_admin is not found["device-mapper"].ready


def test_a_filesystem_needs_the_kernel_and_its_own_programs(tmp_path: Path) -> None:
    for tool in ("mkfs.ext4", "e2fsck", "resize2fs"):
        write(tmp_path / "bin" / tool, "")
        (tmp_path / "bin" / tool).chmod(0o755)
    write(tmp_path / "proc/filesystems", "\text4\n")
    checks = list(checks_on(tmp_path, tools=str(tmp_path / "bin")).values())
    of_kernel = missing_for(Area.KERNEL, checks)
    assert "libcryptsetup" in of_kernel
    assert of_kernel == missing_for(Area.EXT4, checks)
    assert {"kernel xfs", "mkfs.xfs", "xfs_growfs", "xfs_repair"} == {
        *missing_for(Area.XFS, checks)
    } - {*of_kernel}
    assert [] == missing_for(Area.USER_SPACE, checks)


def test_a_host_that_lacks_what_everything_needs_ends_with_8(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = Check("Argon2id", Area.USER_SPACE, ready=False, found="missing", advice="get it")
    monkeypatch.setattr(sys.modules["cloudcrypt.cli.doctor"], "examine", lambda: iter([lacking]))
    result = CliRunner().invoke(main, ["doctor"])
    assert (8, True) == (result.exit_code, "no, for lack of Argon2id" in result.stdout)


# --- the targets of the device-mapper ---


def versions(*targets: tuple[str, tuple[int, int, int]]) -> bytes:
    """Return a list of targets as the kernel writes it: each as far from the next as it says."""
    content = b""
    for number, (name, version) in enumerate(targets):
        length = (16 + len(name) + 1 + 7) // 8 * 8
        following = 0 if number + 1 == len(targets) else length
        content += struct.pack("=I3I", following, *version) + name.encode().ljust(
            length - 16, b"\0"
        )
    return content


def answered(monkeypatch: pytest.MonkeyPatch, content: bytes, start: int = 312) -> dict[str, str]:
    """Return what is made of an answer of the kernel."""

    def ioctl(_: int, request: int, buffer: bytearray, mutate: bool) -> int:  # noqa: FBT001
        assert (0xC138FD0D, True) == (request, mutate)  # DM_LIST_VERSIONS, as strace shows it
        struct.pack_into("=II", buffer, 12, start + len(content), start)
        buffer[start : start + len(content)] = content
        return 0

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    return readiness.target_versions(Path("/dev/null"))


def test_targets_have_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    content = versions(("crypt", (1, 24, 0)), ("integrity", (1, 10, 0)), ("linear", (1, 4, 0)))
    found = answered(monkeypatch, content)
    assert {"crypt": "1.24.0", "integrity": "1.10.0", "linear": "1.4.0"} == found


@pytest.mark.parametrize("content", [b"", bytes(16), bytes(24), b"\xff" * 24], ids=repr)
def test_an_answer_without_targets_is_none(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    answered(monkeypatch, content)


def test_no_device_mapper_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    for control in (tmp_path / "none", Path("/dev/null")):
        with pytest.raises(HostUnready, match="device-mapper"):
            readiness.target_versions(control)
