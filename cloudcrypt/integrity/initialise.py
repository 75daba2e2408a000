"""Tags-only initialisation: an integrity volume in the time of writing 0.8 % of it.

A fresh disk reads as zeros. Writing, for every sector, the tag of 4096 zero bytes of *ciphertext*
makes the whole volume readable without touching its data area; the plaintext of a sector that was
never written is noise. Where the disk is not zero after all, reading fails closed.
"""

from collections.abc import Callable

from cloudcrypt.disk import Disk
from cloudcrypt.integrity import superblock
from cloudcrypt.integrity.blank_tags import blank_tags
from cloudcrypt.integrity.geometry import SECTORS_PER_RUN, SUPERBLOCK_OFFSET, Geometry
from cloudcrypt.integrity.journal import Position, section_bytes
from cloudcrypt.secret import Secret

SYNC_RUNS = 64
"""Runs between two flushes: 1 GiB of payload, 8 MiB of tags."""


def write_tags(
    disk: Disk,
    volume_key: Secret,
    geometry: Geometry,
    *,
    first: int = 0,
    durable: Callable[[int], None] = lambda _: None,
    workers: int | None = None,
) -> None:
    """Write the tags of a blank data area. Resumable; memory is bounded whatever the size.

    Args:
        disk: whose data area reads as zeros from sector ``first`` on.
        volume_key: the 96 bytes of the volume key.
        geometry: of the volume.
        first: the sector to begin with.
        durable: is told after each flush up to which sector the tags are durable.
        workers: processes that compute; by default one for each processor.

    Raises:
        DeviceIOError: the device failed; go on from what ``durable`` was told last.
    """
    since = 0
    for sector, content in blank_tags(volume_key, first, geometry.sectors, workers):
        disk.write(geometry.tag_offset(sector), content)
        since += 1
        if since == SYNC_RUNS:
            disk.sync()
            durable(min(sector - sector % SECTORS_PER_RUN + SECTORS_PER_RUN, geometry.sectors))
            since = 0
    disk.sync()
    durable(geometry.sectors)


def write_journal_and_superblock(disk: Disk, geometry: Geometry) -> None:
    """Write a fresh journal and then the superblock, each durable before the next. Idempotent.

    Raises:
        DeviceIOError: the device failed; do it again.
    """
    for section in range(geometry.journal_sections):
        disk.write(geometry.section_offset(section), section_bytes(Position(section, 0)))
    disk.sync()
    write_superblock(disk, geometry)


def write_superblock(disk: Disk, geometry: Geometry) -> None:
    """Write the superblock, durably. Idempotent.

    Raises:
        DeviceIOError: the device failed; do it again.
    """
    disk.write(SUPERBLOCK_OFFSET, superblock.build(geometry))
    disk.sync()
