"""What virtual machines are made of is fetched and unpacked once, and nothing else is touched.

The packages here are small ones of the test's own, built by dpkg; apt is a script that hands them
out. What `make test-kernel` prepares is made of the real ones.
"""

import os
import subprocess
from pathlib import Path

import pytest

from cloudcrypt_testing.vm import Bed, VMUnavailable
from cloudcrypt_testing.vm.__main__ import main

RELEASE = "1.2.3-4-cloud-amd64"
RULES = ("50-udev-default", "60-block", "60-persistent-storage")
MAPPER_RULES = ("55-dm", "60-persistent-storage-dm", "95-dm-notify")

PACKAGES: dict[str, tuple[str, ...]] = {
    f"linux-image-{RELEASE}": (
        f"boot/vmlinuz-{RELEASE}",
        f"usr/lib/modules/{RELEASE}/modules.order",
        f"usr/lib/modules/{RELEASE}/modules.builtin",
    ),
    "busybox-static": ("usr/bin/busybox",),
    "udev": (
        "usr/bin/udevadm",
        "usr/lib/udev/ata_id",
        "usr/lib/udev/scsi_id",
        *(f"usr/lib/udev/rules.d/{name}.rules" for name in RULES),
    ),
    "libsystemd-shared": ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-1.so",),
    "dmsetup": tuple(f"usr/lib/udev/rules.d/{name}.rules" for name in MAPPER_RULES),
}

APT_GET = """#!/bin/sh
echo "$*" >>{folder}/asked
case "$*" in
  *download*) for package; do :; done; cp {folder}/$package.deb . 2>/dev/null || exit 100 ;;
  *update*) ! test -e {folder}/no-lists || rm {folder}/no-lists ;;
esac
"""

APT_CACHE = """#!/bin/sh
test ! -e {folder}/no-lists || exit 100
echo "Package: linux-image-cloud-amd64"
echo "Depends: linux-image-{release} (= 1.2.3)"
"""


@pytest.fixture
def archive(bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the packages, which apt hands out from now on."""
    del bed  # only where one can be prepared at all
    folder = tmp_path / "archive"
    for package, files in PACKAGES.items():
        root = tmp_path / package
        for name in files:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} of {package}\n")
        control = f"Package: {package}\nVersion: 1\nArchitecture: all\nMaintainer: none\n"
        root.joinpath("DEBIAN").mkdir()
        root.joinpath("DEBIAN", "control").write_text(f"{control}Description: none\n")
        folder.mkdir(exist_ok=True)
        target = folder / f"{package}.deb"
        subprocess.run(["dpkg-deb", "--build", root, target], check=True, capture_output=True)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in {"apt-get": APT_GET, "apt-cache": APT_CACHE}.items():
        programs.joinpath(name).write_text(text.format(folder=folder, release=RELEASE))
        programs.joinpath(name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return folder


def asked(archive: Path) -> list[str]:
    """Return what apt was asked, all of it."""
    path = archive / "asked"
    return path.read_text().splitlines() if path.exists() else []


def test_a_bed_is_made_once(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bed"
    bed = Bed.prepare(folder)
    assert (bed.release, bed.kernel.exists()) == (RELEASE, True)
    assert (bed.modules / RELEASE / "modules.dep").exists()
    assert b"usr/bin/busybox of busybox-static" in bed.initramfs().read_bytes()
    names = {path.name for path in (bed.udev / "lib" / "rules.d").iterdir()}
    ours = {"65-google.rules", "66-azure.rules"}
    assert names == {f"{name}.rules" for name in RULES + MAPPER_RULES} | ours
    assert len(asked(archive)) == len(PACKAGES)
    assert bed == Bed.prepare(folder) == Bed.load(folder)
    assert len(asked(archive)) == len(PACKAGES)


def test_half_of_a_bed_is_made_again_and_files_of_others_stay(
    archive: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bed"
    Bed.prepare(folder)
    (folder / "bed.json").unlink()
    (folder / "kernel" / "boot" / f"vmlinuz-{RELEASE}").unlink()
    (folder / "somebody's file").write_text("theirs")
    with pytest.raises(VMUnavailable, match="python -m"):
        Bed.load(folder)
    assert Bed.prepare(folder).kernel.exists()
    assert (folder / "somebody's file").read_text() == "theirs"


def test_a_bed_of_another_version_is_refused(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "bed.json").write_text('{"layout": 0}')
    with pytest.raises(VMUnavailable, match="another version"):
        Bed.load(tmp_path)


def test_package_lists_that_are_missing_are_fetched(archive: Path, tmp_path: Path) -> None:
    (archive / "no-lists").touch()
    Bed.prepare(tmp_path / "bed")
    assert asked(archive)[0] == "-qq update"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_that_cannot_be_fetched_makes_it_unavailable(
    archive: Path, tmp_path: Path, package: str
) -> None:
    (archive / f"{package}.deb").unlink()
    with pytest.raises(VMUnavailable, match=package):
        Bed.prepare(tmp_path / "bed")
    assert not (tmp_path / "bed" / "bed.json").exists()


def test_the_program_says_what_is_there_or_what_is_wrong(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(str(tmp_path / "bed")) is None
    assert f"linux-image-{RELEASE}" in capsys.readouterr().out
    (archive / "udev.deb").unlink()
    assert "udev" in (main(str(tmp_path / "other")) or "")
    assert "usage" in (main() or "")
