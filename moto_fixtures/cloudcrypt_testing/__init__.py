"""What a package needs to test an adapter of its own: the contract of volume providers.

    from cloudcrypt_testing.contract import VolumeProviderContract

    class TestMyProvider(VolumeProviderContract):
        @pytest.fixture
        def provider(self): ...

An assertion that fails in the contract shows its values, as in a test of one's own.
"""

import pytest

pytest.register_assert_rewrite("cloudcrypt_testing.contract", "cloudcrypt_testing._clauses")
