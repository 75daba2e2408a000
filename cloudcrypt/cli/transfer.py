"""Payloads in and out: a stream of at most 1 MiB at a time, whatever the volume's size."""

import os
import stat
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cloudcrypt.cli.output import progress
from cloudcrypt.disk import sync_folder
from cloudcrypt.errors import DeviceIOError, DeviceUnavailable, InvalidRequest
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.luks2.sectors import RUN_SIZE
from cloudcrypt.mapper import UserspaceMapping


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
        sync_folder(Path(path).absolute().parent)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise DeviceIOError(path, "write", 0, error.strerror or "unknown error") from error
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def export_payload(payload: SectorFile, output: str) -> int:
    """Decrypt a payload to a new file, or to standard output for ``-``; return its bytes.

    Raises:
        InvalidRequest: standard output is a terminal.
        DeviceIOError: the output cannot be written.
        BrokenPipeError: nobody reads standard output any more.
    """
    if output != "-":
        with write_new(output) as file:
            _copy_out(payload, file.write, output)
    elif sys.stdout.isatty():
        raise InvalidRequest("--output", "-", "a pipe or a file; a terminal is neither")
    else:
        _copy_out(payload, sys.stdout.buffer.write, "standard output")
        sys.stdout.buffer.flush()
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


def _copy_out(payload: SectorFile, write: Callable[[memoryview], int], name: str) -> None:
    buffer = memoryview(bytearray(RUN_SIZE))
    with progress("export", payload.size) as advance:
        while count := payload.readinto(buffer):
            write_all(write, buffer[:count], name)
            advance(count)


def write_all(write: Callable[[memoryview], int], content: memoryview, name: str) -> None:
    """Write all of ``content`` by means of ``write``, which may take a part of it at a time.

    Raises:
        DeviceIOError: it cannot be written.
        BrokenPipeError: nobody reads it any more.
    """
    try:
        while content:
            content = content[write(content) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or "unknown error"
        raise DeviceIOError(name, "write", 0, reason) from error


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
