"""Header backups: what they hold, which are taken back, and which are refused."""

import shutil

import attrs
import pytest

from cloudcrypt.errors import (
    DeviceBusy,
    DeviceNotBlank,
    HeaderRefused,
    IdentityRefused,
    InvalidRequest,
    SealRefused,
    StateForbids,
    UnknownVolume,
    VolumeBusy,
)
from cloudcrypt.ledger import State, Unrecorded
from cloudcrypt.luks2 import layout
from cloudcrypt.model import Expectation, KeyPolicy, Mode
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.stage import Adopt, Trust
from tests.unit.nodes import (
    CONTENT,
    OTHER,
    VOLUME,
    Node,
    empty_folder,
    key_service,
    read_header,
    write_bytes,
)

LAYOUT = LAYOUTS[Mode.CRYPT]
BOTH = pytest.mark.parametrize("policy", KeyPolicy)


def wipe_header(node: Node, volume_id: str = VOLUME) -> None:
    write_bytes(node.device(volume_id), 0, bytes(layout.DATA_OFFSET))


# --- taking one ---


@BOTH
def test_a_backup_is_16_mib_and_holds_only_the_header(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    write_bytes(device, 2**20, b"not part of the header")
    backup = node.stage.backup_header(device, policy=policy)
    assert layout.DATA_OFFSET == len(backup)
    end = LAYOUT.area_offset + LAYOUT.area_size
    assert read_header(device)[layout.KEYSLOTS_OFFSET : end] == backup[layout.KEYSLOTS_OFFSET : end]
    assert bytes(layout.DATA_OFFSET - end) == backup[end:]


@BOTH
def test_a_backup_changes_nothing(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    before, record = device.path.read_bytes(), node.record()
    node.stage.backup_header(device, policy=policy)
    assert (before, record) == (device.path.read_bytes(), node.record())


def test_no_backup_is_made_of_a_header_that_is_refused(node: Node) -> None:
    device = node.formatted()
    write_bytes(device, 5000, b"x")
    with pytest.raises(HeaderRefused):
        node.stage.backup_header(device)


@pytest.mark.parametrize("state", [state for state in State if state is not State.READY])
def test_no_backup_is_made_of_a_volume_in_transition(node: Node, state: State) -> None:
    device = node.formatted()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    with pytest.raises(StateForbids):
        node.stage.backup_header(device)


@pytest.mark.parametrize("trust", [Adopt(Mode.CRYPT), Expectation(Mode.CRYPT, 2)])
def test_a_backup_of_an_unknown_volume_needs_trust_and_records_nothing(
    node: Node, trust: Trust
) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    stranger = node.again(base=empty_folder(node.base))
    assert layout.DATA_OFFSET == len(stranger.stage.backup_header(device, trust=trust))
    assert [] == list(stranger.ledger.records())


# --- putting it back ---


@BOTH
@pytest.mark.parametrize("damage", ["wiped", "scrambled", "one bit", "nothing"])
def test_a_restored_header_opens(node: Node, policy: KeyPolicy, damage: str) -> None:
    device = node.formatted(policy=policy)
    backup = node.stage.backup_header(device, policy=policy)
    content = {
        "wiped": bytes(layout.DATA_OFFSET),
        "scrambled": b"\xa5" * layout.DATA_OFFSET,
        "one bit": b"M",
        "nothing": b"",
    }
    write_bytes(device, 0, content[damage])
    before = node.record()
    overwrite = damage == "scrambled"
    found = node.stage.restore_header(device, backup, policy=policy, overwrite=overwrite)
    assert before == found
    assert CONTENT == node.content(device, policy=policy)


@BOTH
def test_damage_to_the_keyslot_area_alone_is_restored(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    backup = node.stage.backup_header(device, policy=policy)
    write_bytes(device, 50000, b"\xa5\xa5\xa5\xa5")
    node.stage.restore_header(device, backup, policy=policy)
    assert CONTENT == node.content(device, policy=policy)


@pytest.mark.parametrize("content", [b"\xa5" * 65536, b"\0" * 1080 + b"\x53\xef"])
def test_what_is_no_header_is_not_overwritten_unasked(node: Node, content: bytes) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    write_bytes(device, 0, content.ljust(layout.KEYSLOTS_OFFSET, b"\0"))
    before = device.path.read_bytes()
    with pytest.raises(DeviceNotBlank):
        node.stage.restore_header(device, backup)
    assert before == device.path.read_bytes()
    node.stage.restore_header(device, backup, overwrite=True)
    assert CONTENT == node.content(device)


def test_the_header_of_another_volume_is_not_overwritten(node: Node) -> None:
    backup = node.stage.backup_header(node.formatted())
    other = node.formatted(OTHER)
    before = other.path.read_bytes()
    mistaken = attrs.evolve(other, volume_id=VOLUME)
    with pytest.raises(IdentityRefused):
        node.stage.restore_header(mistaken, backup)
    assert before == other.path.read_bytes()


def test_a_backup_does_not_go_back_behind_the_disk_without_a_ledger(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    node.stage.rotate(device)
    before = device.path.read_bytes()
    stranger = node.again(base=empty_folder(node.base))
    with pytest.raises(IdentityRefused):
        stranger.stage.restore_header(device, backup, trust=Expectation(Mode.CRYPT, 1))
    assert before == device.path.read_bytes()


@BOTH
def test_restoring_twice_is_restoring_once(node: Node, policy: KeyPolicy) -> None:
    device = node.formatted(policy=policy)
    backup = node.stage.backup_header(device, policy=policy)
    wipe_header(node)
    for _ in range(3):
        node.stage.restore_header(device, backup, policy=policy)
    assert CONTENT == node.content(device, policy=policy)


def test_a_header_that_is_the_backup_is_left_alone(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    before = device.path.read_bytes()
    node.stage.restore_header(device, backup)
    assert before == device.path.read_bytes()


def test_a_rotated_volume_is_restored_from_its_own_generation(node: Node) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    backup = node.stage.backup_header(device)
    wipe_header(node)
    node.stage.restore_header(device, backup)
    assert node.stage.rotate(device).generation == 3
    assert CONTENT == node.content(device)


def test_after_a_restore_the_volume_key_is_in_one_keyslot_area(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    write_bytes(device, 4096, b"x")  # one copy is damaged, the keyslot area is whole
    write_bytes(device, LAYOUT.alternate_offset, b"x" * LAYOUT.area_size)
    node.stage.restore_header(device, backup)
    header = read_header(device)
    areas = [
        header[start : start + LAYOUT.area_size] == bytes(LAYOUT.area_size)
        for start in (LAYOUT.area_offset, LAYOUT.alternate_offset)
    ]
    assert [False, True] == sorted(areas)


@pytest.mark.parametrize("trust", [Adopt(Mode.CRYPT), Expectation(Mode.CRYPT, 2)])
def test_a_restore_of_an_unknown_volume_is_recorded(node: Node, trust: Trust) -> None:
    device = node.formatted()
    node.stage.rotate(device)
    backup = node.stage.backup_header(device)
    wipe_header(node)
    stranger = node.again(base=empty_folder(node.base))
    record = stranger.stage.restore_header(device, backup, trust=trust)
    assert attrs.evolve(node.record(), payload=Unrecorded()) == record
    assert CONTENT == stranger.content(device)


# --- what is refused; the disk stays as it was ---


def refused(
    node: Node,
    backup: bytes,
    error: type[Exception],
    policy: KeyPolicy = KeyPolicy.BOUND,
) -> None:
    device = node.device()
    before, record = device.path.read_bytes(), node.record()
    with pytest.raises(error):
        node.stage.restore_header(device, backup, policy=policy)
    assert (before, record) == (device.path.read_bytes(), node.record())


def test_a_backup_of_an_older_generation_is_refused(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    node.stage.rotate(device)
    refused(node, backup, IdentityRefused)
    wipe_header(node)
    refused(node, backup, IdentityRefused)


@BOTH
def test_a_backup_of_another_volume_is_refused(node: Node, policy: KeyPolicy) -> None:
    node.formatted(policy=policy)
    backup = node.stage.backup_header(node.formatted(OTHER, policy=policy), policy=policy)
    refused(node, backup, HeaderRefused, policy)


@pytest.mark.parametrize("length", [0, 1, layout.DATA_OFFSET - 1, layout.DATA_OFFSET + 1])
def test_a_backup_of_another_length_is_refused(node: Node, length: int) -> None:
    backup = node.stage.backup_header(node.formatted())
    refused(node, (backup + b"\0")[:length], InvalidRequest)


@BOTH
@pytest.mark.parametrize("offset", [0, 100, 5000, layout.SECONDARY_OFFSET + 3])
def test_a_damaged_backup_is_refused(node: Node, policy: KeyPolicy, offset: int) -> None:
    backup = bytearray(node.stage.backup_header(node.formatted(policy=policy), policy=policy))
    backup[offset] ^= 1
    refused(node, bytes(backup), HeaderRefused, policy)


@BOTH
def test_a_backup_with_a_damaged_keyslot_is_refused(node: Node, policy: KeyPolicy) -> None:
    backup = bytearray(node.stage.backup_header(node.formatted(policy=policy), policy=policy))
    backup[LAYOUT.area_offset + 100_000] ^= 1
    refused(node, bytes(backup), HeaderRefused, policy)


def test_a_wrong_master_secret_restores_nothing(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    wipe_header(node)
    with pytest.raises(SealRefused):
        node.again(keys=key_service(1)).stage.restore_header(device, backup)
    assert bytes(layout.DATA_OFFSET) == read_header(device)


def test_a_restore_of_an_unknown_volume_needs_trust(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    stranger = node.again(base=empty_folder(node.base))
    with pytest.raises(UnknownVolume):
        stranger.stage.restore_header(device, backup)
    assert [] == list(stranger.ledger.records())


@pytest.mark.parametrize("state", [State.NEW, State.FORMATTING, State.ROTATING, State.REBINDING])
def test_a_volume_in_another_transition_is_not_restored(node: Node, state: State) -> None:
    backup = node.stage.backup_header(node.formatted())
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=state))
    refused(node, backup, StateForbids)


def test_a_volume_that_is_open_is_not_restored(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    node.stage.open(device)
    with pytest.raises(DeviceBusy):
        node.stage.restore_header(device, backup)
    elsewhere = attrs.evolve(device, path=node.path(OTHER))  # as another node sees the same disk
    shutil.copyfile(device.path, elsewhere.path)
    with pytest.raises(VolumeBusy):
        node.again(name="node-2").stage.restore_header(elsewhere, backup)
    assert (State.READY, node.holder) == (node.record().state, node.record().holder)


# --- a restore that was cut short ---


def test_opening_ends_a_restore_that_was_written_and_not_recorded(node: Node) -> None:
    device = node.formatted()
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=State.RESTORING))
    assert CONTENT == node.content(device)
    assert node.record().state is State.READY


def test_a_restore_that_wrote_one_copy_is_finished_before_it_is_done_again(node: Node) -> None:
    device = node.formatted()
    backup = node.stage.backup_header(device)
    node.ledger.replace(node.record(), attrs.evolve(node.record(), state=State.RESTORING))
    write_bytes(device, 0, b"\xa5" * layout.METADATA_SIZE)
    assert node.stage.restore_header(device, backup).state is State.READY
    assert CONTENT == node.content(device)
