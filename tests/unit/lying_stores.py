"""Stores of wrapped keys that fail, forget, lie or change their content, for tests of what asks."""

from collections.abc import Callable, Iterator

from cloudcrypt.kms import KeyStore
from cloudcrypt.waiting import Deadline


class Store:
    """Another store, and what a test makes happen around each of its calls."""

    def __init__(self, store: KeyStore) -> None:
        self.store = store
        self.before: Callable[[str], None] = lambda verb: None
        self.after: Callable[[str], None] = lambda verb: None
        self.asked: list[str] = []

    def _around(self, verb: str) -> None:
        self.asked.append(verb)
        self.before(verb)

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        self._around("get")
        found = self.store.get(key_id, deadline=deadline)
        self.after("get")
        return found

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        self._around("create")
        created = self.store.create(key_id, blob, deadline=deadline)
        self.after("create")
        return created

    def replace(
        self, key_id: str, old: bytes, new: bytes, *, deadline: Deadline | None = None
    ) -> bool:
        self._around("replace")
        replaced = self.store.replace(key_id, old, new, deadline=deadline)
        self.after("replace")
        return replaced

    def list(self, prefix: str = "", *, deadline: Deadline | None = None) -> Iterator[str]:
        self._around("list")
        yield from self.store.list(prefix, deadline=deadline)

    def delete(self, key_id: str, *, deadline: Deadline | None = None) -> bool:
        self._around("delete")
        deleted = self.store.delete(key_id, deadline=deadline)
        self.after("delete")
        return deleted

    def close(self) -> None:
        self.store.close()


class Forgetting(Store):
    """A store that says "absent" to so many of the next reads."""

    def __init__(self, store: KeyStore, times: int) -> None:
        super().__init__(store)
        self.times = times

    def get(self, key_id: str, *, deadline: Deadline | None = None) -> bytes | None:
        found = super().get(key_id, deadline=deadline)
        self.times -= 1
        return None if self.times >= 0 else found


class Careless(Store):
    """A store that creates whatever is there: as object stores do that ignore a condition."""

    overwrites = True

    def create(self, key_id: str, blob: bytes, *, deadline: Deadline | None = None) -> bool:
        if self.overwrites:
            self.store.delete(key_id, deadline=deadline)
        super().create(key_id, blob, deadline=deadline)
        return True


class Once:
    """Raises what it is given at the first call of a verb, and then no more."""

    def __init__(self, verb: str, error: Exception, times: int = 1) -> None:
        self.verb, self.error, self.times = verb, error, times

    def __call__(self, verb: str) -> None:
        if verb == self.verb and self.times > 0:
            self.times -= 1
            raise self.error
