"""The tags by which volumes and snapshots are known again, and what they say.

They go with the request that creates, so there is no moment without them. Azure does not look at
the case of their keys (Azure Resource Manager, "Use tags to organize your Azure resources").
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import ClonedFrom, Origin, RestoredFrom
from cloudcrypt.spi import CreateSnapshot, CreateVolume
from cloudcrypt_azure._ids import SNAPSHOT

PREFIX: Final = "cloudcrypt-"
OWNER_TAG: Final = "cloudcrypt-owner"
NAME_TAG: Final = "cloudcrypt-name"
TOKEN_TAG: Final = "cloudcrypt-token"  # noqa: S105 - the name of a tag
SOURCE_TAG: Final = "cloudcrypt-source"
"""What a volume was made from, and what that was a copy of."""
ASKED_TAG: Final = "cloudcrypt-asked"
"""A digest of the labels that were asked for: others add tags of their own. And when Azure showed
nothing of the name, see `maker_of`."""
MAKER_TAG: Final = "cloudcrypt-maker"
"""Who asked for a volume first."""
VOLUME_TAG: Final = "cloudcrypt-volume"
"""The volume that a snapshot was taken of."""
GENERATION_TAG: Final = "cloudcrypt-generation"

TAGS_MAX: Final = 50
"""Tags of one resource (the same page; so are the next four)."""
KEY_MAX: Final = 512
VALUE_MAX: Final = 256
_FORBIDDEN: Final = frozenset("<>%&\\?/")
_RESERVED: Final = (PREFIX, "microsoft", "azure", "windows")
_SKEW: Final = 1.0
"""Seconds between two clocks of Azure, of what answers and of what makes disks, at most."""
_OURS_MAX: Final = 6  # owner, name, token, source, asked and maker
LABELS_MAX: Final = TAGS_MAX - _OURS_MAX


@attrs.frozen
class Source:
    """What a volume was made from: as it was asked for, and what that says about its origin.

    ``unique`` is the ``uniqueId`` of a volume, or `SNAPSHOT` and that of a snapshot; ``of`` the id
    of the volume that its content comes from.
    """

    unique: str
    of: str
    generation: int | None

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a snapshot."""
        return self.unique.startswith(SNAPSHOT)

    @property
    def origin(self) -> Origin:
        """The origin of the volume."""
        return (RestoredFrom if self.is_snapshot else ClonedFrom)(self.of, self.generation)

    def to_tag(self) -> str:
        """Return the value of `SOURCE_TAG`: at most 210 characters."""
        text = f"{self.unique} of={self.of}"
        return text if self.generation is None else f"{text} generation={self.generation}"

    @classmethod
    def of_tag(cls, value: str) -> "Source | None":
        """Return what the value of a tag says, or None if somebody else wrote it."""
        unique, *facts = value.split(" ")
        named = _facts(facts)
        generation = named.get("generation")
        if not named.get("of") or not (generation is None or generation.isdecimal()):
            return None
        return cls(unique, named["of"], None if generation is None else int(generation))


def of_volume(intent: CreateVolume, owner: str, source: Source | None) -> dict[str, str]:
    """Return the tags of a new volume.

    Raises:
        InvalidRequest: its name or labels cannot be tags.
    """
    check_volume(intent)
    return {
        OWNER_TAG: owner,
        NAME_TAG: intent.name,
        TOKEN_TAG: intent.token,
        ASKED_TAG: f"labels={labels_digest(intent.labels)}",
        **({} if source is None else {SOURCE_TAG: source.to_tag()}),
        **({} if intent.maker is None else {MAKER_TAG: intent.maker}),
        **intent.labels,
    }


def looked(tags: Mapping[str, str], at: float | None) -> dict[str, str]:
    """Return the tags of a new volume whose name was free ``at`` a time, by Azure's clock."""
    asked = tags[ASKED_TAG] if at is None else f"{tags[ASKED_TAG]} at={at:.0f}"
    return {**tags, ASKED_TAG: asked}


def maker_of(tags: Mapping[str, str], created: datetime) -> str | None:
    """Return who asked for a volume first, if its tags prove it.

    They are those of whoever wrote last. If that was by a look that was old, the volume is older
    than the look: then its maker is unknown.
    """
    at = _facts(tag(tags, ASKED_TAG).split(" ")).get("at", "")
    if not at.isdecimal() or created.timestamp() < int(at) - _SKEW:
        return None
    return tag(tags, MAKER_TAG) or None


def check_volume(intent: CreateVolume) -> None:
    """Return if name and labels can be tags.

    Raises:
        InvalidRequest: they cannot.
    """
    _check_text("name", intent.name)
    _check_labels(intent.labels)


def of_snapshot(intent: CreateSnapshot, owner: str) -> dict[str, str]:
    """Return the tags of a new snapshot.

    Raises:
        InvalidRequest: its name cannot be a tag.
    """
    _check_text("name", intent.name)
    known = intent.generation is not None
    return {
        OWNER_TAG: owner,
        NAME_TAG: intent.name,
        TOKEN_TAG: intent.token,
        VOLUME_TAG: intent.volume_id,
        **({GENERATION_TAG: str(intent.generation)} if known else {}),
    }


def tag(tags: Mapping[str, str], key: str) -> str:
    """Return the value of a tag of ours, whatever the case of its key; empty if there is none."""
    return tags.get(key) or next((text for name, text in tags.items() if name.lower() == key), "")


def is_of(tags: Mapping[str, str], owner: str, name: str | None = None) -> bool:
    """Say whether something is the owner's, and has the ``name`` if there is one."""
    return tag(tags, OWNER_TAG) == owner and name in {None, tag(tags, NAME_TAG)}


def name_of(tags: Mapping[str, str], azure_name: str) -> str:
    """Return the name of a thing: ours, else Azure's."""
    return tag(tags, NAME_TAG) or azure_name


def labels_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are labels."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(PREFIX)}


def generation_of(tags: Mapping[str, str]) -> int | None:
    """Return the generation that a snapshot was taken at, if somebody recorded it."""
    text = tag(tags, GENERATION_TAG)
    return int(text) if text.isdecimal() else None


def are_asked(tags: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Say whether a volume was created with these ``labels``, whatever others have added since."""
    asked = _facts(tag(tags, ASKED_TAG).split(" "))
    return asked.get("labels") == labels_digest(labels)


def labels_digest(labels: Mapping[str, str]) -> str:
    """Return what labels are known again by."""
    text = json.dumps(dict(labels), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def check_owner(owner: str) -> str:
    """Return ``owner`` if it can be one.

    Raises:
        InvalidRequest: it cannot be the value of a tag.
    """
    _check_text("owner", owner)
    return owner


def _facts(words: Iterable[str]) -> dict[str, str]:
    facts = (word.partition("=") for word in words)
    return {name: value for name, _, value in facts}


def _check_text(parameter: str, text: str) -> None:
    if not (0 < len(text) <= VALUE_MAX and text.isprintable()):
        raise InvalidRequest(parameter, text, f"1 to {VALUE_MAX} printable characters")


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > LABELS_MAX:
        rule = f"at most {LABELS_MAX}: Azure allows {TAGS_MAX} tags, {_OURS_MAX} are taken"
        raise InvalidRequest("labels", len(labels), rule)
    if len({key.lower() for key in labels}) < len(labels):
        raise InvalidRequest("labels", sorted(labels), "Azure does not tell keys apart by case")
    for key, value in labels.items():
        if key.lower().startswith(_RESERVED):
            raise InvalidRequest("labels", key, f"{', '.join(_RESERVED)}... are reserved")
        if not 0 < len(key) <= KEY_MAX or _FORBIDDEN.intersection(key):
            rule = f"keys of 1 to {KEY_MAX} characters, none of them {' '.join(sorted(_FORBIDDEN))}"
            raise InvalidRequest("labels", key, rule)
        if len(value) > VALUE_MAX:
            raise InvalidRequest("labels", key, f"values of at most {VALUE_MAX} characters")
