"""libcryptsetup, loaded when it is first needed: activation by volume key, growth, deactivation.

The library is not thread-safe: what it and libdevmapper keep for the whole process is changed by
every call. So one operation runs at a time in a process. It runs in a thread of its own, which ends
with it: libcryptsetup hands a volume key to the kernel through the keyring of the calling thread,
and the kernel wipes a thread's keyring with the thread.
"""

import functools
import importlib
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import attrs

from cloudcrypt.errors import HostUnready
from cloudcrypt.secret import Secret

SONAME: Final = "libcryptsetup.so.12"
READONLY: Final = 1 << 0
ALLOW_DISCARDS: Final = 1 << 3
_KEYRING_KEY: Final = 1 << 11
_IGNORE_PERSISTENT: Final = 1 << 14
_NO_READ_WORKQUEUE: Final = 1 << 24
_NO_WRITE_WORKQUEUE: Final = 1 << 25
_ALWAYS: Final = _IGNORE_PERSISTENT | _NO_READ_WORKQUEUE | _NO_WRITE_WORKQUEUE

# libcryptsetup.h of 2.6; functions and flags of the library keep their meaning within one soname.
DECLARATIONS: Final = """
struct crypt_device;
int crypt_init(struct crypt_device **cd, const char *device);
int crypt_init_data_device(struct crypt_device **cd, const char *device, const char *data_device);
int crypt_load(struct crypt_device *cd, const char *requested_type, void *params);
int crypt_volume_key_keyring(struct crypt_device *cd, int enable);
int crypt_activate_by_volume_key(struct crypt_device *cd, const char *name,
    const char *volume_key, size_t volume_key_size, uint32_t flags);
int crypt_resize(struct crypt_device *cd, const char *name, uint64_t new_size);
int crypt_deactivate_by_name(struct crypt_device *cd, const char *name, uint32_t flags);
void crypt_free(struct crypt_device *cd);
void crypt_set_log_callback(struct crypt_device *cd,
    void (*log)(int level, const char *msg, void *usrptr), void *usrptr);
void crypt_token_external_disable(void);
"""
_SINCE_2_6: Final = "int crypt_keyslot_context_get_type(const void *kc);"
_MOST_WORDS: Final = 5  # messages of one operation that an error repeats


class CallError(Exception):
    """A call failed: the library's negative errno, made positive, and what it logged."""

    def __init__(self, code: int, words: tuple[str, ...]) -> None:
        """Take both as they are."""
        super().__init__(f"error {code}: {'; '.join(words) or os.strerror(code)}")
        self.code = code
        self.words = words


@attrs.frozen
class Source:
    """What is mapped: the descriptors of a header file and of the device, and the volume key."""

    header: int
    device: int
    volume_key: Secret


class Library(Protocol):
    """What the mapper asks of libcryptsetup. Every method raises `CallError` where it fails."""

    def activate(self, name: str, source: Source, flags: int) -> None:
        """Map a volume under ``name``, up to the end of its device.

        Args:
            name: of the mapping.
            source: what is mapped.
            flags: `READONLY`, `ALLOW_DISCARDS`; the others are always the same.
        """
        ...

    def resize(self, name: str, source: Source, sectors: int) -> None:
        """Give the active mapping ``name`` another length, in sectors of 512 bytes."""
        ...

    def deactivate(self, name: str) -> None:
        """Remove the mapping ``name`` and the integrity device below it."""
        ...


class CryptSetup:
    """The installed libcryptsetup; see `Library`."""

    def __init__(self, ffi: Any, functions: Any) -> None:  # noqa: ANN401
        """Made by `load` alone."""
        self._ffi = ffi
        self._lib = functions
        self._logged: list[str] = []
        self._log = ffi.callback("void(int, const char *, void *)", self._remember)

    def activate(self, name: str, source: Source, flags: int) -> None:
        """Map a volume; see `Library.activate`."""

        def call() -> None:
            with self._loaded(source) as device:
                self._activated(device, name.encode(), source, _ALWAYS | flags)

        self._alone(call)

    def resize(self, name: str, source: Source, sectors: int) -> None:
        """Give a mapping another length; see `Library.resize`."""

        def call() -> None:
            with self._loaded(source) as device:
                # Puts the key into the keyring of this thread, where a new table finds it.
                self._activated(device, self._ffi.NULL, source, _KEYRING_KEY)
                self._check(self._lib.crypt_resize(device, name.encode(), sectors))

        self._alone(call)

    def verify(self, source: Source) -> None:
        """Return if the volume key is that of the header; raise `CallError` if not. Maps nothing.

        What can be asked of the library where there is no device-mapper.
        """

        def call() -> None:
            with self._loaded(source) as device:
                self._activated(device, self._ffi.NULL, source, 0)

        self._alone(call)

    def deactivate(self, name: str) -> None:
        """Remove a mapping; see `Library.deactivate`."""

        def call() -> None:
            # A context without a device: given none, the library reads the header off the disk.
            with self._context(lambda place: self._lib.crypt_init(place, self._ffi.NULL)) as device:
                self._check(self._lib.crypt_deactivate_by_name(device, name.encode(), 0))

        self._alone(call)

    def _alone(self, call: Callable[[], None]) -> None:
        """Run ``call`` in a thread of its own while nobody else in this process uses the library.

        Not even an interrupt ends the wait: the key and the lock are in use until it is over.
        """
        failures = list[BaseException]()

        def run() -> None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001  # raised again, by who asked
                failures.append(error)

        with _TURN.lock:
            self._logged.clear()
            thread = threading.Thread(target=run, name="libcryptsetup")
            thread.start()
            _join(thread)
        for failure in failures:
            raise failure

    @contextmanager
    def _loaded(self, source: Source) -> Generator[Any]:
        """Yield a context with the header of ``source`` over its device."""
        paths = (f"/proc/self/fd/{number}".encode() for number in (source.header, source.device))
        header, data = paths
        with self._context(
            lambda place: self._lib.crypt_init_data_device(place, header, data)
        ) as device:
            self._check(self._lib.crypt_load(device, b"LUKS2", self._ffi.NULL))
            self._check(self._lib.crypt_volume_key_keyring(device, 1))
            yield device

    @contextmanager
    def _context(self, make: Callable[[Any], int]) -> Generator[Any]:
        place = self._ffi.new("struct crypt_device **")
        self._check(make(place))
        try:
            self._lib.crypt_set_log_callback(place[0], self._log, self._ffi.NULL)
            yield place[0]
        finally:
            self._lib.crypt_free(place[0])

    def _activated(self, device: Any, name: Any, source: Source, flags: int) -> None:  # noqa: ANN401
        with source.volume_key.reveal() as view:  # the library is given our only copy
            key = self._ffi.from_buffer(view)
            activate = self._lib.crypt_activate_by_volume_key
            try:
                self._check(activate(device, name, key, len(view), flags))
            finally:
                self._ffi.release(key)

    def _check(self, code: int) -> None:
        if code < 0:
            raise CallError(-code, tuple(dict.fromkeys(self._logged))[:_MOST_WORDS])

    def _remember(self, _: int, message: Any, __: object) -> None:  # noqa: ANN401
        self._logged.append(self._ffi.string(message).decode("utf-8", "replace").strip())


class _Turn:
    """The lock around the library; a child that was forked meanwhile starts with a free one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_TURN: Final = _Turn()


def _join(thread: threading.Thread) -> None:
    """Wait for the thread, whatever happens, and raise what happened afterwards."""
    interruption: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:  # noqa: BLE001  # a signal's; raised below
            interruption = error
    if interruption is not None:
        raise interruption


@functools.cache
def load(soname: str = SONAME) -> CryptSetup:
    """Load libcryptsetup and turn external token plugins off; once in a process.

    Raises:
        HostUnready: it is missing, or older than 2.6.
    """
    ffi = importlib.import_module("cffi").FFI()
    ffi.cdef(DECLARATIONS + _SINCE_2_6)
    advice = "apt-get install libcryptsetup12, or map volumes in user space"
    try:
        functions = ffi.dlopen(soname)
    except OSError as error:
        raise HostUnready(f"libcryptsetup ({soname})", advice) from error
    try:
        _ = functions.crypt_keyslot_context_get_type
    except AttributeError as error:
        raise HostUnready("libcryptsetup 2.6 or later", advice) from error
    functions.crypt_token_external_disable()
    return CryptSetup(ffi, functions)
