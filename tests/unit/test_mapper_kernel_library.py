"""libcryptsetup as it is installed: the declarations fit, and it agrees about our headers.

No device-mapper is needed: a key can be verified against a header without mapping anything.
"""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloudcrypt.errors import (
    DeviceBusy,
    HostUnready,
    MappingConflict,
    MappingFailed,
    VolumeKeyRefused,
)
from cloudcrypt.luks2 import new_volume_key
from cloudcrypt.mapper import _libcryptsetup
from cloudcrypt.mapper._failures import translated
from cloudcrypt.mapper._libcryptsetup import CallError, CryptSetup, Source, load
from cloudcrypt.mapper._memfd import header_file
from cloudcrypt.model import Mode
from cloudcrypt.secret import Secret
from cloudcrypt_testing.profiles import CHEAP, CHEAP_CONSTELLATION
from cloudcrypt_testing.volumes import SampleVolume, sample_volume

SAMPLES = {mode: sample_volume(CHEAP, mode) for mode in Mode}
DEVICE_SIZE = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def library() -> CryptSetup:
    return load()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    path.touch()
    os.truncate(path, DEVICE_SIZE)
    return path


def verify(library: CryptSetup, sample: SampleVolume, key: Secret, device: Path) -> None:
    descriptor = os.open(device, os.O_RDONLY)
    try:
        with header_file(sample.verify(sample.disk(DEVICE_SIZE))) as header:
            library.verify(Source(header, descriptor, key))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("profile", [CHEAP, CHEAP_CONSTELLATION], ids=["sealed", "unsealed"])
def test_it_knows_the_key_of_our_header(
    library: CryptSetup, device: Path, mode: Mode, profile: object
) -> None:
    sample = sample_volume(CHEAP if profile is CHEAP else CHEAP_CONSTELLATION, mode)
    verify(library, sample, sample.volume_key, device)
    assert not any(device.read_bytes()[:4096])  # the device's own header is not looked for


@pytest.mark.parametrize("mode", Mode)
def test_it_refuses_another_key(library: CryptSetup, device: Path, mode: Mode) -> None:
    with new_volume_key(mode) as key, pytest.raises(CallError) as failure:
        verify(library, SAMPLES[mode], key, device)
    assert failure.value.code == 1
    error = translated(failure.value, "vol-1", "/dev/sda", "activation")
    assert isinstance(error, VolumeKeyRefused)


def test_what_it_logs_is_in_the_error_and_on_no_console(
    library: CryptSetup, device: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with new_volume_key(Mode.CRYPT) as key, pytest.raises(CallError) as failure:
        verify(library, SAMPLES[Mode.CRYPT], key, device)
    assert failure.value.words == ("Volume key does not match the volume.",)
    assert capfd.readouterr() == ("", "")


def test_a_header_that_is_none_is_an_error(library: CryptSetup, device: Path) -> None:
    descriptor = os.open(device, os.O_RDONLY)
    try:
        with pytest.raises(CallError) as failure:
            library.verify(Source(descriptor, descriptor, SAMPLES[Mode.CRYPT].volume_key))
    finally:
        os.close(descriptor)
    assert failure.value.code == 22


def test_a_key_that_was_wiped_is_not_used(library: CryptSetup, device: Path) -> None:
    key = SAMPLES[Mode.CRYPT].volume_key.copy()
    key.wipe()
    with pytest.raises(ValueError, match="wiped"):
        verify(library, SAMPLES[Mode.CRYPT], key, device)


def test_the_key_is_not_held_on_to(library: CryptSetup, device: Path) -> None:
    key = SAMPLES[Mode.CRYPT].volume_key.copy()
    verify(library, SAMPLES[Mode.CRYPT], key, device)
    key._buffer.append(0)  # raises BufferError while somebody has a view of it


def test_each_operation_runs_in_a_thread_of_its_own_and_excludes_the_others(
    library: CryptSetup, device: Path
) -> None:
    seen = list[tuple[str, bool]]()

    class Watched(CryptSetup):
        """A library that notes in which thread it is called, and whether others can be."""

        def _check(self, code: int) -> None:
            name = threading.current_thread().name
            seen.append((name, _libcryptsetup._TURN.lock.locked()))
            super()._check(code)

    watched = Watched(library._ffi, library._lib)
    sample = SAMPLES[Mode.CRYPT]

    def asked(_: int) -> None:
        verify(watched, sample, sample.volume_key, device)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(asked, range(8)))
    assert len(seen) == 8 * 4
    assert all(is_locked for _, is_locked in seen)
    assert {name for name, _ in seen} == {"libcryptsetup"}
    # What the kernel holds for a thread, it holds no longer.
    assert "libcryptsetup" not in {thread.name for thread in threading.enumerate()}


def test_a_child_of_a_fork_can_use_it(library: CryptSetup, device: Path) -> None:
    with _libcryptsetup._TURN.lock:  # as if another thread were at it
        child = os.fork()
        if child == 0:
            try:
                verify(library, SAMPLES[Mode.CRYPT], SAMPLES[Mode.CRYPT].volume_key, device)
            except BaseException:  # noqa: BLE001  # said by the exit code
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_missing_library_is_named_with_its_package() -> None:
    with pytest.raises(HostUnready, match="libcryptsetup") as refusal:
        load("libcryptsetup.so.no-such-version")
    assert "apt-get install libcryptsetup12" in refusal.value.remedy


def test_another_library_is_not_taken_for_it() -> None:
    with pytest.raises(HostUnready, match=r"libcryptsetup 2\.6 or later"):
        load("libc.so.6")


def test_a_mapping_that_is_not_there_is_an_error(library: CryptSetup, device: Path) -> None:
    sample = SAMPLES[Mode.CRYPT]
    descriptor = os.open(device, os.O_RDONLY)
    try:
        with header_file(sample.verify(sample.disk(DEVICE_SIZE))) as header:
            source = Source(header, descriptor, sample.volume_key)
            with pytest.raises(CallError):
                library.resize("cloudcrypt-no-such-mapping", source, 8)
            with pytest.raises(CallError):
                library.deactivate("cloudcrypt-no-such-mapping")
    finally:
        os.close(descriptor)


def test_importing_the_mapper_does_not_load_it() -> None:
    code = "import sys, cloudcrypt.mapper; sys.exit('cffi' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, VolumeKeyRefused),
        (17, MappingConflict),
        (16, DeviceBusy),
        (95, HostUnready),
        (22, MappingFailed),
        (5, MappingFailed),
    ],
)
def test_failures_become_errors_of_ours(code: int, kind: type[Exception]) -> None:
    error = translated(CallError(code, ("one", "two")), "vol-1", "/dev/sda", "activation")
    assert type(error) is kind
    if isinstance(error, MappingFailed):
        assert ("vol-1", "activation", code) == (error.mapping, error.operation, error.code)
        assert "one; two" in str(error)
    if isinstance(error, DeviceBusy):
        assert error.device == "/dev/sda"


def test_a_long_complaint_is_cut() -> None:
    error = translated(CallError(22, ("x" * 10_000, "\x1b[31m")), "vol-1", "/dev/sda", "activation")
    assert len(str(error)) < 800
    assert "\x1b" not in str(error)
