"""Attacks on segment, config and tokens: rows 2, 3, 6 to 15, 25 and 44."""

from cloudcrypt.errors import ModeRefused, PolicyRefused, SealRefused
from cloudcrypt.luks2 import Step
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt_testing.mutations import chain, drop, duplicate, put, rename, reorder
from tests.unit.attacks.model import BOUND, CONSTELLATION, Attack, steal

SEGMENT = "segments/0"
INTEGRITY = f"{SEGMENT}/integrity"
TOKEN = "tokens/0"
PLAIN_INTEGRITY = {
    "type": "hmac(sha256)",
    "journal_encryption": "none",
    "journal_integrity": "none",
}
SEAL = {"type": "cloudcrypt", "keyslots": ["0"], "version": 1, "generation": "1", "mac": ""}

CIPHERS = [
    *(
        Attack(2, f"cipher {cipher}", put(f"{SEGMENT}/encryption", cipher), Step.SEGMENT)
        for cipher in ("cipher_null-ecb", "null", "capi:ecb(cipher_null)-plain", "none", "")
    ),
    *(
        Attack(3, f"cipher {cipher}", put(f"{SEGMENT}/encryption", cipher), Step.SEGMENT)
        for cipher in (
            "aes",
            "aes-ecb",
            "aes-xts-null",
            "aes-xts-plain",
            "aes-xts-plain64be",
            "aes-cbc-plain",
            "aes-cbc-essiv:sha256",
            "capi:xts(aes)-plain64",
            "AES-XTS-PLAIN64",
            "aes-xts-plain64 ",
            "aes-xts-plain64\0-ecb",
        )
    ),
]

LINEAR = {"type": "linear", "offset": "16777216", "size": "dynamic"}

SEGMENTS = [
    Attack(6, "segment 1 beside segment 0", duplicate(SEGMENT, "1"), Step.SEGMENT),
    Attack(6, "segment 1 alone", rename(SEGMENT, "1"), Step.SEGMENT),
    Attack(6, "no segment", put("segments", {}), Step.SEGMENT),
    Attack(6, "a linear segment beside it", put("segments/1", LINEAR), Step.DOCUMENT),
    Attack(6, "a linear segment alone", put(SEGMENT, LINEAR), Step.DOCUMENT),
    Attack(6, "hw-opal", put(f"{SEGMENT}/type", "hw-opal"), Step.DOCUMENT),
    Attack(6, "hw-opal-crypt", put(f"{SEGMENT}/type", "hw-opal-crypt"), Step.DOCUMENT),
    Attack(6, "opal range", put(f"{SEGMENT}/opal_segment_number", 1), Step.DOCUMENT),
    Attack(
        6,
        "not contiguous",
        chain(duplicate(SEGMENT, "1"), put("segments/1/offset", "33554432")),
        Step.SEGMENT,
    ),
    *(
        Attack(7, f"flag {flag}", put(f"{SEGMENT}/flags", [flag]), Step.DOCUMENT)
        for flag in ("backup-final", "backup-previous", "in-reencryption")
    ),
    Attack(7, "no flags, spelled out", put(f"{SEGMENT}/flags", []), Step.DOCUMENT),
    Attack(12, "sector of 512", put(f"{SEGMENT}/sector_size", 512), Step.SEGMENT),
    Attack(12, "sector of 1024", put(f"{SEGMENT}/sector_size", 1024), Step.SEGMENT),
    Attack(12, "sector of 2048", put(f"{SEGMENT}/sector_size", 2048), Step.SEGMENT),
    Attack(12, "sector of 3072", put(f"{SEGMENT}/sector_size", 3072), Step.SEGMENT),
    Attack(12, "sector of 8192", put(f"{SEGMENT}/sector_size", 8192), Step.SEGMENT),
    Attack(12, "sector of 1 GiB", put(f"{SEGMENT}/sector_size", 2**30), Step.SEGMENT),
    Attack(12, "sector of 0", put(f"{SEGMENT}/sector_size", 0), Step.SEGMENT),
    Attack(13, "tweak 8", put(f"{SEGMENT}/iv_tweak", "8"), Step.SEGMENT),
    Attack(13, "tweak 2^64-1", put(f"{SEGMENT}/iv_tweak", str(2**64 - 1)), Step.SEGMENT),
    Attack(14, "payload from 0", put(f"{SEGMENT}/offset", "0"), Step.SEGMENT),
    Attack(14, "payload inside the header", put(f"{SEGMENT}/offset", "32768"), Step.SEGMENT),
    Attack(14, "payload over the keyslots", put(f"{SEGMENT}/offset", "16773120"), Step.SEGMENT),
    Attack(14, "payload from 32 MiB", put(f"{SEGMENT}/offset", "33554432"), Step.SEGMENT),
    Attack(14, "payload one sector on", put(f"{SEGMENT}/offset", "16781312"), Step.SEGMENT),
    Attack(15, "payload cut short", put(f"{SEGMENT}/size", "4096"), Step.SEGMENT),
    Attack(15, "payload of its true size", put(f"{SEGMENT}/size", "16777216"), Step.SEGMENT),
    Attack(15, "payload beyond the device", put(f"{SEGMENT}/size", str(2**62)), Step.SEGMENT),
    Attack(15, "size DYNAMIC", put(f"{SEGMENT}/size", "DYNAMIC"), Step.SEGMENT),
    Attack(15, "size as a number", put(f"{SEGMENT}/size", 4096), Step.DOCUMENT),
]

TO_CRYPT = chain(
    drop(INTEGRITY),
    put("keyslots/0/key_size", 64),
    put("keyslots/0/area/size", "258048"),
)
TO_INTEGRITY = chain(
    put(INTEGRITY, PLAIN_INTEGRITY),
    put("keyslots/0/key_size", 96),
    put("keyslots/0/area/size", "385024"),
)

INTEGRITIES = [
    Attack(10, "integrity dropped", drop(INTEGRITY), Step.MODE, ModeRefused, mode=Mode.INTEGRITY),
    Attack(10, "integrity dropped everywhere", TO_CRYPT, Step.MODE, ModeRefused,
           mode=Mode.INTEGRITY),
    *(
        Attack(10, f"integrity {kind}", put(f"{INTEGRITY}/type", kind), Step.SEGMENT,
               mode=Mode.INTEGRITY)
        for kind in ("none", "crc32c", "poly1305", "hmac(sha1)", "cmac(aes)", "aead", "")
    ),
    Attack(10, "integrity null", put(INTEGRITY, None), Step.DOCUMENT, mode=Mode.INTEGRITY),
    Attack(10, "integrity empty", put(INTEGRITY, {}), Step.DOCUMENT, mode=Mode.INTEGRITY),
    Attack(11, "integrity added", put(INTEGRITY, PLAIN_INTEGRITY), Step.MODE, ModeRefused),
    Attack(11, "integrity added everywhere", TO_INTEGRITY, Step.MODE, ModeRefused),
    Attack(11, "integrity added as asked, on a key of 64 bytes", put(INTEGRITY, PLAIN_INTEGRITY),
           Step.KEYSLOT, asked=Mode.INTEGRITY),
    *(
        Attack(11, f"{what} {kind}", put(f"{INTEGRITY}/{what}", kind), Step.SEGMENT,
               mode=Mode.INTEGRITY)
        for what in ("journal_encryption", "journal_integrity")
        for kind in ("cbc(aes)", "hmac(sha256)", "")
    ),
    Attack(11, "HMAC key of 16 bytes", put(f"{INTEGRITY}/key_size", 16), Step.SEGMENT,
           mode=Mode.INTEGRITY),
    Attack(11, "HMAC key of 0 bytes", put(f"{INTEGRITY}/key_size", 0), Step.SEGMENT,
           mode=Mode.INTEGRITY),
    Attack(11, "HMAC key size spelled out, sealed", put(f"{INTEGRITY}/key_size", 32), Step.SEAL,
           SealRefused, mode=Mode.INTEGRITY, policies=BOUND),
    Attack(11, "integrity with a field of its own", put(f"{INTEGRITY}/tag_size", 4), Step.DOCUMENT,
           mode=Mode.INTEGRITY),
]  # fmt: skip

CONFIGS = [
    *(
        Attack(
            8, f"requirement {what}", put("config/requirements", {"mandatory": [what]}),
            Step.DOCUMENT,
        )
        for what in (
            "offline-reencrypt",
            "online-reencrypt",
            "online-reencrypt-v2",
            "online-reencrypt-v3",
            "inline-hw-tags",
            "opal",
            "opal-v2",
            "unknown",
        )
    ),
    Attack(8, "requirements empty", put("config/requirements", {}), Step.DOCUMENT),
    Attack(8, "requirements at the root", put("requirements", {"mandatory": []}), Step.DOCUMENT),
    *(
        Attack(9, f"flag {flag}", put("config/flags", [flag]), Step.DOCUMENT)
        for flag in (
            "allow-discards",
            "same-cpu-crypt",
            "submit-from-crypt-cpus",
            "no-journal",
            "no-read-workqueue",
            "no-write-workqueue",
            "high_priority",
        )
    ),
    Attack(9, "flags empty", put("config/flags", []), Step.DOCUMENT),
    Attack(14, "json_size 16384", put("config/json_size", "16384"), Step.TOKEN),
    Attack(14, "json_size 0", put("config/json_size", "0"), Step.TOKEN),
    Attack(14, "keyslots_size into the payload", put("config/keyslots_size", "33554432"),
           Step.TOKEN),
    Attack(14, "keyslots_size 0", put("config/keyslots_size", "0"), Step.TOKEN),
]  # fmt: skip

TOKENS = [
    *(
        Attack(25, f"token {kind}", put("tokens/1", {"type": kind, "keyslots": ["0"]}),
               Step.DOCUMENT)
        for kind in (
            "systemd-tpm2",
            "systemd-fido2",
            "systemd-recovery",
            "clevis",
            "luks2-keyring",
            "../../tmp/evil",
            "cloudcrypt2",
            "",
        )
    ),
    Attack(25, "token without keyslots", put("tokens/1", {"type": "clevis", "keyslots": []}),
           Step.DOCUMENT),
    Attack(25, "a second seal", duplicate(TOKEN, "1"),
           Step.TOKEN, PolicyRefused, policies=BOUND),
    Attack(25, "our own token, not sealed", put(TOKEN, SEAL),
           Step.TOKEN, PolicyRefused, policies=CONSTELLATION),
    Attack(25, "token with a field of its own", put(f"{TOKEN}/url", "http://localhost"),
           Step.DOCUMENT, policies=BOUND),
    Attack(44, "seal stripped", put("tokens", {}),
           Step.TOKEN, PolicyRefused, policies=BOUND),
    Attack(44, "seal under another id", rename(TOKEN, "1"),
           Step.TOKEN, PolicyRefused, policies=BOUND),
    Attack(44, "seal for no keyslot", put(f"{TOKEN}/keyslots", []), Step.TOKEN, policies=BOUND),
    Attack(44, "seal of version 0", put(f"{TOKEN}/version", 0), Step.TOKEN, policies=BOUND),
    Attack(44, "seal of version 2", put(f"{TOKEN}/version", 2), Step.TOKEN, policies=BOUND),
    Attack(44, "MAC empty", put(f"{TOKEN}/mac", ""), Step.TOKEN, policies=BOUND),
    Attack(44, "MAC of one byte", put(f"{TOKEN}/mac", "AA=="), Step.TOKEN, policies=BOUND),
    Attack(44, "MAC missing", drop(f"{TOKEN}/mac"), Step.DOCUMENT, policies=BOUND),
    Attack(44, "MAC of zeros", put(f"{TOKEN}/mac", "A" * 43 + "="), Step.SEAL, SealRefused,
           policies=BOUND),
    Attack(44, "MAC of another volume", steal(KeyPolicy.BOUND, f"{TOKEN}/mac"), Step.SEAL,
           SealRefused, policies=BOUND),
    Attack(44, "fields in another order", reorder(), Step.TOKEN, policies=BOUND),
    Attack(44, "fields of the seal in another order", reorder(TOKEN), Step.TOKEN, policies=BOUND),
]  # fmt: skip

ATTACKS = CIPHERS + SEGMENTS + INTEGRITIES + CONFIGS + TOKENS
