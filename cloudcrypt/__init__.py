"""Disks for confidential VMs that the cloud can never read, swap or forge.

The node plane in six lines::

    keys = MasterSecretKeyService(MasterSecret.from_file("master-secret.json"))
    stage = Stage(SqliteLedger("ledger.db"), keys, UserspaceMapper())
    stage.register_new(device.volume_id, capacity=device.size)   # once, after a blank create
    stage.format(device)
    with stage.open(device).open() as payload:
        payload.write(b"only this VM reads this")

Names are imported when they are first used, so that ``import cloudcrypt`` is cheap.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudcrypt.device import locate
    from cloudcrypt.errors import CloudcryptError
    from cloudcrypt.facade import (
        Grown,
        encrypted_volume,
        encrypted_volumes,
        grow_volume,
        mounted_volume,
        mounted_volumes,
    )
    from cloudcrypt.filesystem import FilesystemKind, MountOptions
    from cloudcrypt.journal import SqliteJournal
    from cloudcrypt.keys import KeyService, MasterSecret, MasterSecretKeyService
    from cloudcrypt.ledger import Holder, SqliteLedger
    from cloudcrypt.mapper import KernelMapper, UserspaceMapper
    from cloudcrypt.model import (
        Attachment,
        Blank,
        BlockDevice,
        ClonedFrom,
        Expectation,
        KeyPolicy,
        Mode,
        RestoredFrom,
        Snapshot,
        Volume,
    )
    from cloudcrypt.provisioning import Provisioner, VolumeRequest
    from cloudcrypt.registry import open_provider
    from cloudcrypt.secret import Secret
    from cloudcrypt.spi import VolumeProvider, perform
    from cloudcrypt.stage import Adopt, Stage
    from cloudcrypt.waiting import Cancellation, Deadline

__all__ = [
    "Adopt",
    "Attachment",
    "Blank",
    "BlockDevice",
    "Cancellation",
    "ClonedFrom",
    "CloudcryptError",
    "Deadline",
    "Expectation",
    "FilesystemKind",
    "Grown",
    "Holder",
    "KernelMapper",
    "KeyPolicy",
    "KeyService",
    "MasterSecret",
    "MasterSecretKeyService",
    "Mode",
    "MountOptions",
    "Provisioner",
    "RestoredFrom",
    "Secret",
    "Snapshot",
    "SqliteJournal",
    "SqliteLedger",
    "Stage",
    "UserspaceMapper",
    "Volume",
    "VolumeProvider",
    "VolumeRequest",
    "encrypted_volume",
    "encrypted_volumes",
    "grow_volume",
    "locate",
    "mounted_volume",
    "mounted_volumes",
    "open_provider",
    "perform",
]

_HOMES = {
    "device": ("locate",),
    "errors": ("CloudcryptError",),
    "facade": (
        "Grown",
        "encrypted_volume",
        "encrypted_volumes",
        "grow_volume",
        "mounted_volume",
        "mounted_volumes",
    ),
    "filesystem": ("FilesystemKind", "MountOptions"),
    "journal": ("SqliteJournal",),
    "keys": ("KeyService", "MasterSecret", "MasterSecretKeyService"),
    "ledger": ("Holder", "SqliteLedger"),
    "mapper": ("KernelMapper", "UserspaceMapper"),
    "model": (
        "Attachment",
        "Blank",
        "BlockDevice",
        "ClonedFrom",
        "Expectation",
        "KeyPolicy",
        "Mode",
        "RestoredFrom",
        "Snapshot",
        "Volume",
    ),
    "provisioning": ("Provisioner", "VolumeRequest"),
    "registry": ("open_provider",),
    "secret": ("Secret",),
    "spi": ("VolumeProvider", "perform"),
    "stage": ("Adopt", "Stage"),
    "waiting": ("Cancellation", "Deadline"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name from its home when it is first used."""
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted({*globals(), *__all__})
