"""The mapper of the kernel: dm-crypt, with dm-integrity below it where the volume has integrity.

A mapping is made by libcryptsetup from a header of our own making and the volume key, and handed
out only after the kernel's own tables have said that it is the expected one. It outlives the
process, so one that is found is taken over, if it is proven to be that of the volume.
"""

import errno
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cloudcrypt.disk import HostDisk
from cloudcrypt.errors import (
    CloudcryptError,
    DeviceBusy,
    DeviceIOError,
    MappingConflict,
    StateForbids,
    UnsupportedOperation,
)
from cloudcrypt.integrity.geometry import UNIT
from cloudcrypt.luks2 import UnlockedVolume
from cloudcrypt.mapper import _stack
from cloudcrypt.mapper._block import Block, opened_beside
from cloudcrypt.mapper._devicemapper import Active, DeviceMapper, Devices
from cloudcrypt.mapper._failures import translated
from cloudcrypt.mapper._libcryptsetup import (
    ALLOW_DISCARDS,
    READONLY,
    CallError,
    Library,
    Source,
    load,
)
from cloudcrypt.mapper._locks import PAUSE, PAUSE_LONGEST, MappingLocks
from cloudcrypt.mapper._mapping import KernelMapping
from cloudcrypt.mapper._memfd import header_file
from cloudcrypt.mapper._names import integrity_name, mapping_name, node
from cloudcrypt.mapper.engines import payload_size
from cloudcrypt.mapper.protocol import Reopen
from cloudcrypt.mapper.status import MappingStatus, status_of
from cloudcrypt.model import Mode
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline, Steps

RUNTIME: Final = Path("/run/cloudcrypt")
"""Where the lock file is: forgotten by a reboot, as mappings are."""

LINGERING: Final = 3.0
"""Seconds for which a mapping may be in use after its last user left: udev looks at a device that
was written, which takes it some 50 ms."""


class KernelMapper:
    """Mappings of this host's kernel by volume id; see `cloudcrypt.mapper.Mapper`.

    Needs root, libcryptsetup 2.6 and the kernel modules dm_crypt and dm_integrity. All methods
    raise `HostUnready` where one of them is missing.
    """

    def __init__(
        self,
        *,
        discards: bool = False,
        runtime: Path = RUNTIME,
        devices: Devices | None = None,
        library: Callable[[], Library] = load,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Map volumes on this host.

        Args:
            discards: pass discards on to the storage, which then sees what is not in use. Not
                with integrity.
            runtime: a folder for the lock file, the same for all processes of this host.
            devices: the device-mapper; the kernel's by default.
            library: returns libcryptsetup.
            clock: for waiting.
        """
        self._discards = discards
        self._devices = DeviceMapper() if devices is None else devices
        self._library = library
        self._locks = MappingLocks(runtime, clock)
        self._clock = clock
        self._mappings: dict[str, KernelMapping] = {}
        self._unflushed: dict[str, DeviceIOError] = {}
        self._leaving: set[str] = set()

    def activate(
        self, volume_id: str, disk: HostDisk, volume: UnlockedVolume, *, writable: bool
    ) -> KernelMapping:
        """Map the volume, or take over its mapping; see `Mapper.activate`.

        A mapping that is there already is taken over only if its tables are the expected ones, the
        device below is ``disk``, and one of its sectors shows that it has the key. If it does not
        reach as far as the volume, it does afterwards.

        An integrity volume is checked first: its superblock, and its journal, which is replayed
        here, where every entry is verified, and not by the kernel, which would believe it.

        ``disk`` gives up its hold on the device, which the kernel takes. What fails afterwards
        leaves nothing mapped.

        Raises:
            MappingConflict: the mapping that is there, or that the kernel made, is not as expected.
            MappingFailed: the kernel refused.
            DeviceBusy: something else has the device, or the mapping is about to be removed.
            DeviceMismatch: the path of ``disk`` names another device by now.
            StateForbids: it is mapped for reading, and asked for writing.
            UnsupportedOperation: it is an image file; or discards are asked for with integrity; or
                an integrity volume whose journal has to be replayed is to be mapped for reading.
            IntegrityError: superblock or journal are not what they must be.
        """
        name = mapping_name(volume_id)
        with self._locks.held(name), opened_beside(disk) as block:
            active = self._devices.find(name)
            if active is None:
                active = self._map(volume_id, name, disk, block, volume, writable=writable)
            else:
                active = self._taken_over(volume_id, active, block, volume, writable=writable)
            mapping = self._mappings.get(volume_id)
            if mapping is None or not mapping.is_of(active):
                self._remember(volume_id, is_leaving=False)
                mode = volume.header.mode
                mapping = KernelMapping(volume_id, mode, active, block.identity, self._devices)
                self._mappings[volume_id] = mapping
        disk.close()
        volume.volume_key.wipe()
        return mapping

    def get(self, volume_id: str) -> KernelMapping | None:
        """Return the mapping that this mapper made or proved, if it is still the same one.

        One of another process is not returned; `activate` takes it over.
        """
        mapping = self._mappings.get(volume_id)
        if mapping is not None and not mapping.is_of(self._devices.find(mapping.name)):
            self._mappings.pop(volume_id, None)
            return None
        return mapping

    def is_active(self, volume_id: str) -> bool:
        """Say whether the volume is mapped, or half mapped, on this host, by whomever."""
        name = mapping_name(volume_id)
        found = self._devices.find(name)
        return found is not None or _stack.has_leftovers(self._devices, name)

    def status(self, volume_id: str) -> MappingStatus | None:
        """Return what the kernel says of the mapping of a volume, whoever made it; None if none.

        Nothing is compared with what the volume ought to be, no key is needed, and nobody is waited
        for.

        Raises:
            MappingConflict: what has the name is no LUKS2 mapping.
            DeviceUnavailable: it was removed meanwhile.
        """
        return status_of(self._devices, volume_id)

    def resize(self, volume_id: str, capacity: int, reopen: Reopen) -> None:
        """Let the mapping reach byte ``capacity``, also while it is mounted; see `Mapper.resize`.

        One with integrity keeps its size while it is open.

        Raises:
            MappingConflict, MappingFailed, DeviceMismatch: as `activate`.
        """
        name = mapping_name(volume_id)
        with self._locks.held(name):
            active = self._devices.find(name)
            if active is None or self._devices.find(integrity_name(name)) is not None:
                return
            if active.sectors < payload_size(Mode.CRYPT, capacity) // UNIT:
                with reopen() as (disk, volume), opened_beside(disk) as block:
                    self._taken_over(volume_id, active, block, volume, writable=False)

    def deactivate(self, volume_id: str, *, deferred: bool = False) -> bool:
        """Flush and remove the mapping, whoever made it; see `Mapper.deactivate`.

        Args:
            volume_id: which volume.
            deferred: if it is in use, mounted for instance, have it removed by the kernel as soon
                as it no longer is. Then the answer is False; asked again afterwards, this mapper
                says True once.

        Raises:
            DeviceBusy: it is in use.
            MappingConflict: what has the name is no LUKS2 mapping.
            DeviceIOError: the flush failed; the mapping is removed all the same.
        """
        name = mapping_name(volume_id)
        with self._locks.held(name):
            active = self._devices.find(name)
            if active is not None:
                _stack.require_luks2(active)
                self._flush(volume_id, active)
                self._unmap(name, deferred=deferred)
            is_gone = self._devices.find(name) is None
            if is_gone:
                self._clear(name)
            was_mapped = active is not None or volume_id in self._leaving
            self._remember(volume_id, is_leaving=not is_gone)
            self._mappings.pop(volume_id, None)
            failure = self._unflushed.pop(volume_id, None)
        if failure is not None:
            raise failure
        return is_gone and was_mapped

    def _remember(self, volume_id: str, *, is_leaving: bool) -> None:
        (self._leaving.add if is_leaving else self._leaving.discard)(volume_id)

    def _flush(self, volume_id: str, active: Active) -> None:
        """End the files of this process, and make durable what was written.

        The kernel tells once that it failed to write, so that is kept until it was passed on.
        """
        mapping = self._mappings.get(volume_id)
        if mapping is not None:
            mapping.release()
        failure = _stack.flush(active)
        if failure is not None:
            self._unflushed[volume_id] = failure

    def _map(
        self,
        volume_id: str,
        name: str,
        disk: HostDisk,
        block: Block,
        volume: UnlockedVolume,
        *,
        writable: bool,
    ) -> Active:
        library = self._library()
        self._clear(name)
        if volume.header.mode is Mode.INTEGRITY:
            if self._discards:
                advice = "map volumes with integrity without discards"
                raise UnsupportedOperation("discards of a volume with integrity", advice)
            block.forget_cached()  # the kernel may have written past it
            _stack.prepare_integrity(volume_id, disk, volume, writable=writable)
        disk.close()  # gives up the exclusive hold, which the kernel is about to take
        block.keep_others_off(writable=writable, clock=self._clock)
        flags = (0 if writable else READONLY) | (ALLOW_DISCARDS if self._discards else 0)
        with _stack.bottom(self._devices, name, volume.header, block) as below:
            # The library leaves nothing behind where it fails; an interrupt may come afterwards.
            with (
                self._removing_on_failure(name, unless=CloudcryptError),
                self._calling("activation", name, block),
                header_file(volume.header) as file,
            ):
                library.activate(name, Source(file, below.descriptor, volume.volume_key), flags)
            with self._removing_on_failure(name):
                active = self._sized(name, block, volume)
                if active.readonly == writable:
                    found, expected = ("read-only", "writable")[:: 1 if writable else -1]
                    raise MappingConflict(name, "state", found, expected)
        return active

    def _taken_over(
        self,
        volume_id: str,
        active: Active,
        block: Block,
        volume: UnlockedVolume,
        *,
        writable: bool,
    ) -> Active:
        if active.leaving:
            raise DeviceBusy(str(node(active.name)))
        if writable and active.readonly:
            raise StateForbids(volume_id, "open for reading", "open for writing")
        found = self._required(active.name, block, volume, any_length=True)
        _stack.require_key(found, volume, block)
        return self._sized(active.name, block, volume)

    def _sized(self, name: str, block: Block, volume: UnlockedVolume) -> Active:
        """Return the top of a mapping, as long as the volume; one in use never becomes shorter."""
        found = self._required(name, block, volume, any_length=True)
        sectors = _stack.payload_sectors(volume.header)
        if found.sectors < sectors or (found.sectors > sectors and not found.users):
            with self._calling("resize", name, block), header_file(volume.header) as file:
                source = Source(file, block.descriptor, volume.volume_key)
                self._library().resize(name, source, sectors)
        return self._required(name, block, volume)

    def _required(
        self, name: str, block: Block, volume: UnlockedVolume, *, any_length: bool = False
    ) -> Active:
        return _stack.require_stack(
            self._devices,
            name,
            volume.header,
            block,
            discards=self._discards,
            any_length=any_length,
        )

    def _unmap(self, name: str, *, deferred: bool = False) -> None:
        """Remove a mapping, once what looks at it has done so, or leave that to the kernel."""
        steps = self._steps()
        while (found := self._devices.find(name)) is not None and found.users:
            if deferred:
                self._leave_to_kernel(name)
                return
            if not steps.again():
                raise DeviceBusy(str(node(name)))
        try:
            self._library().deactivate(name)
        except CallError as error:
            if error.code != errno.ENODEV:  # gone meanwhile
                raise translated(error, name, str(node(name)), "removal") from error

    def _leave_to_kernel(self, name: str) -> None:
        for each in (name, integrity_name(name)):
            self._devices.remove(each, deferred=True)

    def _clear(self, name: str) -> None:
        """Remove what is left below a mapping that is not there."""
        steps = self._steps()
        while not _stack.remove_leftovers(self._devices, name):
            if not steps.again():
                raise DeviceBusy(str(node(name)))

    def _steps(self) -> Steps:
        return Deadline.after(LINGERING, clock=self._clock).steps(PAUSE, longest=PAUSE_LONGEST)

    @contextmanager
    def _removing_on_failure(
        self, name: str, *, unless: type[Exception] | tuple[()] = ()
    ) -> Generator[None]:
        """Remove the mapping if the block fails, or have it removed as soon as nobody uses it."""
        try:
            yield
        except unless:
            raise
        except BaseException as error:
            try:
                self._unmap(name)
            except CloudcryptError as other:
                error.add_note(f"and what was mapped could not be removed at once: {other}")
                self._leave_to_kernel(name)
            raise

    @contextmanager
    def _calling(self, operation: str, name: str, block: Block) -> Generator[None]:
        try:
            yield
        except CallError as error:
            raise translated(error, name, block.name, operation) from error
