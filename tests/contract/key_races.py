"""Many processes ask one URL for the same new key, and some of them are killed meanwhile.

A `Case` gives the URL, and the faults of the services behind it. For services over HTTP a request
is the moment of a kill: before it, the service drops it; after it, the service has done what it was
asked, and nobody gets the answer. For a SQLite file each statement is. Processes come from a
server process that forks and has no threads, so that 32 of them cost what one does.
"""

import hashlib
import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest import mock

import attrs

from cloudcrypt.errors import CloudcryptError
from cloudcrypt.keys import EnvelopeKeyService, get_data_key, open_key_service
from cloudcrypt.keys.external import KMS_GROUP
from cloudcrypt.plugins import installed
from cloudcrypt_testing.fake_kms import ENTRY_POINT
from cloudcrypt_testing.world.faults import Call, ConnectionLost, FaultSchedule, ReplyLost

PROCESSES = 32
PATIENCE = 120.0  # seconds; what takes longer hangs
KEY_ID = "cloudcrypt/v1/local:race"
KILLED = -signal.SIGKILL

_FORKS = multiprocessing.get_context("forkserver")


@attrs.frozen
class Running:
    """Services that run: the URL of a key service, and what can go wrong with its requests.

    ``faults`` has a schedule for each service that is asked over HTTP: none, one or two.
    """

    url: str
    faults: Sequence[FaultSchedule] = ()


@attrs.frozen
class Case:
    """A KMS with a store: ``running`` starts both anew, empty, with files of theirs in a folder.

    ``preload`` are the modules that the processes need and that take long to import. ``requests``
    says that a service is asked over HTTP, ``statements`` that the store is a SQLite file.
    """

    name: str
    running: Callable[[Path], AbstractContextManager[Running]]
    preload: tuple[str, ...] = ()
    requests: bool = True
    statements: bool = False


@attrs.frozen
class Asked:
    """What became of a process: its exit code, and the digest of the key that it got, or why not.

    ``got`` is empty if it was killed.
    """

    code: int
    got: str


@contextmanager
def opened(url: str) -> Generator[EnvelopeKeyService]:
    """Yield the key service of a URL; the fake KMS of cloudcrypt_testing is among those known."""
    kms = {**installed(KMS_GROUP), ENTRY_POINT.name: ENTRY_POINT}
    with open_key_service(url, kms=kms) as service:
        assert isinstance(service, EnvelopeKeyService)
        yield service


def digest(service: EnvelopeKeyService, key_id: str, *, existing: bool = False) -> str:
    """Return a digest of the key; the key itself is told nobody."""
    with get_data_key(service, key_id, existing=existing) as key:
        return hashlib.sha256(key.reveal()).hexdigest()


# --- processes ---


class Asker:
    """One process that asks for the key once it is told to."""

    def __init__(
        self, url: str, key_id: str = KEY_ID, *, die_at: int = 0, wraps: bool = False
    ) -> None:
        """Start it.

        Args:
            url: of the key service.
            key_id: of the key that it asks for.
            die_at: it dies before so many SQLite statements of its own, if that is not 0.
            wraps: it wraps the key anew before it asks.
        """
        self._ours, theirs = _FORKS.Pipe()
        arguments = (url, key_id, die_at, wraps, theirs)
        self._process: ForkServerProcess = _FORKS.Process(target=_ask, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def go(self) -> None:
        """Let it ask."""
        self._ours.send("go")

    def kill(self) -> None:
        """Kill it, at once."""
        if self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGKILL)

    def wait_ready(self) -> None:
        """Return when it has imported what it needs."""
        assert self._ours.poll(PATIENCE)
        self._ours.recv()

    def asked(self) -> Asked:
        """Return what became of it, when it has ended."""
        self._process.join(PATIENCE)
        code = self._process.exitcode
        assert code is not None, "the process hangs"
        try:
            got = self._ours.recv() if self._ours.poll(0) else ""
        except EOFError:
            got = ""
        return Asked(code, str(got))


def _ask(url: str, key_id: str, die_at: int, wraps: bool, pipe: Connection) -> None:  # noqa: FBT001
    """Do what one process does."""
    if die_at:
        _die_at_statement(die_at)
    pipe.send("ready")
    pipe.recv()
    try:
        with opened(url) as service:
            if wraps:
                service.rewrap(key_id)
            got = digest(service, key_id, existing=wraps)
    except CloudcryptError as error:
        got = f"{type(error).__name__}: {error}"
    pipe.send(got)


def _die_at_statement(number: int) -> None:
    """Let this process die before its ``number``-th SQLite statement, of all connections."""
    left = number
    connect = sqlite3.connect

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **named)
        connection.set_trace_callback(count)
        return connection

    mock.patch.object(sqlite3, "connect", traced).start()


def prepare(cases: Sequence[Case]) -> None:
    """Have the modules imported where processes come from; before the first of them."""
    modules = {module for case in cases for module in case.preload}
    _FORKS.set_forkserver_preload(["tests.contract.key_races", *sorted(modules)])


# --- what is tried ---


def race(case: Case, folder: Path, count: int = PROCESSES) -> None:
    """Let ``count`` processes ask at once: one key, one blob, all got it."""
    with case.running(folder) as running:
        askers = [Asker(running.url) for _ in range(count)]
        outcomes = _together(askers)
        assert {each.code for each in outcomes} == {0}
        _is_one_key(running, outcomes)


def race_with_kills(
    case: Case, folder: Path, count: int = PROCESSES, *, wraps: bool = False
) -> int:
    """Do the same, and kill one more between any two requests, or statements, up to half of them.

    Args:
        case: what they ask.
        folder: for files.
        count: how many they are.
        wraps: the key exists, and each of them wraps it anew and asks for it then.

    Returns:
        How many were killed.
    """
    with case.running(folder) as running, ExitStack() as stack:
        before = ""
        if wraps:
            with opened(running.url) as service:
                before = digest(service, KEY_ID)
        deaths = [1 + 3 * at for at in range(count // 2)] if case.statements else []
        deaths += [0] * (count - len(deaths))
        askers = [Asker(running.url, die_at=die_at, wraps=wraps) for die_at in deaths]
        if running.faults:
            stack.enter_context(_killing_in_turn(running, askers[: count // 2]))
        outcomes = _together(askers)
        for faults in running.faults:
            faults.clear()
        killed = [each for each in outcomes if each.code == KILLED]
        survivors = [each for each in outcomes if each.code == 0]
        assert len(killed) + len(survivors) == count
        assert len(survivors) >= count // 2
        _is_one_key(running, survivors)
        assert not wraps or {each.got for each in survivors} == {before}
        return len(killed)


def kill_between_requests(case: Case, folder: Path) -> int:
    """Kill a lone process before its n-th request, and after it, for every n: one key remains.

    Returns:
        How many moments there were.
    """
    moments = 0
    with case.running(folder) as running:
        for fault in (ConnectionLost(), ReplyLost()):
            for number in range(1, 100):
                key_id = f"{KEY_ID}/{type(fault).__name__}/{number:03}"
                asker = Asker(running.url, key_id)
                with _killing(running, asker, number, fault):
                    (outcome,) = _together([asker])
                if not _what_remains(running, key_id, outcome):
                    break
                moments += 1
            else:
                msg = "the process never got its key"
                raise AssertionError(msg)
    return moments


def kill_at_statements(case: Case, folder: Path) -> int:
    """Kill a lone process before its n-th SQLite statement, for every n: one key remains.

    Returns:
        How many moments there were.
    """
    for number in range(1, 200):
        where = folder / f"statement-{number}"
        where.mkdir()
        with case.running(where) as running:
            (outcome,) = _together([Asker(running.url, die_at=number)])
            if not _what_remains(running, KEY_ID, outcome):
                return number - 1
    msg = "the process never got its key"
    raise AssertionError(msg)


def _together(askers: Sequence[Asker]) -> list[Asked]:
    for asker in askers:
        asker.wait_ready()
    for asker in askers:
        asker.go()
    return [asker.asked() for asker in askers]


def _what_remains(running: Running, key_id: str, outcome: Asked) -> bool:
    """Check what a lone process left behind; return whether it was killed."""
    assert outcome.code in {0, KILLED}, outcome
    with opened(running.url) as service:
        before = list(service.store.list(key_id))
        assert before in ([], [key_id])
        key = digest(service, key_id, existing=bool(before))
        assert list(service.store.list(key_id)) == [key_id]
        assert digest(service, key_id, existing=True) == key
    assert outcome.code == KILLED or outcome.got == key
    return outcome.code == KILLED


def _is_one_key(running: Running, outcomes: Sequence[Asked]) -> None:
    with opened(running.url) as service:
        assert list(service.store.list()) == [KEY_ID]
        assert {each.got for each in outcomes} == {digest(service, KEY_ID, existing=True)}


@contextmanager
def _killing(
    running: Running, asker: Asker, number: int, fault: ConnectionLost | ReplyLost
) -> Generator[None]:
    """Within the block kill ``asker`` at the ``number``-th request that any service gets."""
    lock, left = threading.Lock(), number

    def strikes(_: Call) -> bool:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                asker.kill()
            return left == 0

    for faults in running.faults:
        faults.add(fault, when=strikes)
    yield
    for faults in running.faults:
        faults.clear()


@contextmanager
def _killing_in_turn(running: Running, victims: Sequence[Asker]) -> Generator[None]:
    """Within the block kill one more of ``victims`` at every third request."""
    lock, seen, rest = threading.Lock(), 0, list(victims)

    def counts(_: Call) -> bool:
        nonlocal seen
        with lock:
            seen += 1
            if seen % 3 == 0 and rest:
                rest.pop().kill()
        return False  # nothing goes wrong but that somebody is gone

    for faults in running.faults:
        faults.add(ConnectionLost(), when=counts, times=None)
    yield
