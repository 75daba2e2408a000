"""Being told that the disks of a host may have changed, in order to look again, and not before."""

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

from cloudcrypt.device._inotify import FolderEvents
from cloudcrypt.device._uevents import Uevents
from cloudcrypt.errors import DeviceNotGrown, DeviceUnavailable
from cloudcrypt.waiting import Deadline

T = TypeVar("T")

FIRST: Final = 1.0
"""Seconds after which there is a look although nothing was heard; then twice as many each time."""

LONGEST: Final = 5.0
"""Seconds between two looks at most: what a lost event costs, where events can be lost at all."""

GAP: Final = 0.05
"""Seconds between the beginnings of two looks at least: a storm of events is one event."""


class Watch(Protocol):
    """Says when the disks of a host may have changed, from the moment it was made."""

    def wait(self, deadline: Deadline, seconds: float) -> None:
        """Return once something may have changed since the last call, or after ``seconds``.

        Raises:
            OperationCancelled: the caller cancelled.
        """
        ...

    def close(self) -> None:
        """Stop watching. Idempotent."""
        ...


OpenWatch = Callable[[Iterable[Path]], Watch]
"""Begins to watch: the kernel's events, and the given folders, in which nodes appear."""


class Source(Protocol):
    """Events that can be polled for."""

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        ...

    def drain(self) -> bool:
        """Take all events that have come, and say whether disks may have changed.

        Raises:
            OSError: there will be no more.
        """
        ...

    def close(self) -> None:
        """Stop listening. Idempotent."""
        ...


class HostWatch:
    """Watches by events of the kernel and by inotify, as far as there are such here.

    A node appears before the kernel speaks of it, but not where udev or an agent makes the nodes of
    a container, or gives them an owner: hence both. Time is the caller's: one thread waits for
    events, the caller for his clock, for the thread, and for his cancellation.
    """

    def __init__(
        self, folders: Iterable[Path], *, kernel: Callable[[], Source] | None = Uevents
    ) -> None:
        """Begin to watch ``folders``, and what ``kernel`` tells if that is not None."""
        openings: list[Callable[[], Source]] = [lambda: FolderEvents(folders)]
        if kernel is not None:
            openings.append(kernel)
        self._sources = list[Source]()
        for opening in openings:
            with contextlib.suppress(OSError):  # not here: the caller looks now and then
                self._sources.append(opening())
        self._changed = threading.Event()
        self._listener: _Listener | None = None

    def wait(self, deadline: Deadline, seconds: float) -> None:
        """Wait for a change; see `Watch.wait`."""
        if self._listener is None:
            with contextlib.suppress(OSError, RuntimeError):  # no descriptor or thread to be had
                self._listener = _Listener(self._sources, self._changed)
        deadline.sleep(seconds, self._changed)
        self._changed.clear()  # before the look that comes now

    def close(self) -> None:
        """Stop watching. Idempotent."""
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        while self._sources:
            self._sources.pop().close()


class _Listener:
    """A thread that sets ``changed`` when a source says so, until it is stopped."""

    def __init__(self, sources: Iterable[Source], changed: threading.Event) -> None:
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        by_descriptor = {source.fileno(): source for source in sources}
        self._thread = threading.Thread(
            target=_listen, args=(self._stop, by_descriptor, changed), daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            os.close(self._stop)
            raise

    def stop(self) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)


def _listen(stop: int, sources: Mapping[int, Source], changed: threading.Event) -> None:
    poll = select.poll()
    for descriptor in (stop, *sources):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if stop in ready:
            return
        for descriptor in ready:
            try:
                told = sources[descriptor].drain()
            except OSError:
                poll.unregister(descriptor)
                told = True
            if told:
                changed.set()


def awaited(look: Callable[[], T], deadline: Deadline | None, watch: Callable[[], Watch]) -> T:
    """Return what ``look`` returns, looking again when something may have changed.

    Args:
        look: raises `DeviceUnavailable` or `DeviceNotGrown` if it is too early.
        deadline: until when; a last look follows it. None looks once.
        watch: begins to watch, before the first look, so that no change is missed.

    Raises:
        CloudcryptError: the error of the last look, or any other one at once.
        OperationCancelled: the caller cancelled.
    """
    if deadline is None:
        return look()
    pause = FIRST
    with contextlib.closing(watch()) as watching:
        while True:
            next_look = deadline.clock.monotonic() + GAP
            try:
                return look()
            except (DeviceUnavailable, DeviceNotGrown):
                deadline.check()
                if deadline.has_passed:
                    raise
            watching.wait(deadline, pause)
            early = next_look - deadline.clock.monotonic()
            if early > 0:
                deadline.sleep(early)
            pause = min(2 * pause, LONGEST)
