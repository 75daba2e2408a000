"""Many lookups, few requests: whoever asks while a request is under way goes with the next one.

There is no thread and no timer: a caller that finds few enough requests under way asks for all who
are waiting, itself included. So a lone caller waits for nobody, and nobody gets an answer that is
older than its question.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

import attrs

from cloudcrypt.errors import CloudcryptError, OperationCancelled
from cloudcrypt.waiting import Deadline

T = TypeVar("T")

NOTICE: Final = 0.2
"""Seconds until somebody who waits for the request of another one notices a cancellation."""

Fetch = Callable[[Sequence[str], Deadline], Mapping[str, T]]
"""Ask once for all these keys; those that are not there are missing in what is returned."""


@attrs.define(eq=False)
class _Question(Generic[T]):
    """What one caller wants to know."""

    key: str
    is_sent: bool = False
    is_answered: bool = False
    answer: T | None = None
    error: CloudcryptError | None = None


class Batcher(Generic[T]):
    """Lookups of one kind, by key. Thread-safe.

    An error is everybody's who waited for that request, except that a caller who cancelled does so
    for itself alone: the others ask again.
    """

    def __init__(self, fetch: Fetch[T], limit: int, *, at_once: int = 1) -> None:
        """Send lookups with ``fetch``, ``limit`` keys in one request, ``at_once`` requests."""
        self._fetch = fetch
        self._limit = limit
        self._at_once = at_once
        self._turn = threading.Condition()
        self._waiting: list[_Question[T]] = []
        self._asking = 0

    def get(self, key: str, deadline: Deadline) -> T | None:
        """Return what ``key`` names now, or None if there is no such thing.

        The request is made once: whoever wants another attempt asks again.

        Raises:
            ProviderError: as ``fetch`` raises.
            OperationCancelled: the caller cancelled.
        """
        while True:
            deadline.check()
            question = self._asked(_Question[T](key), deadline)
            if not isinstance(question.error, OperationCancelled):
                break
        if question.error is not None:
            error = question.error  # others raise it too, each with a traceback of its own
            raise copy.copy(error) from error.__cause__
        return question.answer

    def _asked(self, question: _Question[T], deadline: Deadline) -> _Question[T]:
        with self._turn:
            self._waiting.append(question)
        while True:
            with self._turn:
                while not question.is_answered and (question.is_sent or self._is_full):
                    self._turn.wait(NOTICE)
                    deadline.check()
                if question.is_answered:
                    return question
                batch = self._next_batch()
                self._asking += 1
            try:
                self._ask(batch, deadline)
            finally:
                with self._turn:
                    self._asking -= 1
                    self._turn.notify_all()

    @property
    def _is_full(self) -> bool:
        return self._asking >= self._at_once

    def _next_batch(self) -> list[_Question[T]]:
        """Take the questions for at most ``limit`` keys, those who wait longest first."""
        keys: set[str] = set()
        batch: list[_Question[T]] = []
        rest: list[_Question[T]] = []
        for question in self._waiting:
            fits = question.key in keys or len(keys) < self._limit
            (batch if fits else rest).append(question)
            if fits:
                keys.add(question.key)
                question.is_sent = True
        self._waiting = rest
        return batch

    def _ask(self, batch: Sequence[_Question[T]], deadline: Deadline) -> None:
        error: CloudcryptError = OperationCancelled()
        answers: Mapping[str, T] | None = None
        try:
            answers = self._fetch(list(dict.fromkeys(one.key for one in batch)), deadline)
        except CloudcryptError as raised:
            error = raised
        finally:  # whatever else is raised is the asker's own; the others ask again
            for question in batch:
                if answers is None:
                    question.error = error
                else:
                    question.answer = answers.get(question.key)
                question.is_answered = True
