"""Payloads in and out: a stream of at most 1 MiB at a time, whatever the volume's size."""

import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cloudcrypt.cli.output import progress
from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import DeviceIOError, DeviceUnavailable, InvalidRequest
from cloudcrypt.luks2 import SectorFile, UnlockedVolume
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.mapper import UserspaceMapping, engine_for
from cloudcrypt.model import BlockDevice


@contextmanager
def write_new(path: str) -> Generator[IO[bytes]]:
    """Yield a new file that only its owner reads; it is durable afterwards, or gone.

    Raises:
        InvalidRequest: there is a file of that name; it is not touched.
        DeviceUnavailable: it cannot be made.
        DeviceIOError: it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise InvalidRequest("--output", path, "a file that does not exist yet") from error
    except OSError as error:
        raise DeviceUnavailable(path, error.strerror or "cannot be made") from error
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            yield file
            os.fsync(file.fileno())
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise DeviceIOError(path, "write", 0, error.strerror or "unknown error") from error
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def export_payload(device: BlockDevice, volume: UnlockedVolume, output: str) -> int:
    """Decrypt a payload to a new file, or to standard output for ``-``; return its bytes."""
    with FileDisk(device.path) as disk:
        engine = engine_for(device.volume_id, disk, volume, writable=False)
        return _export(SectorFile(engine, writable=False), output)


def _export(payload: SectorFile, output: str) -> int:
    with payload:
        if output == "-":
            _copy_out(payload, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with write_new(output) as file:
                _copy_out(payload, file)
        return payload.size


def import_payload(mapping: UserspaceMapping, source: str) -> int:
    """Encrypt a file, or standard input for ``-``, into a payload; return the bytes written.

    Raises:
        InvalidRequest: the input is longer than the payload. A file is refused beforehand; of a
            stream, what fits has been written.
        DeviceUnavailable: the input cannot be opened.
        DeviceIOError: it cannot be read, or the device failed.
    """
    if source == "-":
        return _copy_in(sys.stdin.buffer, mapping, 0)
    try:
        with Path(source).open("rb") as file:
            status = os.fstat(file.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            if size > mapping.size:
                raise InvalidRequest("--input", size, f"at most {mapping.size} bytes of payload")
            return _copy_in(file, mapping, size)
    except OSError as error:
        raise DeviceUnavailable(source, error.strerror or "unreadable") from error


def _copy_out(payload: SectorFile, file: IO[bytes]) -> None:
    buffer = memoryview(bytearray(RUN_SIZE))
    with progress("export", payload.size) as advance:
        while count := payload.readinto(buffer):
            _write_all(file, buffer[:count])
            advance(count)


def _write_all(file: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def _copy_in(file: IO[bytes], mapping: UserspaceMapping, size: int) -> int:
    with mapping.open() as payload, progress("import", size) as advance:
        while chunk := file.read(RUN_SIZE):
            room = payload.size - payload.tell()
            payload.write(chunk[:room])
            if len(chunk) > room:
                rule = f"at most {payload.size} bytes of payload"
                raise InvalidRequest("--input", "more", rule)
            advance(len(chunk))
        payload.flush()
        return payload.tell()
