"""AES-256-XTS over runs of sectors, the tweak counting 512-byte units as dm-crypt's plain64 does.

One cipher object serves a whole run: its tweak is a buffer that is changed in place between
sectors, which is what makes this several times faster than an object for each sector
(docs/adr/0005-xts-engine.md).
"""

import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cloudcrypt.secret import Secret

KEY_SIZE = 64
"""Bytes of an AES-256-XTS key: two keys of 32 bytes."""

SLACK = 15
"""Bytes that an output buffer must have beyond the data: one block less one."""

_UNIT = 512
_PUT_TWEAK = struct.Struct("<Q").pack_into


class XTS:
    """AES-256-XTS under one key. Safe to use from several threads: no state is shared."""

    def __init__(self, key: Secret) -> None:
        """Take the first 64 bytes of ``key``; the key must outlive this object."""
        self._key = key

    def encrypt(self, data: memoryview, first_unit: int, sector: int, out: memoryview) -> None:
        """Encrypt ``data``, whole sectors, into ``out``.

        Args:
            data: plaintext, a multiple of ``sector`` bytes.
            first_unit: the number of the first 512-byte unit, counted from the segment's start.
            sector: bytes of a sector, a multiple of 512.
            out: where the result goes; `SLACK` bytes longer than ``data``, not overlapping it.
        """
        self._run(data, first_unit, sector, out, encrypt=True)

    def decrypt(self, data: memoryview, first_unit: int, sector: int, out: memoryview) -> None:
        """Decrypt ``data``, whole sectors, into ``out``; arguments as for `encrypt`."""
        self._run(data, first_unit, sector, out, encrypt=False)

    def _run(
        self, data: memoryview, first_unit: int, sector: int, out: memoryview, *, encrypt: bool
    ) -> None:
        tweak = bytearray(16)
        cipher = Cipher(algorithms.AES(self._key.reveal()[:KEY_SIZE]), modes.XTS(tweak))
        context = cipher.encryptor if encrypt else cipher.decryptor
        step = sector // _UNIT
        unit = first_unit
        start = 0
        for end in range(sector, len(data) + 1, sector):
            _PUT_TWEAK(tweak, 0, unit)
            context().update_into(data[start:end], out[start:])
            unit += step
            start = end
