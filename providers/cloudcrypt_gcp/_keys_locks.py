"""A lock that a forked process does not find held by a thread that it does not have."""

import os
import threading


class ProcessLock:
    """A lock of each process.

    Where another thread holds it while a process forks, the child has one of its own: nobody would
    ever give back the one that it has inherited.
    """

    def __init__(self) -> None:
        """Begin with one that nobody holds."""
        self._ours = threading.Lock(), os.getpid()

    def mine(self) -> threading.Lock:
        """Return the lock of this process."""
        lock, process = self._ours
        if process != os.getpid():
            lock = threading.Lock()
            self._ours = lock, os.getpid()
        return lock
