"""An independent LUKS2 reader, dissect.fve, decrypts what SectorFile wrote."""

from pathlib import Path

import pytest
from dissect.fve.luks import LUKS

from cloudcrypt.disk import FileDisk
from cloudcrypt.luks2 import SectorFile
from cloudcrypt.luks2.engine import XTSEngine
from cloudcrypt.profiles import CLOUDCRYPT_V1, CONSTELLATION, Profile
from cloudcrypt_testing.volumes import repeatable, sample_volume

pytestmark = pytest.mark.interop

SECTOR = 4096
PAYLOAD = 16 << 20
WRITES = {
    0: 3 * SECTOR,
    5 * SECTOR + 100: 1000,
    (1 << 20) - 1: 2,
    (1 << 20) + SECTOR: SECTOR,
    PAYLOAD - SECTOR: SECTOR,
}


@pytest.mark.parametrize("profile", [CLOUDCRYPT_V1, CONSTELLATION], ids=lambda p: p.name)
def test_it_decrypts_what_we_wrote(image: Path, profile: Profile) -> None:
    volume = sample_volume(profile)
    with FileDisk(image, writable=True) as disk:
        volume.image.write_to(disk)
        with (
            volume.unlock(disk) as unlocked,
            SectorFile(XTSEngine(disk, unlocked), writable=True) as file,
        ):
            for offset, length in WRITES.items():
                file.pwrite(offset, repeatable(f"at {offset}")(length))
    with image.open("rb") as raw:
        reader = LUKS(raw)
        reader.unlock_with_passphrase(bytes(volume.keys.passphrase.reveal()))
        payload = reader.open()
        for offset, length in WRITES.items():
            payload.seek(offset)
            assert repeatable(f"at {offset}")(length) == payload.read(length)


@pytest.mark.parametrize("profile", [CLOUDCRYPT_V1, CONSTELLATION], ids=lambda p: p.name)
def test_it_takes_our_volume_key_and_no_other(image: Path, profile: Profile) -> None:
    volume = sample_volume(profile)
    with FileDisk(image, writable=True) as disk:
        volume.image.write_to(disk)
    with image.open("rb") as raw:
        LUKS(raw).unlock(bytes(volume.volume_key.reveal()), 0)
        with pytest.raises(ValueError, match="Invalid volume key"):
            LUKS(raw).unlock(bytes(64), 0)
