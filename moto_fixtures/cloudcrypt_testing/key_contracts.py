"""The contracts of `cloudcrypt.kms.KMS` and `KeyStore`, as pytest classes to subclass.

    class TestMyKms(KMSContract):
        @pytest.fixture
        def kms(self):
            return MyKms(...)

        @pytest.fixture
        def other_kms(self):
            return MyKms(...)  # the same service, another wrapping key

    class TestMyStore(KeyStoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            return MyStore(tmp_path)

        @pytest.fixture
        def reopen(self, tmp_path):
            return lambda: MyStore(tmp_path)

Fixtures to override where there is something to say: of a KMS ``rotate`` (a callable that makes a
new version of the wrapping key), ``lengths`` (of what it wraps, 32 among them), ``hidden``
(credentials that no repr and no log may show); of a store ``plant`` (a callable that stores a blob
of any length past the interface), ``many`` (more blobs than a page of a listing has), ``hidden``.
The store is empty when a test begins, and what a test stores is not removed.
"""

from cloudcrypt_testing._key_clauses.storing import (
    BlobClauses,
    IdClauses,
    LifeClauses,
    RaceClauses,
)
from cloudcrypt_testing._key_clauses.wrapping import (
    DiscretionClauses,
    RefusalClauses,
    RotationClauses,
    WrapClauses,
)

__all__ = ["KMSContract", "KeyStoreContract"]


class KMSContract(WrapClauses, RefusalClauses, RotationClauses, DiscretionClauses):
    """Every clause that holds for every KMS."""


class KeyStoreContract(BlobClauses, IdClauses, RaceClauses, LifeClauses):
    """Every clause that holds for every store of wrapped keys."""
