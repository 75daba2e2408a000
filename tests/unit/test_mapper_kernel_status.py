"""What is told of a mapping, and that a key is not."""

from pathlib import Path

import attrs
import pytest

from cloudcrypt.errors import DeviceUnavailable, MappingConflict
from cloudcrypt.mapper import MappedDevice, MappingState, MappingStatus
from cloudcrypt.mapper._devicemapper import Active, Target
from cloudcrypt.mapper.status import status_of
from cloudcrypt.model import Mode
from cloudcrypt.sizes import MIB
from tests.unit.test_mapper_kernel_mapper import NAME, UUID, VOLUME, Devices, active

LINE = f"aes-xts-plain64 :64:logon:cryptsetup:{NAME}-d0 0 8:0 32768"
CRYPT = active(targets=(Target(0, MIB // 512, "crypt", LINE),))
BELOW = active(f"{NAME}_dif", "CRYPT-INTEGRITY-1", number="253:1")
LIMIT = active(f"{NAME}_lim", "CLOUDCRYPT-LIMIT-1", number="253:2")


def test_what_is_not_mapped_has_no_status() -> None:
    assert status_of(Devices(), VOLUME) is None


def test_a_mapping_is_described_whole() -> None:
    found = attrs.evolve(CRYPT, users=2, readonly=True)
    assert status_of(Devices({NAME: found}), VOLUME) == MappingStatus(
        volume_id=VOLUME,
        name=NAME,
        path=Path("/dev/mapper", NAME),
        state=MappingState.ACTIVE,
        mode=Mode.CRYPT,
        size=MIB,
        read_only=True,
        users=2,
        holders=("dm-7",),
        devices=(MappedDevice(NAME, "253:0", UUID, (f"0 2048 crypt {LINE}",)),),
    )


def test_devices_below_are_told_from_the_top_down() -> None:
    devices = Devices({each.name: each for each in (LIMIT, BELOW, CRYPT)})
    status = status_of(devices, VOLUME)
    assert status is not None
    assert status.mode is Mode.INTEGRITY
    assert [NAME, f"{NAME}_dif", f"{NAME}_lim"] == [each.name for each in status.devices]
    assert ["253:0", "253:1", "253:2"] == [each.number for each in status.devices]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (attrs.evolve(CRYPT, suspended=True), MappingState.SUSPENDED),
        (attrs.evolve(CRYPT, leaving=True), MappingState.LEAVING),
        (attrs.evolve(CRYPT, leaving=True, suspended=True), MappingState.LEAVING),
    ],
)
def test_the_state_says_what_becomes_of_a_mapping(found: Active, state: MappingState) -> None:
    status = status_of(Devices({NAME: found}), VOLUME)
    assert status is not None
    assert state is status.state


@pytest.mark.parametrize("lower", [BELOW, LIMIT])
def test_half_a_mapping_is_incomplete(lower: Active) -> None:
    status = status_of(Devices({lower.name: lower}), VOLUME)
    assert status is not None
    assert (MappingState.INCOMPLETE, 0, 0) == (status.state, status.size, status.users)
    assert [lower.name] == [each.name for each in status.devices]


def test_what_is_no_mapping_of_ours_is_not_described() -> None:
    with pytest.raises(MappingConflict, match="LVM-1"):
        status_of(Devices({NAME: active(uuid="LVM-1")}), VOLUME)


class Leaving(Devices):
    """A device-mapper whose mapping goes away when somebody asks for what it is part of."""

    def holders(self, number: str) -> tuple[str, ...]:
        self.found.clear()
        raise DeviceUnavailable(number, "the kernel does not know it")


class Contradicting(Devices):
    """A device-mapper that lists a device which the kernel does not know."""

    def holders(self, number: str) -> tuple[str, ...]:
        raise DeviceUnavailable(number, "the kernel does not know it")


def test_a_mapping_that_goes_away_meanwhile_has_no_status() -> None:
    assert status_of(Leaving({NAME: CRYPT}), VOLUME) is None


def test_a_device_that_the_kernel_never_knows_is_an_error() -> None:
    with pytest.raises(DeviceUnavailable):
        status_of(Contradicting({NAME: CRYPT}), VOLUME)
