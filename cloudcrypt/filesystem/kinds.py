"""The text by which a caller chooses a filesystem, and whether the volume has integrity.

The texts are those that Constellation's CSI drivers take as ``csi.storage.k8s.io/fstype``: the
filesystem, and the suffix ``-integrity`` for a volume with integrity. ``block`` stands for no
filesystem, as in Kubernetes' ``volumeMode: Block``.
"""

from typing import Final, Self

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.ledger import FilesystemKind
from cloudcrypt.model import Mode

_SUFFIX: Final = "-integrity"
_BLOCK: Final = "block"


@attrs.frozen
class PayloadChoice:
    """What a volume is for: a filesystem, or None for the block device itself, and its mode."""

    kind: FilesystemKind | None
    mode: Mode

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the choice that ``text`` names: exactly, in lower case.

        Args:
            text: ``ext4``, ``xfs`` or ``block``, with or without ``-integrity``.

        Raises:
            InvalidRequest: it is none of these.
        """
        name = text.removesuffix(_SUFFIX)
        mode = Mode.CRYPT if name == text else Mode.INTEGRITY
        if name == _BLOCK:
            return cls(None, mode)
        try:
            return cls(FilesystemKind(name), mode)
        except ValueError as error:
            kinds = ", ".join(kind.value for kind in FilesystemKind)
            rule = f"{kinds} or {_BLOCK}, with or without {_SUFFIX}"
            raise InvalidRequest("filesystem", text, rule) from error

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        name = _BLOCK if self.kind is None else self.kind.value
        return name + (_SUFFIX if self.mode is Mode.INTEGRITY else "")
