"""Clauses about every operation: handles, deadlines, cancellation, callers at once, and errors."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudcrypt.errors import (
    AttachedElsewhere,
    CloudcryptError,
    InvalidVolumeId,
    NotFound,
    OperationCancelled,
    OperationPending,
)
from cloudcrypt.model import Attachment, Volume
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    CreateVolume,
    DetachVolume,
    Intent,
    ResizeVolume,
    VolumeProvider,
    perform,
)
from cloudcrypt.waiting import Cancellation, Deadline
from cloudcrypt.wire import handle_from_json, handle_to_json
from cloudcrypt_testing._clauses.given import Given, clause

CALLERS = 4


class OperationClauses(Given):
    """An operation is one thing, whoever asks, how often, and how long they wait."""

    @clause("1.6")
    def test_a_handle_that_was_stored_is_resumed(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        size: int,
    ) -> None:
        handle = provider.begin(CreateVolume(fresh(), fresh(), size))
        stored = handle_to_json(handle)
        assert handle_from_json(stored) == handle
        volume = reopen().resume(handle_from_json(stored))
        assert provider.resume(handle) == volume

    @clause("1.7")
    def test_what_is_not_finished_at_the_deadline_is_resumed_and_nothing_is_undone(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        handle = provider.begin(intent)
        with contextlib.suppress(OperationPending):  # or it was finished at once
            provider.resume(handle, deadline=Deadline.after(0))
        volume = provider.resume(handle)
        assert [each for each in provider.list() if each.name == intent.name] == [volume]

    @clause("1.8")
    def test_a_caller_that_cancelled_gets_nothing_and_loses_nothing(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent, cancellation = CreateVolume(fresh(), fresh(), size), Cancellation()
        cancellation.cancel()
        with pytest.raises(OperationCancelled):
            perform(provider, intent, deadline=Deadline.after(300, cancellation=cancellation))
        volume = perform(provider, intent)
        assert [each for each in provider.list() if each.name == intent.name] == [volume]

    @clause("1.10")
    def test_callers_at_once_with_one_intent_get_one_volume(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        with ThreadPoolExecutor(CALLERS) as pool:
            futures = [pool.submit(perform, provider, intent) for _ in range(CALLERS)]
        made = [future.result() for future in futures]
        assert {volume.id for volume in made} == {made[0].id}
        assert [each.id for each in provider.list() if each.name == intent.name] == [made[0].id]

    @clause("2.8")
    def test_of_makers_at_once_that_want_one_volume_one_is_remembered(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        token, name = fresh(), fresh()
        makers = [fresh() for _ in range(CALLERS)]
        with ThreadPoolExecutor(CALLERS) as pool:
            intents = [CreateVolume(token, name, size, maker=maker) for maker in makers]
            futures = [pool.submit(perform, provider, intent) for intent in intents]
        made = [future.result() for future in futures]
        assert list(provider.list(name=name)) == [made[0]]
        assert made == [made[0]] * CALLERS
        assert made[0].maker in makers

    @clause("1.10")
    def test_of_callers_at_once_that_attach_elsewhere_one_wins(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
    ) -> None:
        def attached(instance: str) -> Attachment | CloudcryptError:
            try:
                return perform(provider, AttachVolume(fresh(), volume.id, instance))
            except AttachedElsewhere as refusal:
                return refusal

        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(attached, instances))
        won = [each.instance for each in results if isinstance(each, Attachment)]
        lost = [each.holder for each in results if isinstance(each, AttachedElsewhere)]
        assert won == lost == list(provider.get(volume.id).holders)

    @clause("1.11")
    @pytest.mark.parametrize("verb", ["get", "resize", "attach", "detach", "snapshot"])
    def test_what_was_never_there_is_not_found(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
        verb: str,
    ) -> None:
        absent = volume.id[:-8] + ("0" * 8 if volume.id[-8:] != "0" * 8 else "1" * 8)
        intent = _about(verb, absent, fresh, volume.size, instances[0])
        with pytest.raises(NotFound):
            _ = provider.get(absent) if intent is None else perform(provider, intent)
        assert provider.get(volume.id) == volume

    @clause("1.13")
    def test_a_provider_that_is_opened_again_has_the_same_namespace(
        self, provider: VolumeProvider, reopen: Callable[[], VolumeProvider]
    ) -> None:
        assert reopen().namespace == provider.namespace
        assert provider.namespace.isprintable()
        assert ":" in provider.namespace

    @clause("1.12")
    def test_what_is_no_volume_id_is_refused_before_anyone_is_asked(
        self, provider: VolumeProvider
    ) -> None:
        with pytest.raises(InvalidVolumeId):
            provider.get("no id, with blanks")


def _about(
    verb: str, volume_id: str, fresh: Callable[[], str], size: int, instance: str
) -> Intent[object] | None:
    intents: dict[str, Intent[object]] = {
        "resize": ResizeVolume(fresh(), volume_id, 2 * size),
        "attach": AttachVolume(fresh(), volume_id, instance),
        "detach": DetachVolume(fresh(), volume_id, instance),
        "snapshot": CreateSnapshot(fresh(), volume_id, fresh()),
    }
    return intents.get(verb)
