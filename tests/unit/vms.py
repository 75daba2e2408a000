"""A VM for tests: a local store, a journal and a ledger in one folder."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

import attrs

from cloudcrypt.facade import encrypted_volume, encrypted_volumes
from cloudcrypt.journal import SqliteJournal
from cloudcrypt.ledger import Record, SqliteLedger
from cloudcrypt.model import Volume
from cloudcrypt.provisioning import Provisioner, Results, VolumeRequest
from cloudcrypt_local import LocalProvider
from tests.unit.nodes import CONTENT, PROFILES, SIZE, key_service

REQUEST = VolumeRequest("data", SIZE)
HERE = "this-vm"
KEYS = key_service()


class Vm:
    """A VM that uses volumes of a local store; its journal and ledger are files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.provider = LocalProvider(folder / "store")
        self.journal = SqliteJournal(folder / "journal")
        self.ledger = SqliteLedger(folder / "ledger")
        self.provisioner = Provisioner(self.provider, self.journal)

    def opened(
        self, request: VolumeRequest = REQUEST, **options: Any
    ) -> AbstractContextManager[RawIOBase]:
        return encrypted_volume(self.provider, request, **self.options(**options))

    def all_opened(
        self, requests: list[VolumeRequest], **options: Any
    ) -> AbstractContextManager[Results[RawIOBase]]:
        return encrypted_volumes(self.provider, requests, **self.options(**options))

    def options(self, **options: Any) -> dict[str, Any]:
        return vm_options(**{"ledger": self.ledger, "journal": self.journal, **options})

    def write(self, request: VolumeRequest = REQUEST, **options: Any) -> None:
        with self.opened(request, **options) as disk:
            disk.write(CONTENT)

    def content(self, request: VolumeRequest = REQUEST, **options: Any) -> bytes | None:
        with self.opened(request, **options) as disk:
            return disk.read(len(CONTENT))

    def volume(self, name: str = "data") -> Volume:
        (volume,) = self.provider.list(name=name)
        return volume

    def record(self, name: str = "data") -> Record | None:
        return self.ledger.get(self.volume(name).id)

    def image(self, name: str = "data") -> Path:
        return self.folder / "store" / f"{self.volume(name).id.rpartition('/')[2]}.img"

    def lose_ledger(self) -> None:
        self.ledger.close()
        (self.folder / "ledger").unlink()
        self.ledger = SqliteLedger(self.folder / "ledger")


def requests(*names: str) -> list[VolumeRequest]:
    """Return requests that differ in their names."""
    return [attrs.evolve(REQUEST, name=name) for name in names]


def vm_options(**options: Any) -> dict[str, Any]:
    """Return what every call takes."""
    return {"instance": HERE, "keys": KEYS, "profiles": PROFILES, **options}


@contextmanager
def vm_in(folder: Path) -> Generator[Vm]:
    """Yield a VM whose files are in ``folder``."""
    vm = Vm(folder)
    try:
        yield vm
    finally:
        vm.journal.close()
        vm.ledger.close()
