"""A filesystem is made once, where the ledger says that nothing is; the disk can only object."""

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk, HostDisk
from cloudcrypt.errors import (
    DeviceIOError,
    DeviceMismatch,
    DeviceNotBlank,
    DeviceTooSmall,
    DeviceUnavailable,
    FilesystemFailed,
    FilesystemMismatch,
    HostUnready,
    OperationCancelled,
    PayloadForbids,
    RecordChanged,
)
from cloudcrypt.filesystem import Ended, FilesystemKind, HostTools
from cloudcrypt.integrity import Geometry
from cloudcrypt.ledger import (
    Filesystem,
    Making,
    Payload,
    Raw,
    Unrecorded,
    Untouched,
)
from cloudcrypt.luks2 import layout
from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.waiting import Cancellation, Deadline
from tests.unit.payloads import CountingTools, PayloadHost

EXT4, XFS = FilesystemKind.EXT4, FilesystemKind.XFS
UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"


@pytest.fixture
def tools() -> CountingTools:
    return CountingTools()


@pytest.fixture
def host(tmp_path: Path, tools: CountingTools) -> Iterator[PayloadHost]:
    with PayloadHost(tmp_path / "host", tools=tools) as host:
        yield host


# --- making ---


@pytest.mark.parametrize("kind", FilesystemKind)
def test_a_filesystem_is_made_and_recorded(
    host: PayloadHost, tools: CountingTools, kind: FilesystemKind
) -> None:
    device = host.opened(kind)
    made = host.filesystem.make(device, kind)
    assert made == host.record().payload
    found = host.filesystem.status().found
    assert found is not None
    assert (kind, made.uuid) == (found.kind, found.uuid) == (made.kind, found.uuid)
    assert [f"mkfs.{kind.value}"] == tools.ran


def test_it_is_not_made_again(host: PayloadHost, tools: CountingTools) -> None:
    device = host.made()
    before = host.payload_path.read_bytes()
    assert host.record().payload == host.filesystem.make(device, EXT4)
    assert ["mkfs.ext4"] == tools.ran
    assert before == host.payload_path.read_bytes()


def test_a_filesystem_of_another_kind_is_not_made_over_it(
    host: PayloadHost, tools: CountingTools
) -> None:
    device = host.made(XFS)
    with pytest.raises(PayloadForbids, match="filesystem xfs, which forbids making ext4"):
        host.filesystem.make(device, EXT4)
    assert ["mkfs.xfs"] == tools.ran


@pytest.mark.parametrize("payload", [Unrecorded(), Raw()])
def test_it_is_not_made_where_nobody_knows_or_somebody_wrote(
    host: PayloadHost, tools: CountingTools, payload: Payload
) -> None:
    device = host.opened()
    host.set_payload(payload)
    with pytest.raises(PayloadForbids):
        host.filesystem.make(device, EXT4)
    assert ([], payload) == (tools.ran, host.record().payload)


@pytest.mark.parametrize("size", [0, 4096, 1024 * 1024])
def test_a_filesystem_that_is_gone_is_not_made_anew(
    host: PayloadHost, tools: CountingTools, size: int
) -> None:
    device = host.made()
    with host.payload_path.open("r+b") as file:
        file.write(bytes(max(size, 2048)))
    left = host.payload_path.read_bytes()
    for ask in (
        lambda: host.filesystem.make(device, EXT4),
        lambda: host.filesystem.mount(host.target()),
        host.filesystem.check,
        host.filesystem.grow,
        host.filesystem.adopt,
    ):
        with pytest.raises(FilesystemMismatch, match="holds None, expected 'ext4 "):
            ask()
    assert (["mkfs.ext4"], left) == (tools.ran, host.payload_path.read_bytes())


def test_another_filesystem_is_not_taken_for_the_recorded_one(host: PayloadHost) -> None:
    device = host.made()
    host.set_payload(Filesystem(EXT4, UUID))
    with pytest.raises(FilesystemMismatch, match=f"expected 'ext4 {UUID}'"):
        host.filesystem.make(device, EXT4)


def test_a_filesystem_that_is_larger_than_its_device_is_not_whole(host: PayloadHost) -> None:
    host.made()
    os.truncate(host.payload_path, 16 * MIB)
    with pytest.raises(FilesystemMismatch, match=f"at most {16 * MIB} bytes"):
        host.filesystem.mount(host.target())


# --- the device objects ---


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"x")


def test_an_untouched_payload_above_a_device_that_is_not_blank_is_left_alone(
    host: PayloadHost, tools: CountingTools
) -> None:
    device = host.opened()
    damage(host.image, layout.DATA_OFFSET + 5 * MIB)
    with pytest.raises(DeviceNotBlank):
        host.filesystem.make(device, EXT4)
    assert ([], Untouched()) == (tools.ran, host.record().payload)


@pytest.mark.parametrize("last", [False, True])
def test_the_device_of_a_volume_with_integrity_is_looked_at_between_its_tags(
    host: PayloadHost, tools: CountingTools, *, last: bool
) -> None:
    device = host.formatted(EXT4, Mode.INTEGRITY)
    host.stage.open(device, raw=False)
    geometry = Geometry.of(device.size)
    sector = geometry.sectors - 1 if last else 0
    content = host.image.read_bytes()
    damage(host.image, geometry.data_offset(sector) + 4095)
    with pytest.raises(DeviceNotBlank):
        host.filesystem.make(device, EXT4)
    host.image.write_bytes(content)
    host.filesystem.make(device, EXT4)
    assert ["mkfs.ext4"] == tools.ran


def test_a_device_that_cannot_be_read_is_not_blank(tmp_path: Path, tools: CountingTools) -> None:
    class Broken(FileDisk):
        def read_into(self, offset: int, buffer: memoryview) -> None:
            if offset >= layout.DATA_OFFSET:
                raise DeviceIOError(self.name, "read", offset, os.strerror(errno.EIO))
            super().read_into(offset, buffer)

    def broken(path: Path, /, *, writable: bool = False) -> HostDisk:
        return Broken(path, writable=writable)

    with PayloadHost(tmp_path / "host") as host:
        device = host.opened()
    damage(host.image, layout.DATA_OFFSET)  # so that there is something to read
    with PayloadHost(tmp_path / "host", tools=tools, open_disk=broken) as host:
        host.stage.open(device, raw=False)
        with pytest.raises(DeviceIOError, match="Input/output error"):
            host.filesystem.make(device, EXT4)
        assert ([], Untouched()) == (tools.ran, host.record().payload)


def test_a_payload_that_cannot_be_read_is_not_empty(
    host: PayloadHost, tools: CountingTools
) -> None:
    device = host.opened()
    host.payload_path.unlink()
    with pytest.raises(DeviceUnavailable):
        host.filesystem.make(device, EXT4)
    assert ([], Untouched()) == (tools.ran, host.record().payload)


@pytest.mark.parametrize("payload", [Untouched(), Making(EXT4, UUID)])
def test_a_whole_filesystem_that_is_not_recorded_is_not_overwritten(
    host: PayloadHost, tools: CountingTools, payload: Payload
) -> None:
    device = host.made()
    host.set_payload(payload)
    left = host.payload_path.read_bytes()
    with pytest.raises(FilesystemMismatch, match="expected 'none"):
        host.filesystem.make(device, EXT4)
    assert (["mkfs.ext4"], left) == (tools.ran, host.payload_path.read_bytes())


def test_another_device_than_that_of_the_volume_is_refused(
    host: PayloadHost, tmp_path: Path
) -> None:
    device = host.opened()
    other = tmp_path / "other.img"
    other.touch()
    os.truncate(other, device.size)
    with pytest.raises(DeviceMismatch):
        host.filesystem.make(attrs.evolve(device, path=other), EXT4)


def test_what_does_not_fit_is_not_recorded(host: PayloadHost) -> None:
    device = host.opened(EXT4)
    with pytest.raises(DeviceTooSmall):
        host.filesystem.make(device, XFS)
    assert Untouched() == host.record().payload
    host.set_payload(Making(EXT4, UUID))
    with pytest.raises(DeviceTooSmall):
        host.filesystem.make(device, XFS)


# --- failures on the way ---


@pytest.mark.parametrize(
    "failure", [HostUnready("mkfs", "get it"), OperationCancelled(), KeyboardInterrupt()]
)
def test_what_was_begun_and_failed_is_made_again_with_the_same_uuid(
    host: PayloadHost, tools: CountingTools, failure: BaseException
) -> None:
    device = host.opened()
    tools.failures = [failure]
    with pytest.raises(type(failure)):
        host.filesystem.make(device, EXT4)
    begun = host.record().payload
    assert isinstance(begun, Making)
    assert Filesystem(EXT4, begun.uuid) == host.filesystem.make(device, EXT4)


def test_what_was_begun_can_become_another_kind(host: PayloadHost) -> None:
    device = host.opened(XFS)
    host.set_payload(Making(EXT4, UUID))
    made = host.filesystem.make(device, XFS)
    assert XFS is made.kind
    assert made.uuid != UUID


def test_a_program_that_lies_is_not_believed(tmp_path: Path) -> None:
    liar = tmp_path / "mkfs.ext4"
    liar.write_text("#!/bin/sh\n")
    liar.chmod(0o700)
    with PayloadHost(tmp_path / "host", tools=HostTools(f"{tmp_path}:/bin")) as host:
        device = host.opened()
        with pytest.raises(FilesystemMismatch, match="holds None"):
            host.filesystem.make(device, EXT4)
        assert isinstance(host.record().payload, Making)


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    failing = tmp_path / "mkfs.ext4"
    failing.write_text("#!/bin/sh\necho no luck; exit 3\n")
    failing.chmod(0o700)
    with PayloadHost(tmp_path / "host", tools=HostTools(f"{tmp_path}:/bin")) as host:
        device = host.opened()
        with pytest.raises(FilesystemFailed, match=r"mkfs.ext4 ended with status 3 \('no luck'\)"):
            host.filesystem.make(device, EXT4)


def test_without_the_programs_nothing_is_written(tmp_path: Path) -> None:
    with PayloadHost(tmp_path / "host", tools=HostTools("")) as host:
        device = host.opened()
        left = host.payload_path.read_bytes()
        with pytest.raises(HostUnready, match=r"mkfs.ext4.*apt-get install e2fsprogs"):
            host.filesystem.make(device, EXT4)
        assert left == host.payload_path.read_bytes()


def test_a_cancelled_caller_stops_the_program(host: PayloadHost) -> None:
    device = host.opened()
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(OperationCancelled):
        host.filesystem.make(device, EXT4, deadline=Deadline.after(60, cancellation=cancellation))


def test_a_record_that_somebody_changed_meanwhile_is_not_overwritten(
    host: PayloadHost, tools: CountingTools
) -> None:
    device = host.opened()

    class Interfering(CountingTools):
        def run(self, *arguments: object, **options: object) -> Ended:
            host.set_payload(Raw())
            return tools.run(*arguments, **options)  # type: ignore[arg-type]

    host.filesystems.tools = Interfering()
    with pytest.raises(RecordChanged):
        host.filesystem.make(device, EXT4)
    assert Raw() == host.record().payload


def test_of_many_that_make_it_at_once_one_makes_it(tmp_path: Path, tools: CountingTools) -> None:
    with ExitStack() as stack:
        hosts = [stack.enter_context(PayloadHost(tmp_path / "host", tools=tools)) for _ in range(4)]
        device = hosts[0].formatted()
        for host in hosts:
            host.stage.open(device, raw=False)  # the mapping of one is taken over by the next

        def make(host: PayloadHost) -> Filesystem:
            return host.filesystem.make(device, EXT4)

        with ThreadPoolExecutor(4) as pool:
            made = set(pool.map(make, hosts))
    assert (1, ["mkfs.ext4"]) == (len(made), tools.ran)
