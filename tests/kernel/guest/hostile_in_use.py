"""Storage that changes a volume while it is mapped or mounted: cases that run in the guest."""

import os
from contextlib import suppress
from typing import Any

from cloudcrypt.errors import (
    CapacityRefused,
    DeviceNotBlank,
    HeaderRefused,
    IdentityRefused,
)
from cloudcrypt.luks2 import Step, layout
from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from tests.kernel.guest.filesystem_bench import write
from tests.kernel.guest.hostile_bench import (
    CONTENTS,
    FILE,
    MORE,
    SAMPLES,
    SECTOR,
    SIZE,
    VOLUME,
    Hostile,
    case,
    forget,
    readable,
    require_error,
)
from tests.kernel.guest.mapper_bench import mapped

HEADER = layout.DATA_OFFSET


def _goes_on(hostile: Hostile) -> None:
    """Require that a mounted volume is read and written as if nothing had happened."""
    assert CONTENTS["a"] == hostile.read()
    write(hostile.target / "more", MORE)
    forget()
    assert MORE == (hostile.target / "more").read_bytes()


def _mended(hostile: Hostile, *, overwrite: bool = False) -> None:
    """Restore the header from its backup, and require that all is there."""
    backup = (hostile.prepared / "backup").read_bytes()
    hostile.stage.restore_header(hostile.attach(), backup, overwrite=overwrite)
    hostile.mounted()
    assert (CONTENTS["a"], MORE) == (hostile.read(), (hostile.target / "more").read_bytes())
    hostile.closed()


@case()
def a_header_that_is_blanked_beneath_a_mount(hostile: Hostile) -> None:
    hostile.mounted()
    hostile.overwrite(0, bytes(HEADER))
    _goes_on(hostile)
    hostile.closed()
    hostile.require_refused(HeaderRefused, step_name=Step.BINARY.name)
    assert bytes(HEADER) == hostile.file.read_bytes()[:HEADER]
    _mended(hostile)


@case(Mode.CRYPT)
def a_header_that_becomes_noise_beneath_a_mount(hostile: Hostile) -> None:
    hostile.mounted()
    noise = os.urandom(HEADER)
    hostile.overwrite(0, noise)
    _goes_on(hostile)
    hostile.closed()
    hostile.require_refused(HeaderRefused, step_name=Step.BINARY.name)
    backup = (hostile.prepared / "backup").read_bytes()
    device = hostile.attach()
    require_error(lambda: hostile.stage.restore_header(device, backup), DeviceNotBlank)
    assert noise == hostile.file.read_bytes()[:HEADER]
    _mended(hostile, overwrite=True)


@case()
def a_header_that_becomes_another_volumes_beneath_a_mapping(hostile: Hostile) -> None:
    hostile.mounted()
    hostile.overwrite(0, hostile.image("b")[:HEADER])
    before = mapped()
    forget()
    hostile.new_process()  # which has to prove the mapping, and cannot
    device = hostile.attach()
    facts: dict[str, Any] = {"step_name": Step.IDENTITY.name}
    require_error(lambda: hostile.stage.open(device, raw=False), IdentityRefused, **facts)
    assert (before, CONTENTS["a"]) == (mapped(), hostile.read())
    hostile.closed()
    hostile.require_refused(IdentityRefused, **facts)
    backup = (hostile.prepared / "backup").read_bytes()
    refused = lambda: hostile.stage.restore_header(device, backup)  # noqa: E731
    require_error(refused, IdentityRefused, **facts)
    hostile.require_refused(IdentityRefused, **facts)


@case()
def a_disk_that_is_blanked_beneath_a_mount(hostile: Hostile) -> None:
    hostile.mounted()
    hostile.overwrite(0, bytes(SIZE))
    forget()
    with suppress(OSError):
        assert CONTENTS["a"] != (hostile.target / FILE).read_bytes()
    hostile.closed()
    hostile.require_refused(HeaderRefused, step_name=Step.BINARY.name)
    assert bytes(HEADER) == hostile.file.read_bytes()[:HEADER]


@case()
def a_disk_that_becomes_another_volumes_beneath_a_mapping(hostile: Hostile) -> None:
    mapping = hostile.stage.open(hostile.attach(), raw=False)
    hostile.overwrite(0, hostile.image("b"))
    before = hostile.stored()
    forget()
    shown = [hostile.place("a"), hostile.place("b")]
    shown += range(0, mapping.size, mapping.size // SAMPLES // SECTOR * SECTOR)
    pieces = readable(mapping.path, shown)
    assert not any(piece in CONTENTS["b"] for piece in pieces.values())
    if hostile.mode is Mode.INTEGRITY:
        assert not pieces
    hostile.stage.close(VOLUME)
    assert before == hostile.stored(), "the disk was written to"
    hostile.require_refused(IdentityRefused, step_name=Step.IDENTITY.name)


@case()
def a_disk_that_loses_its_end_beneath_a_mapping(hostile: Hostile) -> None:
    device = hostile.attach()
    mapping = hostile.stage.open(device, raw=False)
    assert hostile.loop is not None
    hostile.loop.grow(SIZE - 3 * MIB)  # it shrinks
    assert {0} == set(readable(mapping.path, [0, mapping.size - SECTOR]))
    hostile.stage.close(VOLUME)
    hostile.new_process()
    hostile.require_refused(
        CapacityRefused, found={"device size": SIZE - 3 * MIB}, expected=f"at least {SIZE}"
    )
