"""Attacks on keyslot, key derivation and digest: rows 1, 4, 5 and 16 to 24."""

from cloudcrypt.errors import KeyslotsRefused, SealRefused, VolumeKeyRefused
from cloudcrypt.luks2 import Step
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import CONSTELLATION as CONSTELLATION_PROFILE
from cloudcrypt_testing.mutations import chain, drop, duplicate, move_area, put, rename
from tests.unit.attacks.model import BOUND, CONSTELLATION, Attack, steal

SLOT = "keyslots/0"
AREA = f"{SLOT}/area"
KDF = f"{SLOT}/kdf"
DIGEST = "digests/0"
U31 = 2**31 - 1
ANY_32_BYTES = "A" * 43 + "="

AREAS = [
    Attack(1, "area: cipher_null", put(f"{AREA}/encryption", "cipher_null-ecb"), Step.KEYSLOT),
    Attack(1, "area: null", put(f"{AREA}/encryption", "null"), Step.KEYSLOT),
    Attack(1, "area: aes-xts-plain", put(f"{AREA}/encryption", "aes-xts-plain"), Step.KEYSLOT),
    Attack(1, "area: type datashift", put(f"{AREA}/type", "datashift"), Step.DOCUMENT),
    Attack(16, "area over the metadata", move_area(0), Step.KEYSLOT),
    Attack(16, "area over the secondary copy", move_area(16384), Step.KEYSLOT),
    Attack(16, "area unaligned", move_area(33280), Step.KEYSLOT),
    Attack(16, "area over the payload", move_area(16777216), Step.KEYSLOT),
    Attack(16, "area before the payload", move_area(16777216 - 258048), Step.KEYSLOT),
    Attack(16, "area beyond the device", put(f"{AREA}/offset", str(2**64 - 4096)), Step.KEYSLOT),
    Attack(16, "area of the other mode's place", move_area(417792), Step.KEYSLOT),
    Attack(
        16, "alternate place, not sealed", move_area(290816), Step.KEYSLOT, policies=CONSTELLATION
    ),
    Attack(
        16, "alternate place, sealed", move_area(290816), Step.SEAL, SealRefused, policies=BOUND
    ),
    Attack(16, "area longer", put(f"{AREA}/size", "262144"), Step.KEYSLOT),
    Attack(16, "area shorter", put(f"{AREA}/size", "253952"), Step.KEYSLOT),
    Attack(16, "area empty", put(f"{AREA}/size", "0"), Step.KEYSLOT),
    Attack(17, "key_size 32", put(f"{SLOT}/key_size", 32), Step.KEYSLOT),
    Attack(17, "key_size 96", put(f"{SLOT}/key_size", 96), Step.KEYSLOT),
    Attack(17, "key_size 64 with integrity", put(f"{SLOT}/key_size", 64), Step.KEYSLOT,
           mode=Mode.INTEGRITY),
    Attack(17, "key_size 0", put(f"{SLOT}/key_size", 0), Step.KEYSLOT),
    Attack(17, "area.key_size 32", put(f"{AREA}/key_size", 32), Step.KEYSLOT),
    Attack(17, "area.key_size 96", put(f"{AREA}/key_size", 96), Step.KEYSLOT),
    Attack(18, "one stripe", put(f"{SLOT}/af/stripes", 1), Step.KEYSLOT),
    Attack(18, "999999 stripes", put(f"{SLOT}/af/stripes", 999999), Step.KEYSLOT),
    Attack(18, "splitter with sha1", put(f"{SLOT}/af/hash", "sha1"), Step.KEYSLOT),
    Attack(18, "splitter of another type", put(f"{SLOT}/af/type", "luks2"), Step.DOCUMENT),
    Attack(18, "no splitter", drop(f"{SLOT}/af"), Step.DOCUMENT),
]  # fmt: skip

SLOTS = [
    Attack(4, "slot 1 beside slot 0", duplicate(SLOT, "1"), Step.KEYSLOT, KeyslotsRefused),
    Attack(4, "slot 100 beside slot 0", duplicate(SLOT, "100"), Step.KEYSLOT, KeyslotsRefused),
    Attack(4, "slot 00 beside slot 0", duplicate(SLOT, "00"), Step.KEYSLOT, KeyslotsRefused),
    Attack(4, "slot 1 alone", rename(SLOT, "1"), Step.KEYSLOT, KeyslotsRefused),
    Attack(4, "no slot", put("keyslots", {}), Step.KEYSLOT, KeyslotsRefused),
    Attack(
        4,
        "an unbound slot",
        chain(duplicate(SLOT, "1"), put("keyslots/1/key_size", 32)),
        Step.KEYSLOT,
        KeyslotsRefused,
    ),
    Attack(4, "slot of type reencrypt", put(f"{SLOT}/type", "reencrypt"), Step.DOCUMENT),
    Attack(5, "slot ignored", put(f"{SLOT}/priority", 0), Step.DOCUMENT),
    Attack(5, "slot of normal priority, spelled out", put(f"{SLOT}/priority", 1), Step.DOCUMENT),
    Attack(5, "slot preferred", put(f"{SLOT}/priority", 2), Step.DOCUMENT),
]

KDFS = [
    Attack(19, "argon2i", put(f"{KDF}/type", "argon2i"), Step.DOCUMENT),
    Attack(
        19,
        "pbkdf2",
        put(KDF, {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": ANY_32_BYTES}),
        Step.DOCUMENT,
    ),
    Attack(19, "one pass", put(f"{KDF}/time", 1), Step.KDF),
    Attack(19, "two passes", put(f"{KDF}/time", 2), Step.KDF),
    Attack(19, "no memory", put(f"{KDF}/memory", 8), Step.KDF, policies=BOUND),
    Attack(19, "less memory than 8 KiB a lane", put(f"{KDF}/memory", 8), Step.KDF),
    Attack(19, "no lanes", put(f"{KDF}/cpus", 0), Step.KDF),
    Attack(19, "one lane", put(f"{KDF}/cpus", 1), Step.KDF, policies=BOUND),
    Attack(19, "short salt", put(f"{KDF}/salt", "AAAAAAAAAAA="), Step.KDF),
    Attack(19, "no salt", put(f"{KDF}/salt", ""), Step.KDF),
    Attack(19, "long salt", put(f"{KDF}/salt", "AAAA" * 1000), Step.KDF),
    Attack(19, "another salt, sealed", put(f"{KDF}/salt", ANY_32_BYTES), Step.SEAL, SealRefused,
           policies=BOUND),
    Attack(19, "another salt, not sealed", put(f"{KDF}/salt", ANY_32_BYTES), Step.UNLOCK,
           VolumeKeyRefused, policies=CONSTELLATION),
    Attack(20, "time 2^31-1", put(f"{KDF}/time", U31), Step.KDF),
    Attack(20, "time one above the bound", put(f"{KDF}/time", CONSTELLATION_PROFILE.time.most + 1),
           Step.KDF),
    Attack(20, "time 4, sealed", put(f"{KDF}/time", 4), Step.KDF, policies=BOUND),
    Attack(20, "memory 2^31-1 KiB", put(f"{KDF}/memory", U31), Step.KDF),
    Attack(20, "memory 64 MiB and 1 KiB", put(f"{KDF}/memory", 65537), Step.KDF),
    Attack(20, "memory 4 GiB", put(f"{KDF}/memory", 4194304), Step.KDF),
    Attack(20, "five lanes", put(f"{KDF}/cpus", 5), Step.KDF),
    Attack(20, "2^31-1 lanes", put(f"{KDF}/cpus", U31), Step.KDF),
]  # fmt: skip

DIGESTS = [
    Attack(21, "iterations 2^31-1", put(f"{DIGEST}/iterations", U31), Step.DIGEST),
    Attack(21, "iterations 4194305", put(f"{DIGEST}/iterations", 4194305), Step.DIGEST),
    Attack(21, "iterations 1001", put(f"{DIGEST}/iterations", 1001), Step.DIGEST, policies=BOUND),
    Attack(21, "iterations 999", put(f"{DIGEST}/iterations", 999), Step.DIGEST),
    Attack(21, "iterations 1", put(f"{DIGEST}/iterations", 1), Step.DIGEST),
    Attack(21, "iterations 0", put(f"{DIGEST}/iterations", 0), Step.DIGEST),
    Attack(22, "foreign digest, not sealed", steal(KeyPolicy.CONSTELLATION, DIGEST), Step.UNLOCK,
           VolumeKeyRefused, policies=CONSTELLATION),
    Attack(22, "foreign digest, sealed", steal(KeyPolicy.BOUND, DIGEST), Step.SEAL, SealRefused,
           policies=BOUND),
    Attack(22, "digest of another type", put(f"{DIGEST}/type", "sha256"), Step.DOCUMENT),
    Attack(23, "digest by sha1, 32 bytes", put(f"{DIGEST}/hash", "sha1"), Step.DIGEST),
    Attack(23, "digest by sha512", put(f"{DIGEST}/hash", "sha512"), Step.DIGEST),
    Attack(23, "digest salt of one byte", put(f"{DIGEST}/salt", "AA=="), Step.DIGEST),
    Attack(23, "digest salt empty", put(f"{DIGEST}/salt", ""), Step.DIGEST),
    Attack(23, "digest of one byte", put(f"{DIGEST}/digest", "AA=="), Step.DIGEST),
    Attack(23, "digest of 20 bytes", put(f"{DIGEST}/digest", "A" * 27 + "="), Step.DIGEST),
    Attack(23, "digest of 65 bytes", put(f"{DIGEST}/digest", "A" * 87 + "="), Step.DIGEST),
    Attack(23, "digest empty", put(f"{DIGEST}/digest", ""), Step.DIGEST),
    Attack(23, "digest missing", drop(f"{DIGEST}/digest"), Step.DOCUMENT),
    Attack(23, "digest salt missing", drop(f"{DIGEST}/salt"), Step.DOCUMENT),
    Attack(24, "a second digest", duplicate(DIGEST, "1"), Step.DIGEST),
    Attack(24, "digest 1 alone", rename(DIGEST, "1"), Step.DIGEST),
    Attack(24, "no digest", put("digests", {}), Step.DIGEST),
    Attack(24, "digest of no segment", put(f"{DIGEST}/segments", []), Step.DIGEST),
    Attack(24, "digest of no keyslot", put(f"{DIGEST}/keyslots", []), Step.DIGEST),
    Attack(24, "digest of segment 1", put(f"{DIGEST}/segments", ["1"]), Step.DIGEST),
    Attack(24, "digest of two keyslots", put(f"{DIGEST}/keyslots", ["0", "1"]), Step.DIGEST),
    Attack(24, "digest of slot 0 twice", put(f"{DIGEST}/keyslots", ["0", "0"]), Step.DIGEST),
    Attack(24, "digest of slot 0 as a number", put(f"{DIGEST}/keyslots", [0]), Step.DOCUMENT),
    Attack(24, "digest of a text", put(f"{DIGEST}/segments", "0"), Step.DOCUMENT),
]  # fmt: skip

ATTACKS = AREAS + SLOTS + KDFS + DIGESTS
