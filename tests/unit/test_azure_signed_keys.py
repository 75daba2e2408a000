"""An RSA key beside a signing key: what somebody who has the public key alone cannot do."""

import hashlib
from collections.abc import Callable, Iterator

import pytest
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from cloudcrypt.errors import KeyDenied, KeyServiceFailed, KeyServiceUnavailable, WrappedKeyRefused
from cloudcrypt.kms import associated_data
from cloudcrypt.secret import Secret
from cloudcrypt_azure._keys_access import Access
from cloudcrypt_azure._keys_format import decoded, encoded
from cloudcrypt_azure._keys_signed import DOMAIN, MAGIC
from cloudcrypt_azure._keys_transport import Transport, options
from cloudcrypt_azure.keyvault import AzureKeyVault
from cloudcrypt_testing.fake_azure_keys import FakeAzureKeys
from cloudcrypt_testing.world.faults import Refused, ReplyLost, ServerError

_HOST = "cluster.vault.azure.net"
_URL = f"azure-keyvault://{_HOST}/kek?signKey=signer"
_ID = "cloudcrypt/v1/some"
_KEY = bytes(range(32))
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


@pytest.fixture
def azure() -> Iterator[FakeAzureKeys]:
    with FakeAzureKeys() as fake:
        fake.create_key(_HOST, "kek", "RSA")
        fake.create_key(_HOST, "signer", "EC")
        yield fake


@pytest.fixture
def kms(azure: FakeAzureKeys) -> Iterator[AzureKeyVault]:
    kms = AzureKeyVault.from_url(azure.url(_URL))
    kms.key()
    azure.requests.clear()
    yield kms
    kms.close()


class _Attacker:
    """Has everything that is public, and keys of their own."""

    def __init__(self, azure: FakeAzureKeys) -> None:
        wrapping, signing = (azure.key(_HOST, name).versions[-1] for name in ("kek", "signer"))
        assert isinstance(wrapping.material, rsa.RSAPrivateKey)
        self.public = wrapping.material.public_key()
        self.versions = wrapping.version.encode(), signing.version.encode()
        self.own = ec.generate_private_key(ec.SECP256R1())
        self.ciphertext = self.public.encrypt(b"\xaa" * 32, _OAEP)

    def digest(self, key_id: str = _ID) -> bytes:
        base = f"https://{_HOST}/keys/"
        names = (f"{base}kek".encode(), self.versions[0], f"{base}signer".encode())
        statement = encoded(
            DOMAIN, associated_data(key_id), *names, self.versions[1], self.ciphertext
        )
        return hashlib.sha256(statement).digest()

    def signature(self) -> bytes:
        digest = utils.Prehashed(hashes.SHA256())
        r, s = utils.decode_dss_signature(self.own.sign(self.digest(), ec.ECDSA(digest)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def blob(self, signature: bytes) -> bytes:
        return encoded(MAGIC, *self.versions, self.ciphertext, signature)


def _is_refused_unopened(azure: FakeAzureKeys, kms: AzureKeyVault, blob: bytes) -> None:
    azure.requests.clear()
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(blob, _ID)
    # Nor is the vault asked to verify it, which the SDK does where it cannot do so itself.
    assert set(azure.requests.actions) == {"keys.get"}


def _signed_by_vault(azure: FakeAzureKeys, name: str, digest: bytes) -> bytes:
    """Let a key of the vault sign, as whoever may use it can."""
    access = Access("kind", _HOST, endpoint=azure.endpoint, ca=str(azure.ca))
    made = options(Transport(access))
    key = KeyClient(f"https://{_HOST}", azure.credential, **made).get_key(name)
    client = CryptographyClient(key, azure.credential, **made)
    return client.sign(SignatureAlgorithm.es256, digest).signature


def test_what_a_blob_is_made_of_is_as_documented(azure: FakeAzureKeys, kms: AzureKeyVault) -> None:
    blob = kms.wrap(Secret(_KEY), _ID)
    attacker = _Attacker(azure)
    fields = decoded(blob, MAGIC, 4)
    assert fields is not None
    assert tuple(fields[:2]) == attacker.versions
    attacker.ciphertext = fields[2]
    signer = azure.key(_HOST, "signer").versions[0].material
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    numbers = (int.from_bytes(half, "big") for half in (fields[3][:32], fields[3][32:]))
    signer.public_key().verify(
        utils.encode_dss_signature(*numbers),
        attacker.digest(),
        ec.ECDSA(utils.Prehashed(hashes.SHA256())),
    )


def test_what_needs_no_secret_happens_here_and_the_rest_in_the_vault(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = kms.wrap(Secret(_KEY), _ID)
    assert azure.requests.actions == ["keys.get", "keys.get", "keys.sign"]
    azure.requests.clear()
    assert kms.unwrap(blob, _ID) == Secret(_KEY)
    assert azure.requests.actions == ["keys.get", "keys.get", "keys.unwrapkey"]


def test_the_public_key_alone_forges_nothing(azure: FakeAzureKeys, kms: AzureKeyVault) -> None:
    attacker = _Attacker(azure)
    genuine = decoded(kms.wrap(Secret(_KEY), _ID), MAGIC, 4)
    assert genuine is not None
    lengths = (0, 1, 63, 64, 65, 128, 1000)
    guesses = [bytes(length) for length in lengths] + [b"\xff" * length for length in lengths]
    for signature in (*guesses, genuine[3], attacker.signature()):
        _is_refused_unopened(azure, kms, attacker.blob(signature))
    # With the signature of the vault it would have been taken: nothing else was wrong with it.
    signature = _signed_by_vault(azure, "signer", attacker.digest())
    assert kms.unwrap(attacker.blob(signature), _ID) == Secret(b"\xaa" * 32)


def test_nor_does_it_where_the_signing_key_is_rsa(azure: FakeAzureKeys) -> None:
    azure.create_key(_HOST, "rsa-signer", "RSA")
    kms = AzureKeyVault.from_url(azure.url(_URL.replace("signer", "rsa-signer")))
    attacker = _Attacker(azure)
    signer = azure.key(_HOST, "rsa-signer").versions[0].version.encode()
    attacker.versions = attacker.versions[0], signer
    genuine = decoded(kms.wrap(Secret(_KEY), _ID), MAGIC, 4)
    assert genuine is not None
    lengths = (0, 1, 255, 256, 257, 512)
    guesses = [bytes(length) for length in lengths] + [b"\xff" * length for length in lengths]
    for signature in (*guesses, genuine[3], attacker.signature()):
        _is_refused_unopened(azure, kms, attacker.blob(signature))
    kms.close()


def test_a_signature_that_the_vault_made_of_something_else_is_none(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    attacker = _Attacker(azure)
    bare = hashlib.sha256(attacker.ciphertext).digest()
    for digest in (bare, attacker.digest("cloudcrypt/v1/other")):
        signature = _signed_by_vault(azure, "signer", digest)
        _is_refused_unopened(azure, kms, attacker.blob(signature))


def test_a_signature_of_another_key_of_the_vault_is_none(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    azure.create_key(_HOST, "application", "EC")
    attacker = _Attacker(azure)
    signature = _signed_by_vault(azure, "application", attacker.digest())
    _is_refused_unopened(azure, kms, attacker.blob(signature))
    other = azure.key(_HOST, "application").versions[0].version.encode()
    attacker.versions = attacker.versions[0], other
    signature = _signed_by_vault(azure, "application", attacker.digest())
    _is_refused_unopened(azure, kms, attacker.blob(signature))


def test_versions_cannot_be_exchanged(azure: FakeAzureKeys, kms: AzureKeyVault) -> None:
    fields = decoded(kms.wrap(Secret(_KEY), _ID), MAGIC, 4)
    assert fields is not None
    other_kek = azure.create_key(_HOST, "kek", "RSA").version.encode()
    other_signer = azure.create_key(_HOST, "signer", "EC").version.encode()
    for at, version in ((0, other_kek), (1, other_signer), (0, fields[1]), (1, fields[0])):
        changed = [*fields]
        changed[at] = version
        _is_refused_unopened(azure, kms, encoded(MAGIC, *changed))
    assert kms.unwrap(encoded(MAGIC, *fields), _ID) == Secret(_KEY)


def test_a_blob_of_the_other_way_of_wrapping_is_none(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    azure.create_key(_HOST, "gcm", "oct-HSM")
    plain = AzureKeyVault.from_url(azure.url(f"azure-keyvault://{_HOST}/gcm"))
    signed = kms.wrap(Secret(_KEY), _ID)
    sealed = plain.wrap(Secret(_KEY), _ID)
    azure.requests.clear()
    for service, blob in ((plain, signed), (kms, sealed)):
        with pytest.raises(WrappedKeyRefused):
            service.unwrap(blob, _ID)
    assert len(azure.requests) == 0
    plain.close()


def test_a_signing_version_that_was_disabled_counts_no_more(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = kms.wrap(Secret(_KEY), _ID)
    azure.key(_HOST, "signer").versions[0].enabled = False
    azure.requests.clear()
    with pytest.raises(KeyServiceFailed) as caught:
        kms.unwrap(blob, _ID)
    assert caught.value.code == "KeyDisabled"
    with pytest.raises(KeyServiceFailed):
        kms.wrap(Secret(_KEY), _ID)
    assert not {"keys.unwrapkey", "keys.sign"} & set(azure.requests.actions)


def test_a_signing_version_that_has_expired_verifies_and_signs_no_more(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    blob = kms.wrap(Secret(_KEY), _ID)
    version = azure.key(_HOST, "signer").versions[0]
    version.expires = version.created
    kms.close()
    kms = AzureKeyVault(
        _HOST,
        "kek",
        sign_key="signer",
        credential=azure.credential,
        endpoint=azure.endpoint,
        ca=str(azure.ca),
        clock=azure.clock,
    )
    assert kms.unwrap(blob, _ID) == Secret(_KEY)
    for call in (lambda: kms.wrap(Secret(_KEY), _ID), kms.key):
        with pytest.raises(KeyServiceFailed) as caught:
            call()
        assert caught.value.code == "KeyExpired"
    kms.close()


def _with_oct(azure: FakeAzureKeys) -> str:
    azure.create_key(_HOST, "oct", "oct-HSM")
    return f"azure-keyvault://{_HOST}/oct?signKey=signer"


def _with_ec(azure: FakeAzureKeys) -> str:
    azure.create_key(_HOST, "ec", "EC")
    return f"azure-keyvault://{_HOST}/ec?signKey=signer"


def _with_long_curve(azure: FakeAzureKeys) -> str:
    azure.create_key(_HOST, "long", "EC", "P-384")
    return f"azure-keyvault://{_HOST}/kek?signKey=long"


def _signed_by_oct(azure: FakeAzureKeys) -> str:
    azure.create_key(_HOST, "oct", "oct-HSM")
    return f"azure-keyvault://{_HOST}/kek?signKey=oct"


def _signed_by_nobody(azure: FakeAzureKeys) -> str:
    del azure
    return f"azure-keyvault://{_HOST}/kek?signKey=nobody"


@pytest.mark.parametrize(
    "url", [_with_oct, _with_ec, _with_long_curve, _signed_by_oct, _signed_by_nobody]
)
def test_keys_of_other_kinds_do_neither(
    azure: FakeAzureKeys, url: Callable[[FakeAzureKeys], str]
) -> None:
    kms = AzureKeyVault.from_url(azure.url(url(azure)))
    for call in (lambda: kms.wrap(Secret(_KEY), _ID), kms.key):
        with pytest.raises(KeyServiceFailed):
            call()
    assert not {"keys.encrypt", "keys.sign", "keys.wrapkey"} & set(azure.requests.actions)
    kms.close()


def test_what_rsa_does_not_take_is_said(kms: AzureKeyVault) -> None:
    with pytest.raises(KeyServiceFailed, match="1 to 190 bytes"):
        kms.wrap(Secret(bytes(191)), _ID)


def test_errors_while_signing_and_unwrapping_are_ours(
    azure: FakeAzureKeys, kms: AzureKeyVault
) -> None:
    azure.faults.add(Refused("ForbiddenByRbac", status=403), on="keys.sign")
    with pytest.raises(KeyDenied):
        kms.wrap(Secret(_KEY), _ID)
    azure.faults.add(ReplyLost(), on="keys.sign")
    blob = kms.wrap(Secret(_KEY), _ID)
    azure.faults.add(Refused("ForbiddenByRbac", status=403), on="keys.unwrapkey")
    with pytest.raises(KeyDenied):
        kms.unwrap(blob, _ID)
    azure.faults.add(Refused("BadParameter", status=400), on="keys.unwrapkey")
    with pytest.raises(WrappedKeyRefused):
        kms.unwrap(blob, _ID)
    azure.faults.add(ServerError(503), on="keys.unwrapkey", times=None)
    short = AzureKeyVault.from_url(azure.url(f"{_URL}&timeout=0.5"))
    with pytest.raises(KeyServiceUnavailable):
        short.unwrap(blob, _ID)
    short.close()
