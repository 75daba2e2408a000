"""The whole table, and where the rows that are no mutation of a header are kept."""

from cloudcrypt.model import KeyPolicy
from tests.unit.attacks import copies, keyslots, segments, texts
from tests.unit.attacks.model import Attack

ATTACKS: list[Attack] = [
    *keyslots.ATTACKS,
    *segments.ATTACKS,
    *copies.ATTACKS,
    *texts.ATTACKS,
]

CASES: list[tuple[Attack, KeyPolicy]] = [
    (attack, policy) for attack in ATTACKS for policy in attack.policies
]

BEHAVIOURS = {
    39: "test_what_was_read_once_is_what_is_used_whatever_the_disk_says_later",
    40: "test_refusing_a_header_writes_nothing_to_the_disk",
}
"""Rows about when a disk is read or written; they are tests of their own."""

NOT_THE_HEADER = {
    43: "a clone has a genuine header: what differs is its origin, which is kept off the disk",
    46: "a wrong volume key never leaves unlock (step 16); whether to make a file system is the "
    "stage's decision, by its record",
}
"""Rows that no header shows; the stage's own tests keep them."""
