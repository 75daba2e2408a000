"""The parameters of a URL of a key service, KMS or key store: taken one by one, none left over."""

from urllib.parse import parse_qs

from cloudcrypt.errors import KeyUriInvalid


class Query:
    """The parameters of a URL: each is taken once, and none may be left over."""

    def __init__(self, kind: str, text: str) -> None:
        """Parse ``text``, what follows the question mark of a URL of this ``kind``.

        Raises:
            KeyUriInvalid: it is malformed, or has a parameter twice.
        """
        self.kind = kind
        self._values = _values(text)
        self._asked: list[str] = []
        if self._values is None:
            raise KeyUriInvalid(kind, "parameters are name=value, joined by &, each name once")

    def get(self, name: str) -> str | None:
        """Return the value of a parameter; None if it is absent or empty."""
        self._asked.append(name)
        return (self._values or {}).pop(name, None) or None

    def require(self, name: str) -> str:
        """Return the value of a parameter that must be there.

        Raises:
            KeyUriInvalid: it is absent or empty.
        """
        value = self.get(name)
        if value is None:
            raise KeyUriInvalid(self.kind, f"{name} is missing")
        return value

    def together(self, *names: str) -> tuple[str, ...] | None:
        """Return the values of parameters that are given together, or None without any.

        Raises:
            KeyUriInvalid: some are given, and others are not.
        """
        values = [value for value in map(self.get, names) if value is not None]
        if values and len(values) < len(names):
            raise KeyUriInvalid(self.kind, f"{', '.join(names)} are given together, or none")
        return tuple(values) or None

    def finish(self) -> None:
        """Return if every parameter was asked for.

        Raises:
            KeyUriInvalid: there is one that this kind of URL does not have.
        """
        if self._values:
            raise KeyUriInvalid(self.kind, f"its parameters are {', '.join(self._asked)}")


# It returns None rather than raise, so that no error of urllib, which quotes what it was given, is
# the context of one of ours.


def _values(text: str) -> dict[str, str] | None:
    try:
        lists = parse_qs(text, keep_blank_values=True, strict_parsing=True) if text else {}
    except ValueError:
        return None
    if any(len(values) > 1 for values in lists.values()):
        return None
    return {name: values[0] for name, values in lists.items()}
