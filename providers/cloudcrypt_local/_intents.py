"""Intents in the form in which they are stored, to tell whether two of them are the same."""

import json
from collections.abc import Mapping

import attrs

from cloudcrypt.spi import FromSnapshot, FromVolume, Intent


def encode(intent: Intent[object]) -> str:
    """Return ``intent`` without its token, in one canonical form."""
    fields = {
        field.name: getattr(intent, field.name)
        for field in attrs.fields(type(intent))
        if field.name != "token"
    }
    return json.dumps(
        {"operation": type(intent).__name__, **fields}, default=_plain, sort_keys=True
    )


def differences(stored: str, intent: Intent[object]) -> tuple[str, ...]:
    """Return the names of the fields in which ``intent`` differs from a ``stored`` one, sorted.

    Another operation altogether is the one difference ``operation``.
    """
    old, new = json.loads(stored), json.loads(encode(intent))
    if old["operation"] != new["operation"]:
        return ("operation",)
    return tuple(sorted(name for name in old if old[name] != new[name]))


def _plain(value: FromSnapshot | FromVolume | Mapping[str, str]) -> dict[str, object]:
    """Return what JSON can say instead of ``value``: the source of a volume, or labels."""
    return dict(value) if isinstance(value, Mapping) else attrs.asdict(value)
