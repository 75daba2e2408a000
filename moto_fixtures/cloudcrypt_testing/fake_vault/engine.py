"""The transit engine behind its paths: which request does what to which key."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from cloudcrypt_testing.fake_vault import errors
from cloudcrypt_testing.fake_vault.transit import TransitKey

Reply = dict[str, object] | None
"""The ``data`` of an answer, or None for one without a body."""

_VERBS: Final = frozenset({"decrypt", "encrypt"})
_ON_A_KEY: Final = {"DELETE": "delete", "GET": "read", "POST": "create", "PUT": "create"}


@attrs.define
class Engine:
    """What is mounted at ``mount``: keys by their names."""

    mount: str
    keys: dict[str, TransitKey] = attrs.field(factory=dict[str, TransitKey])

    def action(self, method: str, path: str) -> str:
        """Return what a request is about: the last word of the path that is not a name."""
        verb, *rest = path.removeprefix(f"{self.mount}/").split("/")
        if verb == "keys":
            return self._key_action(method, rest)
        is_one = verb in _VERBS and len(rest) == 1 and method in {"POST", "PUT"}
        return verb if is_one else method

    def do(self, action: str, path: str, body: Mapping[str, Any]) -> Reply:
        """Do what is asked for.

        Raises:
            VaultError: nothing is mounted there, or it cannot be done.
        """
        if not path.startswith(f"{self.mount}/"):
            raise errors.no_route(path)
        done: dict[str, Callable[[str, Mapping[str, Any]], Reply]] = {
            "config": self._config,
            "create": self._create,
            "decrypt": self._decrypt,
            "delete": self._delete,
            "encrypt": self._encrypt,
            "list": self._list,
            "read": lambda name, _: self._key(name).document,
            "rotate": self._rotate,
        }
        if action not in done:
            raise errors.unsupported()
        names = path.removeprefix(f"{self.mount}/").split("/")[1:] or [""]
        return done[action](names[0], body)

    @staticmethod
    def _key_action(method: str, rest: list[str]) -> str:
        if not rest:
            return method.lower()
        if len(rest) == 1:
            return _ON_A_KEY.get(method, method)
        return rest[1] if len(rest) == 2 and rest[1] in {"config", "rotate"} else method

    def _key(self, name: str) -> TransitKey:
        if name not in self.keys:
            raise errors.absent()
        return self.keys[name]

    def _create(self, name: str, body: Mapping[str, Any]) -> Reply:
        if name not in self.keys:
            kind = str(body.get("type") or "aes256-gcm96")
            self.keys[name] = TransitKey(name, kind, bool(body.get("derived")))
        return self.keys[name].document

    def _config(self, name: str, body: Mapping[str, Any]) -> Reply:
        self._key(name).configure(body)
        return self._key(name).document

    def _rotate(self, name: str, body: Mapping[str, Any]) -> Reply:
        del body
        self._key(name).rotate()
        return self._key(name).document

    def _delete(self, name: str, body: Mapping[str, Any]) -> Reply:
        del body
        if not self._key(name).deletion_allowed:
            raise errors.invalid("error deleting policy: deletion is not allowed for this key")
        del self.keys[name]
        return None

    def _list(self, name: str, body: Mapping[str, Any]) -> Reply:
        del name, body
        if not self.keys:
            raise errors.absent()
        return {"keys": sorted(self.keys)}

    def _encrypt(self, name: str, body: Mapping[str, Any]) -> Reply:
        if name not in self.keys:
            raise errors.denied()  # it would be made, which takes the capability for that
        return self.keys[name].encrypt(body)

    def _decrypt(self, name: str, body: Mapping[str, Any]) -> Reply:
        if name not in self.keys:
            raise errors.invalid("encryption key not found")
        return self.keys[name].decrypt(body)
