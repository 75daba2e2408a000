"""What a real kernel wrote opens here, as a volume of policy constellation, sector for sector."""

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cloudcrypt.errors import SectorRefused
from cloudcrypt.keys import MasterSecret, MasterSecretKeyService
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2.sectors import SectorFile
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, Expectation, KeyPolicy, Mode
from cloudcrypt.profiles import SECTOR_SIZE
from cloudcrypt.stage import Stage
from tests.golden.images import ERROR, Golden, golden_images
from tests.golden.reader import Refused, Volume

GOLDEN = golden_images()


@pytest.fixture(params=GOLDEN, ids=[golden.name for golden in GOLDEN])
def golden(request: pytest.FixtureRequest) -> Golden:
    param: Golden = request.param
    return param


@pytest.fixture
def device(golden: Golden, tmp_path: Path) -> BlockDevice:
    return BlockDevice(golden.uuid, golden.unpack(tmp_path), golden.size)


@pytest.fixture
def stage(golden: Golden) -> Iterator[Stage[UserspaceMapping]]:
    keys = MasterSecretKeyService(MasterSecret.from_bytes(golden.master_secret, golden.salt))
    with closing(SqliteLedger.in_memory()) as ledger:
        yield Stage(ledger, keys, UserspaceMapper())


def trust(golden: Golden) -> Expectation:
    return Expectation(Mode.INTEGRITY, uuid=golden.uuid, capacity=golden.size)


def digests(payload: SectorFile) -> dict[int, str]:
    """Return the digest of every sector that can be read, as the kernel's are in the manifest."""
    found: dict[int, str] = {}
    for sector in range(payload.size // SECTOR_SIZE):
        with contextlib.suppress(SectorRefused):
            content = payload.pread(sector * SECTOR_SIZE, SECTOR_SIZE)
            found[sector] = hashlib.sha256(content).hexdigest()
    return found


def expected(golden: Golden) -> dict[int, str]:
    return {number: sector.sha256 for number, sector in golden.sectors.items()}


def test_it_reads_as_the_kernel_reads_it_and_nothing_is_written(
    golden: Golden, device: BlockDevice, stage: Stage[UserspaceMapping]
) -> None:
    before = hashlib.sha256(device.path.read_bytes()).hexdigest()
    policy = KeyPolicy.CONSTELLATION
    with (
        stage.examine(device, policy=policy, trust=trust(golden)) as examined,
        SectorFile(examined.engine(), writable=False) as payload,
    ):
        assert golden.provided_sectors * SECTOR_SIZE == payload.size
        assert expected(golden) == digests(payload)
    assert before == hashlib.sha256(device.path.read_bytes()).hexdigest()


def test_opened_for_writing_the_journal_is_settled_and_both_readers_agree(
    golden: Golden, device: BlockDevice, stage: Stage[UserspaceMapping]
) -> None:
    mapping = stage.open(device, policy=KeyPolicy.CONSTELLATION, trust=trust(golden))
    with mapping.open() as payload:
        assert expected(golden) == digests(payload)
    stage.close(golden.uuid)
    settled = Volume(device.path, golden.volume_key, replay=False)
    for number, sector in golden.sectors.items():
        assert sector.sha256 == hashlib.sha256(settled.read(number)).hexdigest()


def test_what_is_written_here_the_other_reader_reads(
    golden: Golden, device: BlockDevice, stage: Stage[UserspaceMapping]
) -> None:
    sectors = sorted(golden.sectors)[-3:]
    mapping = stage.open(device, policy=KeyPolicy.CONSTELLATION, trust=trust(golden))
    with mapping.open() as payload:
        for sector in sectors:
            payload.pwrite(sector * SECTOR_SIZE, bytes([sector % 256]) * SECTOR_SIZE)
        payload.flush()
        unclean = Volume(device.path, golden.volume_key)
        for sector in sectors:
            assert bytes([sector % 256]) * SECTOR_SIZE == unclean.read(sector)
    stage.close(golden.uuid)
    closed = Volume(device.path, golden.volume_key, replay=False)
    found = {number: digest(closed, number) for number in golden.sectors}
    for sector in sectors:
        found.pop(sector)
    kept = {number: name for number, name in expected(golden).items() if number not in sectors}
    assert kept == found


def digest(volume: Volume, sector: int) -> str:
    try:
        return hashlib.sha256(volume.read(sector)).hexdigest()
    except Refused:
        return ERROR
