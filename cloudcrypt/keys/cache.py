"""A cache of data keys in memory, bounded in time and number: only for callers who ask for one."""

import threading
from collections import OrderedDict
from typing import final

import attrs

from cloudcrypt.errors import DataKeyUnavailable, InvalidRequest
from cloudcrypt.keys.service import FindingKeyService, KeyService, OpenKeyService, ask_for
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import SYSTEM_CLOCK, Clock

SECONDS_MAX = 24 * 3600
"""Longest time that a key may be cached, in seconds."""

ENTRIES = 256
"""Keys that are cached at most where the caller says nothing: more than the volumes of a node."""

ENTRIES_MAX = 65536
"""Most keys that a caller may have cached."""


@attrs.frozen
class _Entry:
    key: Secret
    end: float


@final
class CachingKeyService(OpenKeyService):
    """A key service that remembers what another one gave, for a while.

    A key is wiped when its time is over, when it is the oldest of too many, and by `close`. Callers
    get copies, which are theirs to wipe. An error is not remembered. Thread-safe.
    """

    def __init__(
        self,
        service: KeyService,
        *,
        seconds: float,
        entries: int = ENTRIES,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Remember what ``service`` gives; `close` closes it as well, if it can be closed.

        Args:
            service: asked for what is not remembered.
            seconds: that a key is remembered.
            entries: that are remembered at most.
            clock: tells the time.

        Raises:
            InvalidRequest: ``seconds`` is not within 0..`SECONDS_MAX`, or ``entries`` not within
                1..`ENTRIES_MAX`.
        """
        if not 0 < seconds <= SECONDS_MAX:
            raise InvalidRequest("seconds of a cache", seconds, f"above 0, to {SECONDS_MAX}")
        if not 1 <= entries <= ENTRIES_MAX:
            raise InvalidRequest("entries of a cache", entries, f"1 to {ENTRIES_MAX}")
        self._service = service
        self._makes = isinstance(service, FindingKeyService)
        self._seconds = seconds
        self._most = entries
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        self._timer: threading.Timer | None = None
        self._closed = False

    def get_data_key(self, key_id: str, length: int) -> Secret:
        """Return a copy of the key, remembered or asked for; see `KeyService.get_data_key`.

        A service that makes keys is always asked: what is remembered may have been shredded.

        Raises:
            DataKeyUnavailable: this service is closed.
        """
        return self._get(key_id, length, existing=False)

    def find_data_key(self, key_id: str, length: int) -> Secret:
        """Return a copy of a key that exists; see `FindingKeyService.find_data_key`.

        One that is remembered is given until its time is over, although it was shredded meanwhile.

        Raises:
            DataKeyAbsent: there is none, and the other service can say so.
            DataKeyUnavailable: this service is closed.
        """
        return self._get(key_id, length, existing=True)

    @property
    def behind(self) -> KeyService:
        """The service that is asked for what is not remembered."""
        return self._service

    def _get(self, key_id: str, length: int, *, existing: bool) -> Secret:
        with self._lock:
            if self._closed:
                raise DataKeyUnavailable(key_id, "the key service is closed")
            self._expire()
            entry = self._entries.get((key_id, length))
            # A key that may be made has to be stored now: what is remembered may be shredded.
            if entry is not None and (existing or not self._makes):
                return entry.key.copy()
        key = ask_for(self._service, key_id, length, existing=existing)
        with self._lock:
            if len(key) == length:
                self._remember((key_id, length), key.copy())
        return key

    def __len__(self) -> int:
        """Return how many keys are remembered now."""
        with self._lock:
            self._expire()
            return len(self._entries)

    def close(self) -> None:
        """Wipe everything, and close the other service. Idempotent."""
        with self._lock:
            self._closed = True
            while self._entries:
                self._forget()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if isinstance(self._service, OpenKeyService):
            self._service.close()

    def _remember(self, name: tuple[str, int], key: Secret) -> None:
        if self._closed:  # meanwhile
            key.wipe()
            return
        known = self._entries.pop(name, None)  # another thread asked for the same meanwhile
        if known is not None:
            known.key.wipe()
        self._entries[name] = _Entry(key, self._clock.monotonic() + self._seconds)
        while len(self._entries) > self._most:
            self._forget()
        self._arm()

    def _expire(self) -> None:
        """Wipe what is too old. All live equally long, so the oldest are in front."""
        now = self._clock.monotonic()
        while self._entries and next(iter(self._entries.values())).end <= now:
            self._forget()

    def _forget(self) -> None:
        _, entry = self._entries.popitem(last=False)
        entry.key.wipe()

    def _arm(self) -> None:
        """See to it that keys are wiped in time also if nobody asks for any more."""
        if self._timer is not None or not self._entries:
            return
        first = next(iter(self._entries.values())).end
        pause = max(0.0, first - self._clock.monotonic())
        self._timer = threading.Timer(pause + _TICK, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        with self._lock:
            self._timer = None
            self._expire()
            self._arm()


_TICK = 0.01  # seconds, so that the timer does not ring just before the time is over
