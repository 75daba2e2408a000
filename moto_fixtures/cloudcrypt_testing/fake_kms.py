"""A KMS in this process, for tests: AES-GCM with versions of a key that can be disabled.

    kms = FakeKms()
    with EnvelopeKeyService(kms, SqliteStore(tmp_path / "keys.db")) as keys:
        keys.get_data_key("an id", 32)
    kms.rotate()
    kms.disable(1)

Its keys come from ``root``: a second one with the same name and root, in another process too,
unwraps what the first has wrapped. By URL: ``fake-kms://NAME?root=TEXT``, where an entry point is
given, such as `ENTRY_POINT`. It protects nothing.
"""

import os
import threading
from importlib.metadata import EntryPoint
from typing import ClassVar, Final, Self, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cloudcrypt.errors import KeyServiceFailed, KeyUriInvalid, WrappedKeyRefused
from cloudcrypt.kms import WrappingKey, associated_data, check_deadline
from cloudcrypt.secret import Secret
from cloudcrypt.urls import Query
from cloudcrypt.waiting import Deadline

ENTRY_POINT: Final = EntryPoint("fake-kms", "cloudcrypt_testing.fake_kms:FakeKms", "cloudcrypt.kms")
"""What a package would register: ``open_key_service(url, kms={"fake-kms": ENTRY_POINT})``."""

_MAGIC = b"fake-kms"
_HEAD = len(_MAGIC) + 4
_NONCE = 12
_TAG = 16


@final
class FakeKms:
    """Wraps with a key of its own, bound to its name, the version and the key id. Thread-safe."""

    secret_parameters: ClassVar[frozenset[str]] = frozenset({"root"})

    def __init__(self, name: str = "key", *, root: bytes | None = None, versions: int = 1) -> None:
        """Have ``versions`` of a key.

        Args:
            name: of the key.
            root: what its versions are derived from; random by default.
            versions: how many there are, all enabled.
        """
        self.name = f"fake-kms://{name}"
        self._root = os.urandom(32) if root is None else root
        self._lock = threading.Lock()
        self._version = versions
        self._disabled: set[int] = set()
        self.requests: list[tuple[str, str]] = []
        """Verb and key id of each call that was answered."""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the KMS of ``fake-kms://NAME?root=TEXT``.

        Raises:
            KeyUriInvalid: it is not one.
        """
        head, _, text = url.partition("?")
        query = Query("fake-kms://NAME?root=TEXT", text)
        root = query.require("root")
        query.finish()
        name = head.removeprefix("fake-kms://")
        if not name:
            raise KeyUriInvalid(query.kind, "NAME is missing")
        return cls(name, root=root.encode())

    def rotate(self) -> None:
        """Wrap with a new version from now on."""
        with self._lock:
            self._version += 1

    def disable(self, version: int) -> None:
        """Unwrap nothing any more that ``version`` has wrapped."""
        with self._lock:
            self._disabled.add(version)

    def wrap(self, plaintext: Secret, key_id: str, *, deadline: Deadline | None = None) -> bytes:
        """Return ``plaintext`` wrapped; see `KMS.wrap`."""
        data = associated_data(key_id)
        version = self._asked("wrap", key_id, deadline)
        head = _MAGIC + version.to_bytes(4)
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(version).encrypt(nonce, plaintext.reveal(), head + data)
        return head + nonce + sealed

    def unwrap(self, blob: bytes, key_id: str, *, deadline: Deadline | None = None) -> Secret:
        """Return what was wrapped; see `KMS.unwrap`."""
        data = associated_data(key_id)
        self._asked("unwrap", key_id, deadline)
        if len(blob) < _HEAD + _NONCE + _TAG or not blob.startswith(_MAGIC):
            raise WrappedKeyRefused(key_id, "it is no blob of this KMS")
        head, nonce, sealed = blob[:_HEAD], blob[_HEAD : _HEAD + _NONCE], blob[_HEAD + _NONCE :]
        version = int.from_bytes(head[len(_MAGIC) :])
        try:
            plaintext = self._cipher(version).decrypt(nonce, sealed, head + data)
        except InvalidTag:
            raise WrappedKeyRefused(key_id, "its tag is not that of this id and key") from None
        if version in self._disabled:
            reason = f"version {version} of the key is disabled"
            raise KeyServiceFailed(self.name, key_id, "DISABLED", reason)
        return Secret(plaintext)

    def key(self, *, deadline: Deadline | None = None) -> WrappingKey:
        """Return which version wraps now; see `KMS.key`."""
        return WrappingKey(self.name, str(self._asked("key", "", deadline)))

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __repr__(self) -> str:
        """Name the key."""
        return f"FakeKms({self.name!r})"

    def _asked(self, verb: str, key_id: str, deadline: Deadline | None) -> int:
        """Record a call, and return the version that wraps now."""
        check_deadline(deadline, self.name, key_id)
        with self._lock:
            self.requests.append((verb, key_id))
            return self._version

    def _cipher(self, version: int) -> AESGCM:
        info = f"{self.name} {version}".encode()
        return AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(self._root))
