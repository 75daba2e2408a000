"""Secret bytes that cannot be printed, compare in constant time and are wiped.

CPython copies: what a library returns as ``bytes`` cannot be erased, only forgotten. `Secret` keeps
one copy that can, and gives no way to print it by accident. See docs/threat-model.md.
"""

import hmac
from typing import NoReturn, Self, final


@final
class Secret:
    """A byte string that stays out of logs, reprs, pickles and exception texts.

    Use it as a context manager, or call `wipe` when done. A wiped secret raises ``ValueError``.
    """

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        """Copy ``value``; a ``bytearray`` that is passed in is wiped, the copy is what remains."""
        self._buffer = bytearray(value)
        self._wiped = False
        if isinstance(value, bytearray):
            value[:] = bytes(len(value))

    def reveal(self) -> memoryview:
        """Return a read-only view of the bytes; it turns to zeros when the secret is wiped."""
        if self._wiped:
            msg = "the secret has been wiped"
            raise ValueError(msg)
        return memoryview(self._buffer).toreadonly()

    def wipe(self) -> None:
        """Overwrite the bytes with zeros. Idempotent."""
        self._buffer[:] = bytes(len(self._buffer))
        self._wiped = True

    def copy(self) -> "Secret":
        """Return an independent copy, for an owner with a life of its own."""
        return Secret(bytes(self.reveal()))

    def __len__(self) -> int:
        """Return the length in bytes; a length is not a secret."""
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        """Compare with another secret in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dict

    def __repr__(self) -> str:
        """Say that there is a secret, and nothing else."""
        return f"<Secret of {len(self._buffer)} bytes>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied by ``copy``."""
        msg = "a Secret is not serialised"
        raise TypeError(msg)

    def __enter__(self) -> Self:
        """Return self; leaving the block wipes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wipe."""
        self.wipe()

    def __del__(self) -> None:
        """Wipe what is dropped without being wiped, unless a view of it is still in use.

        A view that outlives its secret must not turn to zeros: a key of zeros would encrypt.
        """
        try:
            self._buffer.pop()  # refused while a view exists, or where __init__ failed
        except (AttributeError, BufferError, IndexError):
            return
        self._buffer[:] = bytes(len(self._buffer))
