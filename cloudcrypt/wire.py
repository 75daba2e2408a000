"""Intents and handles as JSON: what is stored before a call and after it, and sent to other hosts.

The form is stable: an operation's name, the fields of the intent by their names, and nothing else.
"""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    FromSnapshot,
    FromVolume,
    Handle,
    Intent,
    ModifyVolume,
    ResizeVolume,
)

_OPERATIONS: Mapping[str, type[Intent[Any]]] = {
    kind.__name__: kind
    for kind in (
        AttachVolume,
        CreateSnapshot,
        CreateVolume,
        DeleteSnapshot,
        DeleteVolume,
        DetachVolume,
        ModifyVolume,
        ResizeVolume,
    )
}


def intent_to_dict(intent: Intent[object]) -> dict[str, Any]:
    """Return ``intent`` in terms of JSON: its fields, and its kind as ``operation``."""
    fields = attrs.asdict(intent)
    if "labels" in fields:
        fields["labels"] = dict(fields["labels"])
    return {"operation": type(intent).__name__, **fields}


def intent_from_dict(document: Mapping[str, Any]) -> Intent[Any]:
    """Return the intent that `intent_to_dict` wrote.

    Raises:
        InvalidRequest: it is not one.
    """
    fields = dict(document)
    try:
        kind = _OPERATIONS[fields.pop("operation")]
        source = fields.get("source")
        if source is not None:
            fields["source"] = _source(source)
        return kind(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest("intent", document, "not the form of an intent") from error


def handle_to_json(handle: Handle[object]) -> str:
    """Return ``handle`` as one JSON document, without secrets."""
    document = {"intent": intent_to_dict(handle.intent), "reference": handle.reference}
    return json.dumps(document, separators=(",", ":"))


def handle_from_json(text: str) -> Handle[Any]:
    """Return the handle that `handle_to_json` wrote.

    Raises:
        InvalidRequest: it is not one.
    """
    try:
        document = json.loads(text)
        return Handle(intent_from_dict(document["intent"]), str(document["reference"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("handle", text, "not the form of a handle") from error


def _source(source: Mapping[str, Any]) -> FromSnapshot | FromVolume:
    return FromSnapshot(**source) if "snapshot_id" in source else FromVolume(**source)
