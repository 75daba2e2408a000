"""Storage that changed a volume between two uses: what is refused, and how; cases in the guest."""

import os
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs

from cloudcrypt.errors import (
    CapacityRefused,
    CloudcryptError,
    DeviceIOError,
    DeviceMismatch,
    FilesystemMismatch,
    HeaderRefused,
    IdentityRefused,
    JournalRefused,
    SealRefused,
    SuperblockRefused,
)
from cloudcrypt.filesystem import FilesystemKind, Health
from cloudcrypt.integrity import Geometry
from cloudcrypt.luks2 import Step, layout
from cloudcrypt.model import Mode
from cloudcrypt.profiles import LAYOUTS
from cloudcrypt.sizes import MIB
from cloudcrypt_testing.headers import FIELDS, MetadataCopy
from tests.kernel.guest.hostile_bench import (
    CONTENTS,
    IDS,
    SAMPLES,
    SECTOR,
    SIZE,
    VOLUME,
    Hostile,
    case,
    readable,
    require_error,
)

HEADER: Final = layout.DATA_OFFSET
GEOMETRY: Final = Geometry.of(SIZE)
COMMIT_ID: Final = 504  # dm-integrity: the last 8 bytes of a sector of 512 in the journal


def refused_at(hostile: Hostile, step: Step, kind: type[HeaderRefused] = HeaderRefused) -> None:
    hostile.require_refused(kind, step=int(step), step_name=step.name)


# --- the header ---


@case()
def a_blanked_disk(hostile: Hostile) -> None:
    os.truncate(hostile.file, 0)
    os.truncate(hostile.file, SIZE)
    refused_at(hostile, Step.BINARY)


@case()
def a_blanked_header(hostile: Hostile) -> None:
    hostile.overwrite(0, bytes(HEADER))
    refused_at(hostile, Step.BINARY)


@case(Mode.CRYPT)
def a_header_of_noise(hostile: Hostile) -> None:
    hostile.overwrite(0, os.urandom(HEADER))
    refused_at(hostile, Step.BINARY)


@case(Mode.CRYPT)
def one_blanked_copy_of_the_header(hostile: Hostile) -> None:
    hostile.overwrite(layout.SECONDARY_OFFSET, bytes(layout.METADATA_SIZE))
    refused_at(hostile, Step.BINARY)


@case(Mode.CRYPT)
def a_bit_of_the_binary_header(hostile: Hostile) -> None:
    hostile.flip(FIELDS["salt"][0])
    refused_at(hostile, Step.CHECKSUM)


@case(Mode.CRYPT)
def a_bit_of_the_document(hostile: Hostile) -> None:
    hostile.flip(layout.SECONDARY_OFFSET + layout.BINARY_SIZE + 20)
    refused_at(hostile, Step.CHECKSUM)


@case()
def a_bit_of_the_keyslot(hostile: Hostile) -> None:
    hostile.flip(LAYOUTS[hostile.mode].alternate_offset + 5000)  # in use since the rotation
    refused_at(hostile, Step.SEAL, SealRefused)


@case(Mode.CRYPT)
def an_older_header_with_older_keys(hostile: Hostile) -> None:
    hostile.overwrite(0, hostile.image("old")[:HEADER])
    hostile.require_refused(
        IdentityRefused, step_name=Step.TOKEN.name, found={"generation": 1}, expected=2
    )


@case()
def a_disk_that_lost_its_end(hostile: Hostile) -> None:
    os.truncate(hostile.file, SIZE - 2 * MIB)
    hostile.require_refused(
        CapacityRefused,
        step_name=Step.CAPACITY.name,
        found={"device size": SIZE - 2 * MIB},
        expected=f"at least {SIZE}",
    )


@case(Mode.CRYPT)
def a_disk_that_lost_its_payload(hostile: Hostile) -> None:
    os.truncate(hostile.file, HEADER)
    refused_at(hostile, Step.READ)


@case(Mode.CRYPT)
def a_disk_that_lost_its_end_and_states_its_old_size(hostile: Hostile) -> None:
    os.truncate(hostile.file, SIZE - 2 * MIB)
    device = hostile.attach()
    before, record = hostile.stored(), hostile.record()
    stale = attrs.evolve(device, size=SIZE)
    for ask in (
        partial(hostile.stage.open, stale, raw=False),
        partial(hostile.stage.format, stale),
    ):
        require_error(
            ask, DeviceMismatch, found=f"{SIZE - 2 * MIB} bytes", expected=f"{SIZE} bytes"
        )
    hostile.require_untouched(before, record)


# --- another volume ---


def _uuid(hostile: Hostile, name: str) -> str:
    record = hostile.ledger.get(IDS[name])
    assert record is not None
    assert record.uuid is not None
    return record.uuid


@case()
def the_disk_of_another_volume(hostile: Hostile) -> None:
    hostile.put("b")
    hostile.require_refused(
        IdentityRefused,
        step_name=Step.IDENTITY.name,
        found={"uuid": _uuid(hostile, "b")},
        expected=_uuid(hostile, "a"),
    )


@case()
def the_disk_of_another_volume_that_claims_to_be_this_one(hostile: Hostile) -> None:
    hostile.put("b")
    image = hostile.image("b")
    for start in (0, layout.SECONDARY_OFFSET):
        copy = MetadataCopy.of(image[start : start + layout.METADATA_SIZE])
        offset, length = FIELDS["uuid"]
        copy.binary[offset : offset + length] = _uuid(hostile, "a").encode().ljust(length, b"\0")
        hostile.overwrite(start, copy.to_bytes())  # its checksum is right
    refused_at(hostile, Step.SEAL, SealRefused)


@case(Mode.CRYPT)
def the_header_of_another_volume(hostile: Hostile) -> None:
    hostile.overwrite(0, hostile.image("b")[:HEADER])
    refused_at(hostile, Step.IDENTITY, IdentityRefused)


@case()
def the_disk_of_the_other_mode(hostile: Hostile) -> None:
    mode = Mode.INTEGRITY if hostile.mode is Mode.CRYPT else Mode.CRYPT
    image = (hostile.prepared.parent / mode.value / "a.img").read_bytes()
    hostile.overwrite(0, image)
    refused_at(hostile, Step.IDENTITY, IdentityRefused)


# --- the payload ---


def _not_served(hostile: Hostile, kind: type[CloudcryptError], **facts: object) -> None:
    """Require that the volume opens, that its filesystem is not used, and none made anew."""
    device, record = hostile.attach(), hostile.record()
    before = hostile.stored()
    mapping = hostile.stage.open(device, raw=False)
    filesystem = hostile.filesystem
    asks: tuple[Callable[[], object], ...] = (
        lambda: filesystem.mount(hostile.target),
        lambda: filesystem.make(device, FilesystemKind.EXT4),
        lambda: filesystem.make(device, FilesystemKind.XFS),
        filesystem.adopt,
        filesystem.check,
    )
    for ask in asks[:2]:
        require_error(ask, kind, **facts)
    for ask in asks[2:]:
        require_error(ask)
    shown = [hostile.place(name) for name in CONTENTS]
    shown += range(0, mapping.size, mapping.size // SAMPLES // SECTOR * SECTOR)
    for piece in readable(mapping.path, shown).values():
        assert all(piece not in content for content in CONTENTS.values())
    assert not hostile.target.is_mount()
    hostile.stage.close(VOLUME)
    hostile.require_untouched(before, record)


@case(Mode.CRYPT)
def a_blanked_payload_is_noise(hostile: Hostile) -> None:
    hostile.overwrite(HEADER, bytes(SIZE - HEADER))
    expected = f"ext4 {_filesystem_uuid(hostile)}"
    _not_served(hostile, FilesystemMismatch, found=None, expected=expected)


@case(Mode.CRYPT)
def the_payload_of_another_volume_is_noise(hostile: Hostile) -> None:
    hostile.overwrite(HEADER, hostile.image("b")[HEADER:])
    expected = f"ext4 {_filesystem_uuid(hostile)}"
    _not_served(hostile, FilesystemMismatch, found=None, expected=expected)


@case(Mode.CRYPT)
def a_bit_of_the_superblock_of_the_filesystem(hostile: Hostile) -> None:
    hostile.flip(HEADER + 1024 + 56)
    device, record = hostile.attach(), hostile.record()
    before = hostile.stored()
    hostile.stage.open(device, raw=False)
    require_error(lambda: hostile.filesystem.mount(hostile.target), FilesystemMismatch, found=None)
    require_error(
        lambda: hostile.filesystem.make(device, FilesystemKind.EXT4), FilesystemMismatch, found=None
    )
    hostile.stage.close(VOLUME)
    hostile.require_untouched(before, record)


@case(Mode.INTEGRITY)
def the_payload_of_another_volume_is_an_error(hostile: Hostile) -> None:
    hostile.overwrite(HEADER, hostile.image("b")[HEADER:])
    _not_served(hostile, DeviceIOError)


@case(Mode.INTEGRITY)
def a_blanked_payload_is_refused(hostile: Hostile) -> None:
    hostile.overwrite(HEADER, bytes(SIZE - HEADER))
    _refused_by_integrity(hostile, SuperblockRefused, field="magic")


@case(Mode.INTEGRITY)
def a_bit_of_the_integrity_superblock(hostile: Hostile) -> None:
    hostile.flip(HEADER + 16)
    units = GEOMETRY.provided_units
    _refused_by_integrity(
        hostile, SuperblockRefused, field="provided_sectors", found=units + 1, expected=units
    )


@case(Mode.INTEGRITY)
def a_bit_of_the_journal(hostile: Hostile) -> None:
    hostile.flip(GEOMETRY.section_offset(0) + COMMIT_ID)
    _refused_by_integrity(hostile, JournalRefused, section=0)


def _refused_by_integrity(hostile: Hostile, kind: type[CloudcryptError], **facts: object) -> None:
    device, before, record = hostile.attach(), hostile.stored(), hostile.record()
    for ask in (
        lambda: hostile.stage.open(device, raw=False),
        lambda: hostile.stage.open(device, writable=False),
    ):
        require_error(ask, kind, **facts)
    hostile.stage.format(device)  # is formatted already
    hostile.require_untouched(before, record)


# --- data ---


def _sector_of_file(hostile: Hostile) -> int:
    """Return where on the disk the first sector of the file is."""
    place = hostile.place("a")
    if hostile.mode is Mode.CRYPT:
        return HEADER + place
    return GEOMETRY.data_offset(place // SECTOR)


@case()
def a_bit_of_the_data(hostile: Hostile) -> None:
    """Without integrity, 16 bytes are noise; with it, one sector is an error, and no byte wrong."""
    where, right = _sector_of_file(hostile), CONTENTS["a"]
    hostile.flip(where + 100)
    hostile.mounted()
    path = hostile.target / "file"
    if hostile.mode is Mode.CRYPT:
        found = hostile.read()
        differing = {at // 16 for at in range(len(right)) if found[at] != right[at]}
        assert {100 // 16} == differing
    else:
        with path.open("rb", buffering=0) as file:
            for at in range(0, len(right), SECTOR):
                try:
                    found = os.pread(file.fileno(), SECTOR, at)
                except OSError:
                    assert at == 0, f"an error at {at}"
                else:
                    assert (right[at : at + SECTOR], True) == (found, at > 0)
    hostile.closed()
    hostile.mounted()
    if hostile.mode is Mode.INTEGRITY:  # and written anew, it is right
        with path.open("r+b") as file:
            file.write(right[:SECTOR])
        assert right == hostile.read()
    hostile.filesystem.unmount(hostile.target)
    assert Health.CLEAN is hostile.filesystem.check()
    hostile.stage.close(VOLUME)


@case(Mode.INTEGRITY)
def a_bit_of_a_tag(hostile: Hostile) -> None:
    hostile.flip(GEOMETRY.tag_offset(0))
    _not_served_sector(hostile)


@case(Mode.INTEGRITY)
def an_older_sector_with_the_tag_of_a_newer_one(hostile: Hostile) -> None:
    old = hostile.image("old")
    start = GEOMETRY.data_offset(0)
    hostile.mounted()
    hostile.closed()  # ext4 counts mounts in its superblock, which is in this sector
    assert old[start : start + SECTOR] != hostile.file.read_bytes()[start : start + SECTOR]
    hostile.overwrite(start, old[start : start + SECTOR])
    _not_served_sector(hostile)


def _not_served_sector(hostile: Hostile) -> None:
    """Require that the first sector, which has ext4's superblock, is an error."""
    device, record = hostile.attach(), hostile.record()
    before = hostile.stored()
    hostile.stage.open(device, raw=False)
    require_error(lambda: hostile.filesystem.mount(hostile.target), DeviceIOError)
    require_error(lambda: hostile.filesystem.make(device, FilesystemKind.EXT4), DeviceIOError)
    hostile.stage.close(VOLUME)
    hostile.require_untouched(before, record)


def _filesystem_uuid(hostile: Hostile) -> str:
    payload = hostile.record().payload
    return str(getattr(payload, "uuid", None))
