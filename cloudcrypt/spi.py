"""The service-provider interface: what an adapter of a cloud implements.

A change is asked for with an *intent*: a frozen request that carries its durable token. ``begin``
hands it to the cloud and returns a serialisable *handle* as soon as the cloud has accepted it;
``resume`` waits for the *outcome*, in this process or in another one after a crash; ``find`` tells
what a reply that got lost has left behind.

Rules that hold for every provider:

1. The same intent twice is the same operation: one volume, one attachment, one snapshot.
2. The same token with another intent is `RequestConflict`, and changes nothing.
3. Nothing is ever deleted, detached or taken over because a wait failed.
4. Reaching a state that exists already succeeds: attach to the holder, detach what is detached,
   resize to the size it has, delete what is gone.
5. No foreign exception crosses the interface; the cloud's own is the cause.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar, cast

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import Attachment, Snapshot, Volume, check_volume_id

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

TOKEN_MAX = 64
"""Bytes of a token: the least that the clouds allow (EC2 client tokens)."""


def _check_token(_: object, __: object, token: str) -> None:
    text = cast("object", token)
    if not isinstance(text, str) or not 0 < len(text) <= TOKEN_MAX:
        raise InvalidRequest("token", token, f"1 to {TOKEN_MAX} printable ASCII characters")
    if not (text.isascii() and text.isprintable()):
        raise InvalidRequest("token", token, f"1 to {TOKEN_MAX} printable ASCII characters")


def _check_size(_: object, __: object, size: int) -> None:
    if type(size) is not int or size <= 0:
        raise InvalidRequest("size", size, "a whole number of bytes, at least one")


def _check_text(_: object, field: "attrs.Attribute[str]", text: object) -> None:
    if not isinstance(text, str) or not text:
        raise InvalidRequest(field.name, text, "a text that is not empty")


def _check_positive(_: object, field: "attrs.Attribute[int | None]", number: object) -> None:
    if number is not None and (type(number) is not int or number <= 0):
        raise InvalidRequest(field.name, number, "a positive whole number, or none")


def _check_labels(_: object, __: object, labels: Mapping[str, str]) -> None:
    found = cast("object", labels)
    pairs = cast("Mapping[object, object]", labels) if isinstance(found, Mapping) else {0: 0}
    if not all(isinstance(text, str) for text in [*pairs, *pairs.values()]):
        raise InvalidRequest("labels", labels, "texts by texts")


def _check_id(_: object, __: object, volume_id: str) -> None:
    check_volume_id(volume_id)


@attrs.frozen
class FromSnapshot:
    """The new volume starts as a copy of this snapshot."""

    snapshot_id: str = attrs.field(validator=_check_id)


@attrs.frozen
class FromVolume:
    """The new volume starts as a copy of this volume; ``generation`` is its key generation now."""

    volume_id: str = attrs.field(validator=_check_id)
    generation: int | None = attrs.field(default=None, validator=_check_positive)


@attrs.frozen
class Intent(Generic[T_co]):
    """A request for one change, with the token that makes it durable.

    The caller stores the intent before it is begun, and uses the same token whenever it asks again.
    """

    token: str = attrs.field(validator=_check_token)


@attrs.frozen
class CreateVolume(Intent[Volume]):
    """Create a volume.

    ``name`` is unique among the caller's volumes at one place; ``size`` in bytes is rounded up to
    the provider's unit. ``place`` is a zone or location, ``kind`` the cloud's volume type, ``iops``
    operations a second, ``throughput`` bytes a second; ``None`` leaves the choice to the provider.
    """

    name: str = attrs.field(validator=_check_text)
    size: int = attrs.field(validator=_check_size)
    source: FromSnapshot | FromVolume | None = None
    place: str | None = None
    kind: str | None = None
    iops: int | None = attrs.field(default=None, validator=_check_positive)
    throughput: int | None = attrs.field(default=None, validator=_check_positive)
    labels: Mapping[str, str] = attrs.field(
        factory=dict[str, str], hash=False, validator=_check_labels
    )


@attrs.frozen
class AttachVolume(Intent[Attachment]):
    """Attach a volume to an instance; it is never taken from another one."""

    volume_id: str = attrs.field(validator=_check_id)
    instance: str = attrs.field(validator=_check_text)


@attrs.frozen
class DetachVolume(Intent[Volume]):
    """Detach a volume from an instance; ``force`` does so although the instance still uses it."""

    volume_id: str = attrs.field(validator=_check_id)
    instance: str = attrs.field(validator=_check_text)
    force: bool = False


@attrs.frozen
class ResizeVolume(Intent[Volume]):
    """Grow a volume to at least ``size`` bytes; a smaller size than it has is refused."""

    volume_id: str = attrs.field(validator=_check_id)
    size: int = attrs.field(validator=_check_size)


@attrs.frozen
class DeleteVolume(Intent[None]):
    """Delete a volume that is attached to nothing."""

    volume_id: str = attrs.field(validator=_check_id)


@attrs.frozen
class CreateSnapshot(Intent[Snapshot]):
    """Take a snapshot; ``generation`` is the key generation of the volume, kept with it."""

    volume_id: str = attrs.field(validator=_check_id)
    name: str = attrs.field(validator=_check_text)
    generation: int | None = attrs.field(default=None, validator=_check_positive)


@attrs.frozen
class DeleteSnapshot(Intent[None]):
    """Delete a snapshot."""

    snapshot_id: str = attrs.field(validator=_check_id)


@attrs.frozen
class Handle(Generic[T_co]):
    """An operation that the cloud has accepted.

    ``reference`` is the provider's own: an operation id, a continuation token, a volume id. It is
    text without secrets, and means something to the provider that made it alone.
    """

    intent: Intent[T_co]
    reference: str


@attrs.frozen
class Capabilities:
    """What a provider offers; tests and callers ask this, never the provider's name.

    Sizes are in bytes: volumes are multiples of ``size_unit`` from ``size_min`` to ``size_max``.
    """

    size_unit: int
    size_min: int
    size_max: int
    online_resize: bool
    snapshots: bool
    clones: bool
    force_detach: bool
    attachments_max: int | None = None


class VolumeProvider(Protocol):
    """Block volumes of one provider at one place. Safe to use from several threads."""

    @property
    def url(self) -> str:
        """The URL that `cloudcrypt.registry.open_provider` opens this provider by; no secrets."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this provider offers."""
        ...

    def begin(self, intent: Intent[T]) -> Handle[T]:
        """Hand ``intent`` to the cloud. Idempotent by its token.

        Raises:
            RequestError: the intent cannot be, or contradicts what exists; nothing was changed.
            ProviderError: the cloud refused, or its answer was lost; `find` tells which.
        """
        ...

    def find(self, intent: Intent[T]) -> Handle[T] | None:
        """Return the handle of ``intent`` if the cloud has accepted it, else None. Changes nothing.

        Raises:
            ProviderError: the cloud could not be asked.
        """
        ...

    def resume(self, handle: Handle[T], *, timeout: float) -> T:
        """Wait at most ``timeout`` seconds for the outcome of ``handle``. Idempotent.

        Raises:
            ProviderError: the operation failed, or is still under way (then ``retryable``).
        """
        ...

    def get(self, volume_id: str) -> Volume:
        """Return the volume.

        Raises:
            NotFound: there is none.
        """
        ...

    def list(self) -> Iterator[Volume]:
        """Yield all volumes of this provider, oldest first."""
        ...

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield all snapshots of this provider, oldest first."""
        ...

    def close(self) -> None:
        """Give up connections. Idempotent."""
        ...


def perform(provider: VolumeProvider, intent: Intent[T], *, timeout: float = 300.0) -> T:
    """Begin ``intent`` and wait at most ``timeout`` seconds for its outcome. Idempotent.

    Raises:
        RequestError, ProviderError: as `VolumeProvider.begin` and `VolumeProvider.resume`.
    """
    return provider.resume(provider.begin(intent), timeout=timeout)
