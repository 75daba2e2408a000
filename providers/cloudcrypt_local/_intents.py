"""Intents in the form in which they are stored, to tell whether two of them are the same."""

import json

from cloudcrypt.spi import Intent
from cloudcrypt.wire import intent_to_dict


def encode(intent: Intent[object]) -> str:
    """Return what ``intent`` asks for, in one canonical form: without its token, and who asks."""
    document = intent_to_dict(intent)
    del document["token"]
    document.pop("maker", None)
    return json.dumps(document, sort_keys=True)


def differences(stored: str, intent: Intent[object]) -> tuple[str, ...]:
    """Return the names of the fields in which ``intent`` differs from a ``stored`` one, sorted.

    Another operation altogether is the one difference ``operation``.
    """
    old, new = json.loads(stored), json.loads(encode(intent))
    if old["operation"] != new["operation"]:
        return ("operation",)
    return tuple(sorted(name for name in old if old[name] != new[name]))
