"""The service-provider interface: what an adapter of a cloud implements.

A change is asked for with an *intent*: a frozen request that carries its durable token. ``begin``
hands it to the cloud and returns a serialisable *handle* as soon as the cloud has accepted it;
``resume`` waits for the *outcome*, in this process or in another one after a crash; ``find`` tells
what a reply that got lost has left behind.

docs/contract.md numbers every rule that holds for all providers; the suite that checks them is
`cloudcrypt_testing.contract`.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar, cast

import attrs

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import Attachment, Snapshot, Volume, check_volume_id
from cloudcrypt.waiting import Deadline

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

TOKEN_MAX = 64
"""Bytes of a token, and of a maker: the least that the clouds allow (EC2 client tokens)."""


def _check_token(_: object, field: "attrs.Attribute[str]", token: str) -> None:
    text = cast("object", token)
    is_short = isinstance(text, str) and 0 < len(text) <= TOKEN_MAX
    if not (is_short and token.isascii() and token.isprintable()):
        raise InvalidRequest(field.name, token, f"1 to {TOKEN_MAX} printable ASCII characters")


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


_optional_text = attrs.validators.optional(_check_text)
_optional_size = attrs.validators.optional(_check_size)


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
    ``cloud_key`` names a key of the cloud's own key management, for the encryption that the cloud
    does by itself: it protects from others, not from the cloud. A volume with ``multi_attach`` may
    be attached to several instances at once. ``maker`` is who asks, the installation, in 1 to 64
    printable ASCII characters: the volume remembers the first one. It makes the intent no other.
    """

    name: str = attrs.field(validator=_check_text)
    size: int = attrs.field(validator=_check_size)
    source: FromSnapshot | FromVolume | None = None
    place: str | None = None
    kind: str | None = None
    iops: int | None = attrs.field(default=None, validator=_check_positive)
    throughput: int | None = attrs.field(default=None, validator=_check_positive)
    cloud_key: str | None = attrs.field(default=None, validator=_optional_text)
    multi_attach: bool = False
    labels: Mapping[str, str] = attrs.field(
        factory=dict[str, str], hash=False, validator=_check_labels
    )
    maker: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_token))


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
class ModifyVolume(Intent[Volume]):
    """Change several things of a volume at once, for clouds that count changes.

    ``None`` leaves a thing as it is. ``size`` in bytes as for `ResizeVolume`, the others as for
    `CreateVolume`. What the volume has already is no change; if nothing is left, nothing is asked.
    """

    volume_id: str = attrs.field(validator=_check_id)
    size: int | None = attrs.field(default=None, validator=_optional_size)
    kind: str | None = attrs.field(default=None, validator=_optional_text)
    iops: int | None = attrs.field(default=None, validator=_check_positive)
    throughput: int | None = attrs.field(default=None, validator=_check_positive)


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
class VolumeType:
    """The limits of one of a cloud's volume types, as documented: the cloud has the last word.

    Sizes and throughput are in bytes and bytes a second, ``None`` where the type has no such limit
    or does not let the caller choose. ``iops_per_gib`` bounds IOPS by the size.
    """

    name: str
    size_min: int
    size_max: int
    iops: tuple[int, int] | None = None
    iops_per_gib: int | None = None
    throughput: tuple[int, int] | None = None
    multi_attach: bool = False


@attrs.frozen
class Capabilities:
    """What a provider offers; tests and callers ask this, never the provider's name.

    Sizes are in bytes: volumes are multiples of ``size_unit`` from ``size_min`` to ``size_max``.
    ``types`` are the volume types that can be asked for. ``attachments_max`` is the most volumes an
    instance may have, where that is the same for all. ``remembers_tokens``: the provider knows an
    intent again for ever, also one that attached or detached; without it such an intent that is
    begun anew is done anew, and whoever must not do it twice keeps a journal.
    """

    size_unit: int
    size_min: int
    size_max: int
    online_resize: bool
    snapshots: bool
    clones: bool
    force_detach: bool
    modify: bool = False
    multi_attach: bool = False
    remembers_tokens: bool = True
    attachments_max: int | None = None
    types: tuple[VolumeType, ...] = ()


class VolumeProvider(Protocol):
    """Block volumes of one provider at one place. Safe to use from several threads.

    A ``deadline`` of None is `waiting.PATIENCE` seconds from now on.
    """

    @property
    def url(self) -> str:
        """The URL that `cloudcrypt.registry.open_provider` opens this provider by; no secrets."""
        ...

    @property
    def namespace(self) -> str:
        """What names are unique in: providers of one namespace see and make the same volumes.

        Several URLs may lead to one namespace. It has no secrets.
        """
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this provider offers."""
        ...

    def instance_name(self, instance: str) -> str:
        """Return the one spelling of an instance: that of holders and attachments. Asks nobody.

        Raises:
            InvalidRequest: it cannot be an instance of this provider.
        """
        ...

    def begin(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T]:
        """Hand ``intent`` to the cloud. Idempotent by its token.

        Raises:
            RequestError: the intent cannot be, or contradicts what exists; nothing was changed.
            ProviderError: the cloud refused, or its answer was lost; `find` tells which.
            OperationCancelled: the caller cancelled; as if the answer was lost.
        """
        ...

    def find(self, intent: Intent[T], *, deadline: Deadline | None = None) -> Handle[T] | None:
        """Return the handle of ``intent`` if the cloud has accepted it, else None. Changes nothing.

        It is for whoever does not know whether an answer was lost. Where a cloud shows new things
        late, it takes the time to be sure: None is never a guess.

        Raises:
            OperationPending: it does not show, and the deadline ends before that would be sure.
            ProviderError: the cloud could not be asked.
            OperationCancelled: the caller cancelled.
        """
        ...

    def resume(self, handle: Handle[T], *, deadline: Deadline | None = None) -> T:
        """Wait for the outcome of ``handle``. Idempotent; a deadline that has passed looks once.

        Raises:
            OperationPending: it is still under way at the deadline; nothing was undone.
            ProviderError: the operation failed.
            OperationCancelled: the caller cancelled the wait; the operation goes on.
        """
        ...

    def get(self, volume_id: str) -> Volume:
        """Return the volume.

        Raises:
            NotFound: there is none.
        """
        ...

    def list(self, *, name: str | None = None) -> Iterator[Volume]:
        """Yield the volumes of this provider and owner, oldest first, with their holders.

        Args:
            name: only those of this name. Clouds look for it themselves: ask rather than filter.
        """
        ...

    def snapshots(self, *, name: str | None = None) -> Iterator[Snapshot]:
        """Yield the snapshots of this provider and owner, oldest first; as `list`."""
        ...

    def close(self) -> None:
        """Give up connections. Idempotent."""
        ...


def perform(
    provider: VolumeProvider,
    intent: Intent[T],
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
) -> T:
    """Begin ``intent`` and wait for its outcome. Idempotent.

    Args:
        provider: whom to ask.
        intent: what for.
        timeout: seconds for all of it; not looked at if there is a ``deadline``.
        deadline: until when, on which clock, and whether the caller can cancel. Without either, the
            provider is as patient with each of the two steps as it is by itself.

    Raises:
        RequestError, ProviderError: as `VolumeProvider.begin` and `VolumeProvider.resume`.
        OperationCancelled: the caller cancelled.
    """
    until = Deadline.after(timeout) if deadline is None and timeout is not None else deadline
    return provider.resume(provider.begin(intent, deadline=until), deadline=until)
