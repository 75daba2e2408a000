"""The tags by which volumes and snapshots are known again, and what they say.

They go with the request that creates, so there is no moment without them. docs/adr/0013 says why
each of them is there.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import ClonedFrom, Origin, RestoredFrom
from cloudcrypt.spi import CreateSnapshot, CreateVolume

NAME: Final = "Name"
"""What the console of AWS shows as the name."""
PREFIX: Final = "cloudcrypt:"
OWNER_TAG: Final = "cloudcrypt:owner"
NAME_TAG: Final = "cloudcrypt:name"
TOKEN_TAG: Final = "cloudcrypt:token"  # noqa: S105 - the name of a tag
MAKER_TAG: Final = "cloudcrypt:maker"
"""Who asked for a volume first: the installation, by its journal."""
SOURCE_TAG: Final = "cloudcrypt:source"
"""What a volume was made from, and what that was a copy of."""
ASKED_TAG: Final = "cloudcrypt:asked"
"""Digests of what was asked for and cannot be read back from EC2: labels, and the name of a key."""
VOLUME_TAG: Final = "cloudcrypt:volume"
"""The volume that a snapshot was taken of."""
GENERATION_TAG: Final = "cloudcrypt:generation"

TAGS_MAX: Final = 50
"""Tags of one resource (EC2 user guide, "Tag restrictions"; so are the next two)."""
KEY_MAX: Final = 128
VALUE_MAX: Final = 256
_OURS_MAX: Final = 7  # Name, and owner, name, token, maker, source and asked
LABELS_MAX: Final = TAGS_MAX - _OURS_MAX


@attrs.frozen
class Source:
    """What a volume was made from: as it was asked for, and what that says about its origin.

    ``ebs_id`` is that of a snapshot or of a volume; ``of`` the volume that its content comes from.
    """

    ebs_id: str
    of: str
    generation: int | None

    @property
    def origin(self) -> Origin:
        """The origin of the volume."""
        kind = RestoredFrom if self.ebs_id.startswith("snap-") else ClonedFrom
        return kind(self.of, self.generation)

    def to_tag(self) -> str:
        """Return the value of `SOURCE_TAG`."""
        text = f"{self.ebs_id} of={self.of}"
        return text if self.generation is None else f"{text} generation={self.generation}"

    @classmethod
    def of_tag(cls, value: str) -> "Source | None":
        """Return what the value of a tag says, or None if somebody else wrote it."""
        ebs_id, *facts = value.split(" ")
        named = _facts(facts)
        generation = named.get("generation")
        if "of" not in named or not (generation is None or generation.isdecimal()):
            return None
        return cls(ebs_id, named["of"], None if generation is None else int(generation))


def of_volume(intent: CreateVolume, owner: str, source: Source | None) -> dict[str, str]:
    """Return the tags of a new volume.

    Raises:
        InvalidRequest: its name or labels cannot be tags.
    """
    _check_text("name", intent.name)
    _check_labels(intent.labels)
    return {
        NAME: intent.name,
        OWNER_TAG: owner,
        NAME_TAG: intent.name,
        TOKEN_TAG: intent.token,
        ASKED_TAG: asked(intent),
        **({} if intent.maker is None else {MAKER_TAG: intent.maker}),
        **({} if source is None else {SOURCE_TAG: source.to_tag()}),
        **intent.labels,
    }


def of_snapshot(intent: CreateSnapshot, owner: str) -> dict[str, str]:
    """Return the tags of a new snapshot.

    Raises:
        InvalidRequest: its name cannot be a tag.
    """
    _check_text("name", intent.name)
    known = intent.generation is not None
    return {
        NAME: intent.name,
        OWNER_TAG: owner,
        NAME_TAG: intent.name,
        TOKEN_TAG: intent.token,
        VOLUME_TAG: intent.volume_id,
        **({GENERATION_TAG: str(intent.generation)} if known else {}),
    }


def specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, object]]:
    """Return ``tags`` as the parameter ``TagSpecifications`` of a request."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs}]


def name_of(tags: Mapping[str, str], ebs_id: str) -> str:
    """Return the name of a thing: ours, else the one in the console, else its id."""
    return tags.get(NAME_TAG) or tags.get(NAME) or ebs_id


def labels_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that are labels: neither ours, nor of AWS."""
    return {key: value for key, value in tags.items() if not _is_reserved(key)}


def generation_of(tags: Mapping[str, str]) -> int | None:
    """Return the generation that a snapshot was taken at, if somebody recorded it."""
    text = tags.get(GENERATION_TAG, "")
    return int(text) if text.isdecimal() else None


def client_token(owner: str, intent: CreateVolume) -> str:
    """Return the client token of a creation: 64 hex digits of SHA-256.

    It depends on the owner, so that the short tokens of two programs do not collide.
    """
    return hashlib.sha256(f"cloudcrypt\0{owner}\0{intent.token}".encode()).hexdigest()


def asked(intent: CreateVolume) -> str:
    """Return the value of `ASKED_TAG`."""
    key = "" if intent.cloud_key is None else f" key={key_digest(intent.cloud_key)}"
    return f"labels={labels_digest(intent.labels)}{key}"


def asked_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the digests in `ASKED_TAG` by what they are of."""
    return _facts(tags.get(ASKED_TAG, "").split(" "))


def labels_digest(labels: Mapping[str, str]) -> str:
    """Return what labels are known again by; others may add tags of their own to a volume."""
    return _digest(json.dumps(dict(labels), sort_keys=True))


def key_digest(cloud_key: str) -> str:
    """Return what the name of a key is known again by; EC2 answers with the ARN, always."""
    return _digest(cloud_key)


def _facts(words: Iterable[str]) -> dict[str, str]:
    facts = (word.partition("=") for word in words)
    return {name: value for name, _, value in facts}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _is_reserved(key: str) -> bool:
    return key == NAME or key.lower().startswith(("aws:", PREFIX))


def _check_text(parameter: str, text: str) -> None:
    if not (0 < len(text) <= VALUE_MAX and text.isprintable()):
        raise InvalidRequest(parameter, text, f"1 to {VALUE_MAX} printable characters")


def check_owner(owner: str) -> str:
    """Return ``owner`` if it can be one.

    Raises:
        InvalidRequest: it cannot be the value of a tag.
    """
    _check_text("owner", owner)
    return owner


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > LABELS_MAX:
        rule = f"at most {LABELS_MAX}: EC2 allows {TAGS_MAX} tags, {_OURS_MAX} are taken"
        raise InvalidRequest("labels", len(labels), rule)
    for key, value in labels.items():
        if _is_reserved(key):
            raise InvalidRequest("labels", key, f"{NAME}, aws:... and {PREFIX}... are reserved")
        if not (0 < len(key) <= KEY_MAX and len(value) <= VALUE_MAX):
            rule = f"keys of 1 to {KEY_MAX} characters, values of at most {VALUE_MAX}"
            raise InvalidRequest("labels", key, rule)
