"""The contract of `cloudcrypt.spi.VolumeProvider`, as a pytest class to subclass.

    class TestMyProvider(VolumeProviderContract):
        @pytest.fixture
        def provider(self, tmp_path):
            return MyProvider(...)

Each test cites the clause of docs/contract.md that it checks. The clauses know the interface and
the declared `Capabilities`, never the name of a provider. Other fixtures to override: ``reopen``
(default: by the provider's URL), ``instances`` (two that exist, at the place of new volumes).
What the clauses create is not removed; run them in a place of their own.
"""

from cloudcrypt_testing._clauses.attachments import AttachClauses, DetachClauses
from cloudcrypt_testing._clauses.operations import OperationClauses
from cloudcrypt_testing._clauses.snapshots import RestoreClauses, SnapshotClauses
from cloudcrypt_testing._clauses.volumes import (
    CreateClauses,
    DeleteClauses,
    LookClauses,
    ModifyClauses,
    ResizeClauses,
)

__all__ = ["VolumeProviderContract"]


class VolumeProviderContract(
    OperationClauses,
    CreateClauses,
    LookClauses,
    ResizeClauses,
    ModifyClauses,
    DeleteClauses,
    AttachClauses,
    DetachClauses,
    SnapshotClauses,
    RestoreClauses,
):
    """Every clause that holds for every provider."""
