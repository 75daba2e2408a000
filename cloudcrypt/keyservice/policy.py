"""Who may ask for which keys: the authorisation policy of the key service, and its file."""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

import attrs

from cloudcrypt.errors import CloudcryptError, InvalidRequest, InvalidVolumeId
from cloudcrypt.keys import bound_key_id
from cloudcrypt.keyservice.callers import ANONYMOUS, Caller
from cloudcrypt.model import is_uuid

RESERVED: Final = frozenset({"ca_emergency_ssh", "measurementSecret", "s3proxy-kek"})
"""Ids that are not of disks: of Constellation's SSH authority, attestation and S3 proxy. No
pattern stands for them, only their own names."""

VOLUMES: Final = "@volumes"
"""Stands for the key ids of all volumes: lower-case UUIDs, and ``cloudcrypt/v1/`` + a volume id."""

ANYONE: Final = "*"
"""Stands for all callers with a certificate."""

_BOUND = "cloudcrypt/v1/"
_KINDS = ("URI:", "DNS:", "CN:")
_FILE_MAX = 1024 * 1024

Matcher = Callable[[str], bool]


@attrs.frozen
class Policy:
    """Patterns of ids for each caller; what no pattern allows is refused.

    A caller is ``URI:``, ``DNS:`` or ``CN:`` and a name of its certificate, ``*`` for all who have
    one, or ``anonymous`` for those who have none. A pattern is `VOLUMES`, or an id in which ``*``
    stands for any characters. To a caller with several names everything applies that one of them
    allows.
    """

    rules: Mapping[str, tuple[str, ...]]
    _matchers: Mapping[str, tuple[Matcher, ...]] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Prepare the patterns."""
        matchers = {name: tuple(map(_matcher, ids)) for name, ids in self.rules.items()}
        object.__setattr__(self, "_matchers", matchers)

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a policy from a file, in JSON or TOML: a table ``callers`` of lists of ids.

        Raises:
            InvalidRequest: the file cannot be read, or does not hold one.
        """
        document = _table(path, _document(Path(path)))
        if set(document) != {"callers"}:
            raise _refusal(path, "one table, callers, of lists of ids")
        rules = _table(path, document["callers"])
        return cls({name: _ids(path, name, ids) for name, ids in rules.items()})

    def allows(self, caller: Caller, key_id: str) -> bool:
        """Say whether ``caller`` may ask for the key of ``key_id``."""
        names = (*caller.names, ANYONE) if caller.authenticated else (ANONYMOUS,)
        return any(match(key_id) for name in names for match in self._matchers.get(name, ()))


def is_volume(key_id: str) -> bool:
    """Say whether ``key_id`` is that of a volume."""
    if not key_id.startswith(_BOUND):
        return is_uuid(key_id)
    try:
        return bound_key_id(key_id.removeprefix(_BOUND)) == key_id
    except InvalidVolumeId:
        return False


def _matcher(pattern: str) -> Matcher:
    if pattern == VOLUMES:
        return is_volume
    if "*" not in pattern:
        return pattern.__eq__
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    return lambda key_id: key_id not in RESERVED and expression.fullmatch(key_id) is not None


def _document(path: Path) -> Any:  # noqa: ANN401  # parsed text
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_MAX).decode()
        return json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except OSError as error:
        raise _refusal(path, f"readable: {error.strerror or 'it is not'}") from error
    except (ValueError, RecursionError) as error:  # JSON, TOML, UTF-8
        raise _refusal(path, "JSON or TOML, in UTF-8, of at most 1 MiB") from error


def _table(path: Path | str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _refusal(path, "one table, callers, of lists of ids")
    return cast("dict[str, object]", value)


def _ids(path: Path | str, name: str, ids: object) -> tuple[str, ...]:
    is_kind = any(name.startswith(kind) and name != kind for kind in _KINDS)
    if name not in {ANYONE, ANONYMOUS} and not is_kind:
        raise _refusal(path, f"callers are URI:, DNS: or CN: and a name, {ANYONE} or {ANONYMOUS}")
    values = cast("Sequence[object]", ids) if isinstance(ids, list) else (None,)
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values) or any(_is_malformed(text) for text in texts):
        raise _refusal(path, f"each caller has a list of ids; {VOLUMES} is the only one with @")
    return texts


def _is_malformed(pattern: str) -> bool:
    return not pattern or (pattern.startswith("@") and pattern != VOLUMES)


def _refusal(path: Path | str, rule: str) -> CloudcryptError:
    return InvalidRequest("policy file", str(path), rule)


DEFAULT: Final = Policy({ANYONE: (VOLUMES,)})
"""Without a policy, behind mutual TLS: who has a certificate may ask for the keys of volumes."""

PLAINTEXT: Final = Policy({ANONYMOUS: (VOLUMES,)})
"""Without a policy, in plain text: everybody may ask for the keys of volumes."""
