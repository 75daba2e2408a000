"""What is recorded of a payload before it has a filesystem, and of whom it is then."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from cloudcrypt.disk import FileDisk
from cloudcrypt.errors import (
    CloudcryptError,
    PayloadForbids,
    StateForbids,
    UnknownVolume,
    UnsupportedOperation,
    VolumeBusy,
)
from cloudcrypt.filesystem import FilesystemKind
from cloudcrypt.ledger import (
    Filesystem,
    Holder,
    Making,
    Payload,
    Raw,
    State,
    Unrecorded,
    Untouched,
)
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import UserspaceMapper
from cloudcrypt.model import ClonedFrom, Mode
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from tests.unit.nodes import OTHER, PROFILES, VOLUME, key_service
from tests.unit.payloads import CountingTools, FileMapper, PayloadHost

EXT4, XFS = FilesystemKind.EXT4, FilesystemKind.XFS
UUID = "0f1e2d3c-4b5a-4697-8877-665544332211"


@pytest.fixture
def tools() -> CountingTools:
    return CountingTools()


@pytest.fixture
def host(tmp_path: Path, tools: CountingTools) -> Iterator[PayloadHost]:
    with PayloadHost(tmp_path / "host", tools=tools) as host:
        yield host


# --- what is recorded of a payload before there is a filesystem ---


@pytest.mark.parametrize("mode", Mode)
def test_formatting_leaves_a_payload_untouched(host: PayloadHost, mode: Mode) -> None:
    size = layout.DATA_OFFSET + 2 * MIB
    device = host.device(size)
    record = host.stage.register_new(VOLUME, capacity=size, mode=mode)
    assert Unrecorded() == record.payload
    assert Untouched() == host.stage.format(device).payload


def test_opening_for_a_filesystem_or_for_reading_leaves_it_untouched(host: PayloadHost) -> None:
    device = host.formatted()
    host.stage.open(device, raw=False)
    host.stage.close(VOLUME)
    host.stage.open(device, writable=False)
    assert Untouched() == host.record().payload


@pytest.mark.parametrize("again", [False, True])
def test_opening_as_a_block_device_is_recorded_for_ever(host: PayloadHost, *, again: bool) -> None:
    device = host.formatted()
    if again:
        host.stage.open(device, raw=False)
    host.stage.open(device)
    host.stage.close(VOLUME)
    host.stage.open(device, raw=False)
    assert Raw() == host.record().payload
    with pytest.raises(PayloadForbids, match="recorded as raw, which forbids making ext4"):
        host.filesystem.make(device, EXT4)


def test_a_volume_that_did_not_open_is_still_untouched(host: PayloadHost) -> None:
    device = host.formatted()
    with FileDisk(host.image, writable=True), pytest.raises(CloudcryptError):
        host.stage.open(device)
    assert Untouched() == host.record().payload


@pytest.mark.parametrize("payload", [Filesystem(EXT4, UUID), Unrecorded(), Raw()])
def test_opening_as_a_block_device_changes_no_other_record(
    host: PayloadHost, payload: Payload
) -> None:
    device = host.formatted()
    host.set_payload(payload)
    host.stage.open(device)
    assert payload == host.record().payload


def test_nobody_writes_where_a_filesystem_is_being_made(host: PayloadHost) -> None:
    device = host.formatted()
    host.set_payload(Making(EXT4, UUID))
    with pytest.raises(PayloadForbids, match="making ext4"):
        host.stage.open(device)
    host.stage.open(device, writable=False)
    host.stage.close(VOLUME)
    host.stage.open(device, raw=False)
    with pytest.raises(PayloadForbids, match="making ext4"):
        host.stage.open(device)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (Filesystem(XFS, UUID), Filesystem(XFS, UUID)),
        (Raw(), Raw()),
        (Untouched(), Unrecorded()),
        (Making(XFS, UUID), Unrecorded()),
        (Unrecorded(), Unrecorded()),
    ],
)
def test_a_copy_has_the_filesystem_of_its_origin_and_is_never_untouched(
    host: PayloadHost, payload: Payload, expected: Payload
) -> None:
    device = host.formatted()
    host.set_payload(payload)
    copy = attrs.evolve(device, volume_id=OTHER)
    assert expected == host.stage.rebind(copy, ClonedFrom(VOLUME)).payload


# --- whose filesystem may be touched ---


def test_a_volume_that_is_not_open_here_is_left_alone(
    host: PayloadHost, tools: CountingTools
) -> None:
    device = host.formatted()
    for each in (host.filesystem, host.stage_with(FileMapper(host.folder)).filesystem(VOLUME)):
        with pytest.raises(StateForbids, match="not open here"):
            each.make(device, EXT4)
    host.stage.open(device, writable=False)
    with pytest.raises(StateForbids, match="open for reading"):
        host.filesystem.make(device, EXT4)
    assert [] == tools.ran


def test_a_volume_that_another_node_holds_is_left_alone(host: PayloadHost) -> None:
    device = host.opened()
    record = host.record()
    host.ledger.replace(record, attrs.evolve(record, holder=Holder("node-2", "boot")))
    with pytest.raises(VolumeBusy, match="node-2"):
        host.filesystem.make(device, EXT4)


@pytest.mark.parametrize("state", [state for state in State if state is not State.READY])
def test_a_volume_in_another_state_is_left_alone(host: PayloadHost, state: State) -> None:
    device = host.opened()
    record = host.record()
    host.ledger.replace(record, attrs.evolve(record, state=state))
    with pytest.raises(StateForbids, match=state.value):
        host.filesystem.make(device, EXT4)


def test_an_unknown_volume_has_no_filesystem(host: PayloadHost) -> None:
    with pytest.raises(UnknownVolume):
        host.filesystem.make(host.device(MIB), EXT4)
    with pytest.raises(UnknownVolume):
        host.filesystem.status()


def test_a_mapping_in_user_space_has_no_filesystem(host: PayloadHost) -> None:
    device = host.formatted()
    stage = Stage(
        host.ledger,
        key_service(),
        UserspaceMapper(),
        holder=Holder("node-1", "boot-1"),
        profiles=PROFILES,
        filesystems=host.filesystems,
    )
    stage.open(device, raw=False)
    with pytest.raises(UnsupportedOperation, match="KernelMapper"):
        stage.filesystem(VOLUME).make(device, EXT4)
    stage.close(VOLUME)
