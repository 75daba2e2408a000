"""What a package needs to test an adapter of its own: the contract of volume providers.

    from cloudcrypt_testing.contract import VolumeProviderContract

    class TestMyProvider(VolumeProviderContract):
        @pytest.fixture
        def provider(self): ...

An assertion that fails in the contract shows its values, as in a test of one's own.

Beside it: `headers` and `mutations` make hostile headers, `volumes` sample volumes, `profiles`
cheap ones, and `disks` what loses power or fails, all in memory.
"""

import pytest

pytest.register_assert_rewrite("cloudcrypt_testing.contract", "cloudcrypt_testing._clauses")
