"""What attackers do to headers: mutations of a `Forgery`, each changing exactly one thing.

    disk = forge(image, put("segments/0/encryption", "cipher_null-ecb"))

What is not attacked stays right: both copies are changed alike, the JSON is canonical and the
checksums are correct, unless a mutation is about just that. No mutation knows a key, as no attacker
does: the seal of a sealed header stays what it was.
"""

import json
from collections.abc import Callable, Sequence

import attrs

from cloudcrypt.luks2 import HeaderImage, layout
from cloudcrypt_testing.disks import MemoryDisk
from cloudcrypt_testing.headers import FIELDS, Forgery, Json, MetadataCopy

Mutation = Callable[[Forgery], None]
"""What an attacker does to a header."""


def forge(image: HeaderImage, *mutations: Mutation) -> MemoryDisk:
    """Return a disk with the header ``image`` after ``mutations``, applied in order."""
    forgery = Forgery.of(image)
    for mutation in mutations:
        mutation(forgery)
    return forgery.to_disk()


def chain(*mutations: Mutation) -> Mutation:
    """Return the mutation that applies ``mutations`` in order."""

    def mutate(forgery: Forgery) -> None:
        for mutation in mutations:
            mutation(forgery)

    return mutate


def become(image: HeaderImage) -> Mutation:
    """Replace the whole header by another genuine one."""

    def mutate(forgery: Forgery) -> None:
        forgery.primary = MetadataCopy.of(image.primary)
        forgery.secondary = MetadataCopy.of(image.secondary)
        forgery.area_offset = image.area_offset
        forgery.area = bytearray(image.area)

    return mutate


def secondary_only(mutation: Mutation) -> Mutation:
    """Return ``mutation`` applied to the secondary copy alone."""

    def mutate(forgery: Forgery) -> None:
        primary = attrs.evolve(forgery.primary, binary=bytearray(forgery.primary.binary))
        mutation(forgery)
        forgery.primary = primary

    return mutate


def primary_only(mutation: Mutation) -> Mutation:
    """Return ``mutation`` applied to the primary copy alone."""

    def mutate(forgery: Forgery) -> None:
        secondary = attrs.evolve(forgery.secondary, binary=bytearray(forgery.secondary.binary))
        mutation(forgery)
        forgery.secondary = secondary

    return mutate


# --- the JSON document -----------------------------------------------------------------------


def edit(change: Callable[[Json], object]) -> Mutation:
    """Change the document of each copy with ``change``, whose result is ignored."""

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            document = copy.document()
            change(document)
            copy.set_document(document)

    return mutate


def put(path: str, value: object) -> Mutation:
    """Set what is at ``path``, keys joined by slashes: ``keyslots/0/kdf/time``."""
    *parents, last = path.split("/")

    def change(document: Json) -> None:
        _at(document, parents)[last] = value

    return edit(change)


def drop(path: str) -> Mutation:
    """Delete what is at ``path``."""
    *parents, last = path.split("/")
    return edit(lambda document: _at(document, parents).pop(last))


def rename(path: str, key: str) -> Mutation:
    """Give what is at ``path`` another key, in the same place among its siblings."""
    *parents, last = path.split("/")

    def change(document: Json) -> None:
        parent = _at(document, parents)
        items = [(key if name == last else name, value) for name, value in parent.items()]
        parent.clear()
        parent.update(items)

    return edit(change)


def duplicate(path: str, key: str) -> Mutation:
    """Put a copy of what is at ``path`` beside it, under ``key``."""
    *parents, last = path.split("/")

    def change(document: Json) -> None:
        parent = _at(document, parents)
        parent[key] = json.loads(json.dumps(parent[last]))

    return edit(change)


def reorder(path: str = "") -> Mutation:
    """Reverse the order of the keys of the object at ``path``; by default of the document."""

    def change(document: Json) -> None:
        target = _at(document, path.split("/") if path else [])
        items = list(reversed(target.items()))
        target.clear()
        target.update(items)

    return edit(change)


def _at(document: Json, path: Sequence[str]) -> Json:
    for key in path:
        document = document[key]
    return document


def text(old: str, new: str | bytes) -> Mutation:
    """Replace ``old`` by ``new`` in the JSON text, once; for what no serialiser would write.

    Raises:
        ValueError: when applied, if the text has no ``old``.
    """
    replacement = new.encode("ascii") if isinstance(new, str) else new

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            before, found, after = copy.json_area.rstrip(b"\0").partition(old.encode("ascii"))
            if not found:
                raise ValueError(old)
            copy.set_text(before + replacement + after)

    return mutate


def json_text(content: bytes) -> Mutation:
    """Replace the whole JSON text."""

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            copy.set_text(content)

    return mutate


def json_tail(offset: int, content: bytes) -> Mutation:
    """Overwrite the JSON area from ``offset`` bytes; a negative one counts from its end."""

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            start = offset % layout.JSON_SIZE
            end = start + len(content)
            copy.json_area = copy.json_area[:start] + content + copy.json_area[end:]

    return mutate


# --- the bytes -------------------------------------------------------------------------------


def field(name: str, value: int | bytes) -> Mutation:
    """Set a field of the binary headers, see `FIELDS`; a number is big-endian, bytes NUL-padded."""
    offset, length = FIELDS[name]
    if isinstance(value, int):
        return raw(offset, value.to_bytes(length, "big"))
    return raw(offset, value.ljust(length, b"\0"))


def raw(offset: int, content: bytes) -> Mutation:
    """Overwrite the binary headers from ``offset`` bytes."""

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            copy.binary[offset : offset + len(content)] = content

    return mutate


def checksum(content: bytes) -> Mutation:
    """Write ``content`` for the checksum of each copy, instead of the right one."""

    def mutate(forgery: Forgery) -> None:
        for copy in forgery.copies:
            copy.checksum = content

    return mutate


def flip_area(offset: int, bits: int = 1) -> Mutation:
    """Flip ``bits`` of the byte at ``offset`` within the keyslot area."""

    def mutate(forgery: Forgery) -> None:
        forgery.area[offset] ^= bits

    return mutate


def replace_area(content: bytes) -> Mutation:
    """Replace the keyslot area by that of another header."""

    def mutate(forgery: Forgery) -> None:
        forgery.area[:] = content

    return mutate


def move_area(offset: int) -> Mutation:
    """Move the keyslot area to byte ``offset`` of the device, and say so in the document."""

    def mutate(forgery: Forgery) -> None:
        forgery.area_offset = offset
        put("keyslots/0/area/offset", str(offset))(forgery)

    return mutate


def write_elsewhere(offset: int, content: bytes) -> Mutation:
    """Write ``content`` to the device, after everything else."""

    def mutate(forgery: Forgery) -> None:
        forgery.elsewhere[offset] = content

    return mutate


def resize(size: int) -> Mutation:
    """Serve the header on a device of ``size`` bytes."""

    def mutate(forgery: Forgery) -> None:
        forgery.size = size

    return mutate
