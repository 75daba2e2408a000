"""The labels and the description by which disks and snapshots are known again.

They go with the request that creates, so there is no moment without them. Labels can be looked for,
and anybody may change them; the description of a disk cannot be changed, and holds the facts.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import GENERATION_MAX
from cloudcrypt.spi import CreateSnapshot, CreateVolume, FromSnapshot, FromVolume
from cloudcrypt_gcp import _names

OWNER_LABEL: Final = "cloudcrypt-owner"
TOKEN_LABEL: Final = "cloudcrypt-token"  # noqa: S105 - the name of a label
PREFIX: Final = "cloudcrypt-"
LABELS_MAX: Final = 64 - 2
"""Labels of one resource (Compute Engine documentation, "Organize resources using labels"), and two
are taken."""
NAME_MAX: Final = 200
"""Characters of a name or owner: a description with both has less than a thousand."""

_VERSION: Final = 1
_KEY: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}", re.ASCII)
_DIGITS: Final = 32


@attrs.frozen
class Source:
    """What a volume was made from: as it was asked for, and what that says about its origin.

    ``id`` is that of a snapshot or of a volume; ``of`` the volume that its content comes from.
    """

    id: str
    of: str
    generation: int | None = None


@attrs.frozen
class Mark:
    """What a description says of a volume or snapshot of ours.

    ``token`` is the label of the intent's token, ``asked`` a digest of the whole intent, ``labels``
    one of its labels. ``source`` and ``maker`` are of a volume, ``volume`` and ``generation`` are
    of a snapshot.
    """

    name: str
    owner: str
    token: str
    asked: str = ""
    labels: str = ""
    source: Source | None = None
    maker: str | None = None
    volume: str | None = None
    generation: int | None = None

    def __str__(self) -> str:
        """Return the description."""
        facts = attrs.asdict(self, filter=lambda _, value: value not in {None, ""})
        document = {"cloudcrypt": _VERSION, **facts}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @classmethod
    def of(cls, description: str) -> Self | None:
        """Return what a description says, or None if somebody else wrote it."""
        try:
            found: Any = json.loads(description)
            if found.pop("cloudcrypt") != _VERSION:
                return None
            source = found.pop("source", None)
            mark = cls(**found, source=None if source is None else Source(**source))
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            return None
        return mark if mark.is_sound else None

    @property
    def is_sound(self) -> bool:
        """Whether all values are of their types."""
        texts = [self.name, self.owner, self.token, self.asked, self.labels, self.volume or ""]
        texts.append(self.maker or "")
        numbers = [self.generation]
        if self.source is not None:
            texts += [self.source.id, self.source.of]
            numbers.append(self.source.generation)
        return all(type(text) is str for text in texts) and all(
            number is None or (type(number) is int and 1 <= number <= GENERATION_MAX)
            for number in numbers
        )


def of_volume(intent: CreateVolume, owner: str, source: Source | None) -> Mark:
    """Return the mark of a new volume.

    Raises:
        InvalidRequest: its name or labels cannot be.
    """
    check_text("name", intent.name, NAME_MAX)
    check_labels(intent.labels)
    return Mark(
        name=intent.name,
        owner=owner,
        token=_names.token_label(owner, intent.token),
        asked=asked(intent),
        labels=labels_digest(intent.labels),
        source=source,
        maker=intent.maker,
    )


def of_snapshot(intent: CreateSnapshot, owner: str) -> Mark:
    """Return the mark of a new snapshot.

    Raises:
        InvalidRequest: its name or generation cannot be.
    """
    check_text("name", intent.name, NAME_MAX)
    if intent.generation is not None and intent.generation > GENERATION_MAX:
        raise InvalidRequest("generation", intent.generation, f"1 to {GENERATION_MAX}")
    return Mark(
        name=intent.name,
        owner=owner,
        token=_names.token_label(owner, intent.token),
        volume=intent.volume_id,
        generation=intent.generation,
    )


def labels_of(mark: Mark, labels: Mapping[str, str]) -> dict[str, str]:
    """Return all labels of something new: the caller's, and ours."""
    ours = {OWNER_LABEL: _names.owner_label(mark.owner), TOKEN_LABEL: mark.token}
    return {**labels, **ours}


def callers_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that are not ours."""
    return {key: value for key, value in labels.items() if not key.startswith(PREFIX)}


def reserved_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that are ours."""
    return {key: value for key, value in labels.items() if key.startswith(PREFIX)}


def labels_digest(labels: Mapping[str, str]) -> str:
    """Return what labels are known again by; others may add labels of their own to a volume."""
    return _digest(dict(labels))


def asked(intent: CreateVolume) -> str:
    """Return what the whole of an intent is known again by, but its token and its maker."""
    facts = attrs.asdict(intent, recurse=False)
    del facts["token"], facts["source"], facts["maker"]
    return _digest({**facts, "labels": dict(intent.labels), "source": _source(intent)})


def check_owner(owner: str) -> str:
    """Return ``owner`` if it can be one.

    Raises:
        InvalidRequest: it is too long for a description.
    """
    check_text("owner", owner, NAME_MAX)
    return owner


def check_text(parameter: str, text: str, most: int) -> None:
    """Return if ``text`` can stand in a description.

    Raises:
        InvalidRequest: it cannot.
    """
    if not (0 < len(text) <= most and text.isprintable()):
        raise InvalidRequest(parameter, text, f"1 to {most} printable characters")


def check_labels(labels: Mapping[str, str]) -> None:
    """Return if a caller may have these labels.

    Raises:
        InvalidRequest: they are too many, reserved, or nothing that GCE takes.
    """
    if len(labels) > LABELS_MAX:
        rule = f"at most {LABELS_MAX}: GCE allows {LABELS_MAX + 2}, and two are taken"
        raise InvalidRequest("labels", len(labels), rule)
    for key, value in labels.items():
        if key.startswith(PREFIX):
            raise InvalidRequest("labels", key, f"{PREFIX}... are reserved")
        if _KEY.fullmatch(key) is None or _VALUE.fullmatch(value) is None:
            rule = "keys and values of at most 63 of a-z 0-9 _ -, keys begin with a letter"
            raise InvalidRequest("labels", f"{key}={value}", rule)


def _source(intent: CreateVolume) -> list[object]:
    match intent.source:
        case None:
            return []
        case FromSnapshot(snapshot_id):
            return [snapshot_id]
        case FromVolume(volume_id, generation):
            return [volume_id, generation]


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:_DIGITS]
