"""Whether a KMS and a store do what is asked of them: tried out, one thing after another.

What is tried stores a blob under an id of its own below `CANARY`, and deletes it again. Ids below
`CANARY` are reserved for this; one that a killed process left behind may be shredded.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from cloudcrypt.errors import CloudcryptError, WrappedKeyRefused
from cloudcrypt.kms import KMS, TIMEOUT, KeyStore
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock, Deadline

CANARY: Final = "cloudcrypt/doctor/"
"""What the ids begin with under which this tries a store."""

_BLOB, _OTHER = b"the first", b"the second"


@attrs.frozen
class Finding:
    """One thing that was tried: whether it is as it must be, what was found, what to do."""

    what: str
    ready: bool
    found: str
    advice: str = ""


@attrs.frozen
class Trial:
    """A KMS and a store while they are tried; each call ends within the timeout."""

    kms: KMS
    store: KeyStore
    canary: str
    timeout: float
    clock: Clock

    def by(self) -> Deadline:
        """Return the deadline of a call that begins now."""
        return Deadline.after(self.timeout, clock=self.clock)

    def blob(self) -> bytes | None:
        """Return what the store has."""
        return self.store.get(self.canary, deadline=self.by())


@attrs.frozen
class _Doubt(Exception):
    """What was tried is not as it must be."""

    found: str
    advice: str


def examine(
    kms: KMS, store: KeyStore, *, timeout: float = TIMEOUT, clock: Clock = SYSTEM_CLOCK
) -> Iterator[Finding]:
    """Yield what becomes of trying each thing that a key service needs.

    Args:
        kms: wraps and unwraps random bytes.
        store: gets a blob, and loses it again.
        timeout: seconds of each call.
        clock: tells the time.
    """
    canary = f"{CANARY}{secrets.token_hex(8)}"
    trial = Trial(kms, store, canary, timeout, clock)
    yield _tried("wrapping key", lambda: _key(trial))
    yield _tried("wraps, and unwraps again", lambda: _unwraps(trial))
    yield _tried("unwraps under its own id only", lambda: _is_bound(trial))
    answers = _tried("store answers", lambda: _answers(trial))
    yield answers
    if answers.ready:
        yield from _of_store(trial)


def _of_store(trial: Trial) -> Iterator[Finding]:
    try:
        yield _tried("creates what is absent only", lambda: _creates(trial))
        yield _tried("replaces what is known only", lambda: _replaces(trial))
        yield _tried("lists", lambda: _lists(trial))
    finally:
        deleted = _tried("deletes", lambda: _deletes(trial))
    yield deleted


def _tried(what: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ready=True, found=act())
    except _Doubt as doubt:
        return Finding(what, ready=False, found=doubt.found, advice=doubt.advice)
    except CloudcryptError as error:
        return Finding(what, ready=False, found=error.message, advice=error.remedy)


def _key(trial: Trial) -> str:
    key = trial.kms.key(deadline=trial.by())
    return key.name if key.version is None else f"{key.name}, version {key.version}"


def _unwraps(trial: Trial) -> str:
    with Secret(os.urandom(32)) as plaintext:
        blob = trial.kms.wrap(plaintext, trial.canary, deadline=trial.by())
        with trial.kms.unwrap(blob, trial.canary, deadline=trial.by()) as again:
            if again != plaintext:
                raise _Doubt("other bytes than were wrapped", "do not use this KMS")
    return f"32 bytes, in {len(blob)}"


def _is_bound(trial: Trial) -> str:
    with Secret(os.urandom(32)) as plaintext:
        blob = trial.kms.wrap(plaintext, trial.canary, deadline=trial.by())
    try:
        trial.kms.unwrap(blob, f"{trial.canary}/other", deadline=trial.by()).wipe()
    except WrappedKeyRefused:
        return "another id is refused"
    advice = "do not use this KMS: whoever writes to the store could swap keys"
    raise _Doubt("another id unwraps it, too", advice)


def _answers(trial: Trial) -> str:
    if trial.blob() is not None:
        raise _Doubt("it has a blob of an id that was never used", "do not use this store")
    return "what was never stored is absent"


def _creates(trial: Trial) -> str:
    store, canary = trial.store, trial.canary
    first = store.create(canary, _BLOB, deadline=trial.by())
    second = store.create(canary, _OTHER, deadline=trial.by())
    if (first, second, trial.blob()) != (True, False, _BLOB):
        found = "the second of two that create a blob overwrites the first, or neither is stored"
        advice = "do not use this store: it does not know the condition, and would lose keys"
        raise _Doubt(found, advice)
    return "the first of two is stored"


def _replaces(trial: Trial) -> str:
    store, canary = trial.store, trial.canary
    wrong = store.replace(canary, _OTHER, _OTHER, deadline=trial.by())
    right = store.replace(canary, _BLOB, _OTHER, deadline=trial.by())
    if (wrong, right, trial.blob()) != (False, True, _OTHER):
        advice = "do not wrap keys anew in this store: two who do it at once could lose one"
        raise _Doubt("a blob is replaced by who does not know it, or not at all", advice)
    return "what is another blob by now stays"


def _lists(trial: Trial) -> str:
    found = list(trial.store.list(trial.canary, deadline=trial.by()))
    if found != [trial.canary]:
        advice = "let the caller list; without it, keys cannot be listed, nor all wrapped anew"
        raise _Doubt("what was stored is not in the listing", advice)
    return "what was stored is in the listing"


def _deletes(trial: Trial) -> str:
    there = trial.blob() is not None
    if trial.store.delete(trial.canary, deadline=trial.by()) != there or trial.blob() is not None:
        advice = f"delete {trial.canary} by hand; keys of this store cannot be shredded"
        raise _Doubt("what was deleted is still there", advice)
    return "what was deleted is absent"
