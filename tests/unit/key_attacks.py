"""Attacks on stored keys: what a store, or one who can write to it, does; and what comes of it."""

from collections.abc import Callable

import attrs

from cloudcrypt.errors import (
    CloudcryptError,
    DataKeyAbsent,
    KeyServiceFailed,
    WrappedKeyRefused,
)
from cloudcrypt.keys import EnvelopeKeyService, get_data_key
from cloudcrypt.keys.sqlite import SqliteStore
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.kms import BLOB_MAX
from cloudcrypt.secret import Secret
from cloudcrypt_testing.fake_kms import FakeKms
from tests.unit.clocks import FakeClock
from tests.unit.lying_stores import Careless, Forgetting, Store

ID, OTHER, NEW = "cloudcrypt/v1/local:data", "cloudcrypt/v1/local:other", "cloudcrypt/v1/local:new"


@attrs.define
class Scene:
    """A KMS, a store, and keys of two volumes; a third has none yet."""

    kms: FakeKms = attrs.field(factory=FakeKms)
    store: Store = attrs.field(factory=lambda: Store(SqliteStore(":memory:")))
    keys: dict[str, Secret] = attrs.field(factory=dict[str, Secret])

    def __attrs_post_init__(self) -> None:
        self.keys |= {key_id: get_data_key(self.service(), key_id) for key_id in (ID, OTHER)}

    def service(self, store: Store | None = None) -> EnvelopeKeyService:
        store = self.store if store is None else store
        return EnvelopeKeyService(self.kms, store, store_name="the store", clock=FakeClock())

    def opened(self, store: Store | None = None, key_id: str = ID) -> Secret:
        """Return the key as one gets it who opens a volume."""
        return get_data_key(self.service(store), key_id, existing=True)

    def formatted(self, store: Store | None = None, key_id: str = NEW) -> Secret:
        """Return the key as one gets it who formats a volume."""
        return get_data_key(self.service(store), key_id)

    def blob(self, key_id: str = ID) -> bytes:
        found = self.store.store.get(key_id)
        assert found is not None
        return found

    def put(self, blob: bytes, key_id: str = ID) -> None:
        self.store.store.delete(key_id)
        if len(blob) <= BLOB_MAX:
            assert self.store.store.create(key_id, blob)
        else:  # past the interface, which does not take it
            assert isinstance(self.store.store, SqliteStore)
            with self.store.store._database.transaction() as db:
                db.execute("INSERT INTO wrapped_keys VALUES (?, ?)", (key_id, blob))

    def wrapped(self, key: Secret, key_id: str) -> bytes:
        """Return a blob as one makes it who may wrap with the KMS's key."""
        return WrappedKey(self.kms.wrap(key, key_id), self.kms.name, "1").to_bytes()


@attrs.frozen
class Attack:
    """One row: what is done, what comes of it, and how the test does it and sees it.

    ``tries`` yields attempts to get a key; all of them raise ``refusal``, or give ``gives``.
    """

    text: str
    outcome: str
    tries: Callable[[Scene], list[Callable[[], Secret]]]
    refusal: type[CloudcryptError] | None = None
    gives: Callable[[Scene], Secret] | None = None


REFUSED = "refused: `WrappedKeyRefused`"


def _in_turn(
    blobs: Callable[[Scene], list[bytes]],
) -> Callable[[Scene], list[Callable[[], Secret]]]:
    """Return attempts to open the volume, each with another blob in the store."""

    def tries(scene: Scene) -> list[Callable[[], Secret]]:
        def attempt(blob: bytes) -> Secret:
            scene.put(blob)
            return scene.opened()

        return [lambda blob=blob: attempt(blob) for blob in blobs(scene)]  # type: ignore[misc]

    return tries


def _is_hint(scene: Scene, at: int) -> bool:
    """Say whether a byte of the blob is within the value of a hint."""
    text = scene.blob().decode()
    first, last = text.index('"kms":"') + 7, text.index('","wrapped"')
    separator = text.index('","version":"')
    return first <= at < last and not separator <= at < separator + 13


def _flips(scene: Scene) -> list[bytes]:
    blob = scene.blob()
    places = [at for at in range(len(blob)) if not _is_hint(scene, at)]
    return [
        blob[:at] + bytes([blob[at] ^ 1 << bit]) + blob[at + 1 :] for at in places for bit in (0, 5)
    ]


def _spellings(scene: Scene) -> list[bytes]:
    text = scene.blob().decode()
    return [
        text.replace(",", ", ").encode(),
        text.replace("fake-kms", "\\u0066ake-kms").encode(),
        f" {text}".encode(),
        text.replace('"format"', '"zzz":1,"format"').encode(),
    ]


def _hints(scene: Scene) -> list[bytes]:
    wrapped = WrappedKey.from_bytes(ID, scene.blob()).wrapped
    return [WrappedKey(wrapped, *hints).to_bytes() for hints in ((None, None), ("other", "99"))]


def _other_version(scene: Scene) -> list[bytes]:
    return [scene.blob().replace(b"wrapped-key/1", b"wrapped-key/2")]


def _rolled_back(scene: Scene, *, disabled: bool) -> list[bytes]:
    old = scene.blob()
    scene.kms.rotate()
    scene.service().rewrap(ID)
    if disabled:
        scene.kms.disable(1)
    return [old]


def _absent(scene: Scene) -> list[Callable[[], Secret]]:
    scene.store.store.delete(ID)
    return [scene.opened]


def _restored(scene: Scene) -> list[bytes]:
    old = scene.blob()
    scene.service().shred(ID)
    return [old]


def _foreign(scene: Scene) -> list[bytes]:
    other = FakeKms("another", root=b"of somebody else")
    return [WrappedKey(other.wrap(Secret(bytes(32)), ID), scene.kms.name, "1").to_bytes()]


def _forgotten(times: int) -> Callable[[Scene], list[Callable[[], Secret]]]:
    return lambda scene: [lambda: scene.formatted(Forgetting(scene.store, times), ID)]


def _careless(scene: Scene) -> list[Callable[[], Secret]]:
    return [lambda: scene.formatted(Careless(Forgetting(scene.store, 1)), ID)]


def _pretending(scene: Scene) -> list[Callable[[], Secret]]:
    store = Careless(scene.store)
    store.overwrites = False
    return [lambda: scene.formatted(Forgetting(store, 1), ID)]


PLANTED = Secret(b"known to the one who planted it!")


def _planted(key_id: str) -> Callable[[Scene], list[Callable[[], Secret]]]:
    def tries(scene: Scene) -> list[Callable[[], Secret]]:
        scene.put(scene.wrapped(PLANTED, key_id), key_id)
        return [lambda: scene.formatted(key_id=key_id)]

    return tries


def _mine(scene: Scene) -> Secret:
    return scene.keys[ID]


ATTACKS = (
    Attack(
        "the blob of another id in the place of this one's",
        REFUSED,
        _in_turn(lambda scene: [scene.blob(OTHER)]),
        WrappedKeyRefused,
    ),
    Attack(
        "a blob cut off, at every length",
        REFUSED,
        _in_turn(lambda scene: [scene.blob()[:length] for length in range(len(scene.blob()))]),
        WrappedKeyRefused,
    ),
    Attack(
        "more bytes behind a blob",
        REFUSED,
        _in_turn(lambda scene: [scene.blob() + more for more in (b" ", b"\0", b"\n", b"{}")]),
        WrappedKeyRefused,
    ),
    Attack(
        "one bit flipped, in any byte but those of the hints",
        REFUSED,
        _in_turn(_flips),
        WrappedKeyRefused,
    ),
    Attack(
        "another document, another text, random bytes",
        REFUSED,
        _in_turn(lambda scene: [b"{}", b"null", b"text", bytes(32), bytes(range(256))]),
        WrappedKeyRefused,
    ),
    Attack(
        "the same content in another spelling",
        REFUSED,
        _in_turn(_spellings),
        WrappedKeyRefused,
    ),
    Attack(
        "a document of another version of the format",
        REFUSED,
        _in_turn(_other_version),
        WrappedKeyRefused,
    ),
    Attack(
        "a blob that is longer than 64 KiB",
        f"{REFUSED}; it is not read to its end",
        _in_turn(lambda scene: [bytes(BLOB_MAX + 1)]),
        WrappedKeyRefused,
    ),
    Attack(
        "a blob of this id, wrapped by another key",
        REFUSED,
        _in_turn(_foreign),
        WrappedKeyRefused,
    ),
    Attack(
        "the hints `kms` and `version` changed",
        "not noticed, and without effect: nothing is decided by them, `rewrap` included",
        _in_turn(_hints),
        gives=_mine,
    ),
    Attack(
        "the blob of a volume deleted, and the volume opened",
        "refused: `DataKeyAbsent`; no key is made",
        _absent,
        DataKeyAbsent,
    ),
    Attack(
        "the store says that a key is absent, and then shows it",
        "without effect: the key is that of the store, and no second one is stored",
        _forgotten(1),
        gives=_mine,
    ),
    Attack(
        "the store says that a key is absent, that it is there, and that it is absent",
        "refused: `KeyServiceFailed`, code `absence`",
        _forgotten(2),
        KeyServiceFailed,
    ),
    Attack(
        "the store says that it has stored a new key, and has kept another one",
        "refused: `KeyServiceFailed`, code `creation`",
        _pretending,
        KeyServiceFailed,
    ),
    Attack(
        "the store says that a key is absent while a volume is formatted, and overwrites it",
        "not preventable: the store has the keys, and loses one; `cloudcrypt key doctor` finds a "
        "store that overwrites, and what opens a volume makes no key",
        _careless,
    ),
    Attack(
        "an older wrap of the same key put back, its version enabled",
        "not preventable: it is the same key, and opens. Nothing is gained by it before the "
        "version is known to somebody",
        _in_turn(lambda scene: _rolled_back(scene, disabled=False)),
        gives=_mine,
    ),
    Attack(
        "an older wrap of the same key put back, its version disabled or destroyed",
        "refused by the KMS: `KeyServiceFailed`",
        _in_turn(lambda scene: _rolled_back(scene, disabled=True)),
        KeyServiceFailed,
    ),
    Attack(
        "the blob of a shredded key put back from a copy",
        "not preventable while the KMS has the version that wrapped it: destroy that as well",
        _in_turn(_restored),
        gives=_mine,
    ),
    Attack(
        "a key of another length, wrapped for this id by one who may wrap",
        "refused: `KeyServiceFailed`, code `length`; nothing is cut or padded",
        _in_turn(lambda scene: [scene.wrapped(Secret(bytes(n)), ID) for n in (1, 16, 31, 33, 64)]),
        KeyServiceFailed,
    ),
    Attack(
        "a known key stored for an id that has none, by one who may wrap and may write",
        "not preventable: the volume is formatted with it. Let only those wrap who format volumes",
        _planted(NEW),
        gives=lambda scene: PLANTED,
    ),
    Attack(
        "a known key stored for a volume that exists, by one who may wrap and may write",
        "the key is handed out, and the header of the volume, sealed with the right one, is "
        "refused",
        _planted(ID),
        gives=lambda scene: PLANTED,
    ),
)
"""The rows of docs/reference/key-attacks.md, in its order."""
