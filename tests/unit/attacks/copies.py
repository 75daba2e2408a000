"""Attacks on binary headers, copies and whole headers: rows 26 to 35, 41, 42, 45 and 54."""

from cloudcrypt.errors import CapacityRefused, IdentityRefused, SealRefused, VolumeKeyRefused
from cloudcrypt.luks2 import Step, layout
from cloudcrypt.model import KeyPolicy
from cloudcrypt_testing.headers import DEVICE_SIZE, FIELDS, Forgery, MetadataCopy
from cloudcrypt_testing.mutations import (
    Mutation,
    chain,
    checksum,
    field,
    flip_area,
    json_tail,
    primary_only,
    put,
    raw,
    replace_area,
    resize,
    secondary_only,
    write_elsewhere,
)
from tests.unit.attacks.model import (
    BOUND,
    CONSTELLATION,
    Attack,
    genuine,
    replay,
    steal,
    swap,
)

ERASED = write_elsewhere(0, bytes(layout.KEYSLOTS_OFFSET))
EVIL = put("segments/0/encryption", "cipher_null-ecb")


def hidden_secondary(offset: int, *, erased: bool = True) -> Mutation:
    """Put a secondary copy where libcryptsetup scans for one."""

    def mutate(forgery: Forgery) -> None:
        hidden = MetadataCopy(bytearray(forgery.secondary.binary), forgery.secondary.json_area)
        start, length = FIELDS["hdr_offset"]
        hidden.binary[start : start + length] = offset.to_bytes(length, "big")
        if erased:
            ERASED(forgery)
        write_elsewhere(offset, hidden.to_bytes())(forgery)

    return mutate


def swap_copies(forgery: Forgery) -> None:
    """Serve the secondary copy first."""
    forgery.primary, forgery.secondary = forgery.secondary, forgery.primary


def replay_area(policy: KeyPolicy) -> Mutation:
    """Return the mutation that serves the keyslot area of generation 2 with another header."""

    def mutate(forgery: Forgery) -> None:
        replace_area(genuine(policy, generation=2).image.area)(forgery)

    return mutate


DOWNGRADES = [
    Attack(26, "LUKS1", field("version", 1), Step.BINARY),
    Attack(26, "LUKS version 3", field("version", 3), Step.BINARY),
    Attack(26, "BitLocker", field("magic", b"\xebR\x90-FV"), Step.BINARY),
    Attack(26, "ext4", chain(ERASED, write_elsewhere(1080, b"\x53\xef")), Step.BINARY),
    Attack(26, "XFS", chain(ERASED, write_elsewhere(0, b"XFSB")), Step.BINARY),
    *(
        Attack(27, f"hdr_size {size}", field("hdr_size", size), Step.BINARY)
        for size in (0, 4096, 8192, 32768, 4194304, 2**63, 2**64 - 1)
    ),
    Attack(32, "hdr_offset of the primary", primary_only(field("hdr_offset", 16384)), Step.BINARY),
    Attack(32, "hdr_offset of the secondary", secondary_only(field("hdr_offset", 0)), Step.BINARY),
    Attack(32, "hdr_offset far away", field("hdr_offset", 2**64 - 1), Step.BINARY),
    Attack(32, "copies swapped", swap_copies, Step.BINARY),
    Attack(32, "two primary copies", field("magic", b"LUKS\xba\xbe"), Step.BINARY),
    Attack(32, "two secondary copies", field("magic", b"SKUL\xba\xbe"), Step.BINARY),
    *(
        Attack(33, f"checksum by {name}", field("checksum_alg", name.encode()), Step.BINARY)
        for name in ("sha1", "sha512", "crc32", "", "SHA256", "sha256 ")
    ),
    Attack(33, "checksum by a name without end", field("checksum_alg", b"sha256" * 6), Step.BINARY),
    Attack(33, "checksum by sha256, then more", field("checksum_alg", b"sha256\0x"), Step.BINARY),
]

COPIES = [
    Attack(28, "secondary newer and evil", secondary_only(chain(EVIL, field("seqid", 9))),
           Step.COPIES),
    Attack(28, "primary newer and evil", primary_only(chain(EVIL, field("seqid", 9))), Step.COPIES),
    Attack(28, "secondary newer, not evil", secondary_only(field("seqid", 9)), Step.COPIES),
    Attack(29, "primary evil, secondary newer but broken",
           chain(primary_only(EVIL), secondary_only(chain(field("seqid", 9), checksum(b"\1")))),
           Step.CHECKSUM),
    Attack(29, "secondary evil and newer, primary broken",
           chain(secondary_only(chain(EVIL, field("seqid", 9))), primary_only(checksum(b"\1"))),
           Step.CHECKSUM),
    Attack(29, "checksum of zeros", checksum(b""), Step.CHECKSUM),
    Attack(29, "checksum with bytes after it", checksum(b"\1" * 64), Step.CHECKSUM),
    Attack(30, "secondary evil, same seqid", secondary_only(EVIL), Step.COPIES),
    Attack(30, "primary evil, same seqid", primary_only(EVIL), Step.COPIES),
    Attack(30, "secondary with another UUID",
           secondary_only(field("uuid", b"11111111-2222-4333-8444-555555555555")), Step.COPIES),
    *(
        Attack(31, f"secondary hidden at {offset:#x}", hidden_secondary(offset), Step.BINARY)
        for offset in (0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x400000)
    ),
    Attack(31, "primary erased", write_elsewhere(0, bytes(layout.METADATA_SIZE)), Step.BINARY),
    Attack(31, "secondary erased",
           write_elsewhere(layout.SECONDARY_OFFSET, bytes(layout.METADATA_SIZE)), Step.BINARY),
    Attack(31, "seqid 0", field("seqid", 0), Step.IDENTITY),
    Attack(31, "seqid that cannot grow", field("seqid", 2**64 - 1), Step.IDENTITY),
    Attack(31, "seqid of another header, sealed", field("seqid", 2), Step.SEAL, SealRefused,
           policies=BOUND),
]  # fmt: skip

NAMES = [
    Attack(34, "a label", field("label", b"root"), Step.BINARY),
    Attack(34, "a label of control characters", field("label", b"\x1b[2J\n"), Step.BINARY),
    Attack(34, "a subsystem", field("subsystem", b"luks"), Step.BINARY),
    Attack(34, "UUID in upper case", field("uuid", b"0F1E2D3C-4B5A-4697-8877-665544332211"),
           Step.IDENTITY),
    Attack(34, "UUID as a path", field("uuid", b"../../../etc/passwd"), Step.IDENTITY),
    Attack(34, "UUID with a newline", field("uuid", b"0f1e2d3c-4b5a-4697-8877-665544332211\n"),
           Step.IDENTITY),
    Attack(34, "UUID with a space before it",
           field("uuid", b" 0f1e2d3c-4b5a-4697-8877-665544332211"), Step.IDENTITY),
    Attack(34, "UUID of 40 characters", field("uuid", b"0" * 40), Step.IDENTITY),
    Attack(34, "UUID empty", field("uuid", b""), Step.IDENTITY),
    Attack(34, "UUID not ASCII", field("uuid", "0f1e2d3c-4b5a-4697-8877-66554433221à".encode()),
           Step.BINARY),
    Attack(34, "UUID, NUL, then more",
           field("uuid", b"0f1e2d3c-4b5a-4697-8877-665544332211\0x"), Step.BINARY),
    Attack(35, "padding after hdr_offset", raw(264, b"\1"), Step.BINARY),
    Attack(35, "padding before the checksum", raw(447, b"\1"), Step.BINARY),
    Attack(35, "padding from byte 512", raw(512, b"\1"), Step.BINARY),
    Attack(35, "padding up to byte 4096", raw(4095, b"\1"), Step.BINARY),
    Attack(35, "last byte of the JSON area", json_tail(-1, b"\1"), Step.JSON),
    Attack(35, "a document after the padding", json_tail(-64, b'{"keyslots":{}}'), Step.JSON),
]  # fmt: skip

WHOLE = [
    Attack(41, "header of an older generation", replay(KeyPolicy.BOUND, 2), Step.TOKEN,
           IdentityRefused, policies=BOUND),
    Attack(41, "header of an older generation, relabelled",
           chain(replay(KeyPolicy.BOUND, 2), put("tokens/0/generation", "1")), Step.SEAL,
           SealRefused, policies=BOUND),
    Attack(41, "keyslot area of another generation, sealed", replay_area(KeyPolicy.BOUND),
           Step.SEAL, SealRefused, policies=BOUND),
    Attack(41, "keyslot area of another header, not sealed", replay_area(KeyPolicy.CONSTELLATION),
           Step.UNLOCK, VolumeKeyRefused, policies=CONSTELLATION),
    Attack(41, "one bit of the keyslot area, sealed", flip_area(100_000), Step.SEAL, SealRefused,
           policies=BOUND),
    Attack(41, "one bit of the unused end of the area, sealed", flip_area(258047), Step.SEAL,
           SealRefused, policies=BOUND),
    Attack(41, "one bit of the keyslot area, not sealed", flip_area(100_000), Step.UNLOCK,
           VolumeKeyRefused, policies=CONSTELLATION),
    *(
        Attack(42, f"the disk of another volume, {policy.value}", swap(policy), Step.IDENTITY,
               IdentityRefused, policies=(policy,))
        for policy in KeyPolicy
    ),
    Attack(42, "the disk of another volume under this UUID, sealed",
           chain(swap(KeyPolicy.BOUND), field("uuid", b"0f1e2d3c-4b5a-4697-8877-665544332211")),
           Step.SEAL, SealRefused, policies=BOUND),
    Attack(42, "the disk of another volume under this UUID, not sealed",
           chain(swap(KeyPolicy.CONSTELLATION),
                 field("uuid", b"0f1e2d3c-4b5a-4697-8877-665544332211")),
           Step.UNLOCK, VolumeKeyRefused, policies=CONSTELLATION),
    Attack(42, "the keyslot of another volume, sealed", steal(KeyPolicy.BOUND, "keyslots/0"),
           Step.SEAL, SealRefused, policies=BOUND),
    Attack(45, "header erased", ERASED, Step.BINARY),
    Attack(45, "16 MiB erased", write_elsewhere(0, bytes(layout.DATA_OFFSET)), Step.BINARY),
    Attack(45, "header of ones", write_elsewhere(0, b"\xff" * layout.KEYSLOTS_OFFSET), Step.BINARY),
    Attack(45, "document erased", json_tail(0, bytes(layout.JSON_SIZE)), Step.JSON),
    Attack(54, "device one sector smaller", resize(DEVICE_SIZE - 4096), Step.CAPACITY,
           CapacityRefused),
    Attack(54, "device of the header alone", resize(layout.DATA_OFFSET), Step.READ),
    Attack(54, "device one byte smaller", resize(DEVICE_SIZE - 1), Step.CAPACITY, CapacityRefused),
]  # fmt: skip

ATTACKS = DOWNGRADES + COPIES + NAMES + WHOLE
