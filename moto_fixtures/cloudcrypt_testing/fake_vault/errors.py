"""Errors of Vault, with the statuses and texts that Vault gives them."""

from typing import Final

DENIED: Final = "1 error occurred:\n\t* permission denied\n\n"
_NO_CONTEXT: Final = (
    "missing 'context' for key derivation; the key was created using a derived key, which means "
    "additional, per-request information must be included in order to perform operations with the "
    "key"
)


class VaultError(Exception):
    """What Vault answers instead of doing what was asked. Nothing has changed."""

    def __init__(self, status: int, *messages: str) -> None:
        """Answer with HTTP ``status`` and ``messages``, of which there may be none."""
        super().__init__(status, *messages)
        self.status = status
        self.messages = messages


def denied() -> VaultError:
    """The token is not one, or its policies do not allow it."""
    return VaultError(403, DENIED)


def absent() -> VaultError:
    """There is no such thing at a path that exists."""
    return VaultError(404)


def no_route(path: str) -> VaultError:
    """Nothing is mounted at the path."""
    return VaultError(404, f'no handler for route "{path}". route entry not found.')


def sealed() -> VaultError:
    """Vault does not have its own key."""
    return VaultError(503, "Vault is sealed")


def throttled(path: str) -> VaultError:
    """A quota is used up."""
    return VaultError(429, f'request path "{path}": rate limit quota exceeded')


def invalid(message: str) -> VaultError:
    """The request cannot be, or the ciphertext."""
    return VaultError(400, message)


def no_context() -> VaultError:
    """A derived key is asked for without that from which it is derived."""
    return invalid(_NO_CONTEXT)


def too_old() -> VaultError:
    """The version of the key is below its least one."""
    return invalid("ciphertext or signature version is disallowed by policy (too old)")


def unsupported() -> VaultError:
    """The path exists, and does not do this."""
    return VaultError(405, "1 error occurred:\n\t* unsupported operation\n\n")
