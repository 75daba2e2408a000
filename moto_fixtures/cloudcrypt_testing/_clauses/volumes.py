"""Clauses about volumes: create, look, resize and delete."""

from collections.abc import Callable

import attrs
import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, RequestConflict
from cloudcrypt.model import Blank, Volume, VolumeState, check_volume_id
from cloudcrypt.sizes import round_up
from cloudcrypt.spi import (
    CreateVolume,
    DeleteVolume,
    Handle,
    Intent,
    ResizeVolume,
    VolumeProvider,
    perform,
)
from cloudcrypt_testing._clauses.given import Given, interrupted


class CreateClauses(Given):
    """A volume is created once for each name, whatever is lost on the way."""

    def test_a_created_volume_is_blank_available_and_has_a_canonical_id(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size, labels={"owner": "contract"})
        volume = perform(provider, intent)
        assert check_volume_id(volume.id) == volume.id
        assert (volume.name, volume.size, volume.origin) == (intent.name, size, Blank())
        assert (volume.state, volume.holders) == (VolumeState.AVAILABLE, ())
        assert volume.labels == {"owner": "contract"}
        assert volume.created.utcoffset() is not None

    def test_a_size_is_rounded_up_to_the_unit_of_the_provider(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        volume = perform(provider, CreateVolume(fresh(), fresh(), size - 1))
        assert volume.size == round_up(size - 1, provider.capabilities.size_unit)

    def test_a_size_beyond_the_largest_is_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str]
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            provider.begin(CreateVolume(fresh(), fresh(), provider.capabilities.size_max + 1))
        assert caught.value.parameter == "size"

    def test_the_same_intent_twice_is_one_operation_and_one_volume(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        handles = [provider.begin(intent), provider.begin(intent)]
        first, second = (provider.resume(handle, timeout=300) for handle in handles)
        assert handles[0] == handles[1]
        assert first == second
        assert [volume.id for volume in provider.list() if volume.name == intent.name] == [first.id]

    def test_the_same_name_and_parameters_with_another_token_is_the_same_volume(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume, size: int
    ) -> None:
        assert perform(provider, CreateVolume(fresh(), volume.name, size)) == volume

    def test_the_same_name_with_another_size_conflicts_and_names_the_field(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume, size: int
    ) -> None:
        with pytest.raises(RequestConflict) as caught:
            perform(provider, CreateVolume(fresh(), volume.name, 2 * size))
        assert caught.value.fields == ("size",)
        assert provider.get(volume.id) == volume

    def test_the_same_token_with_another_intent_conflicts_and_changes_nothing(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        volume = perform(provider, intent)
        other = attrs.evolve(intent, name=fresh(), size=2 * size)
        with pytest.raises(RequestConflict) as caught:
            provider.begin(other)
        assert set(caught.value.fields) == {"name", "size"}
        assert provider.find(other) is None
        assert provider.get(volume.id) == volume
        assert other.name not in [each.name for each in provider.list()]

    def test_an_intent_that_was_not_begun_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        assert provider.find(intent) is None
        assert intent.name not in [volume.name for volume in provider.list()]

    def test_a_creation_whose_reply_was_lost_is_found_and_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        size: int,
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        volume = interrupted(provider, reopen, intent)
        assert [each for each in provider.list() if each.name == intent.name] == [volume]

    def test_an_unknown_handle_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        handle = Handle(CreateVolume(fresh(), fresh(), size), "contract-unknown")
        with pytest.raises(NotFound):
            provider.resume(handle, timeout=300)


class LookClauses(Given):
    """What exists can be seen."""

    def test_a_volume_is_got_by_its_id_and_listed_once(
        self, provider: VolumeProvider, volume: Volume
    ) -> None:
        assert provider.get(volume.id) == volume
        assert [each for each in provider.list() if each.id == volume.id] == [volume]

    def test_volumes_are_listed_oldest_first(
        self, provider: VolumeProvider, create: Callable[..., Volume]
    ) -> None:
        made = [create().id for _ in range(3)]
        assert [volume.id for volume in provider.list() if volume.id in made] == made

    def test_closing_twice_is_closing_once(self, provider: VolumeProvider) -> None:
        provider.close()
        provider.close()


class ResizeClauses(Given):
    """A volume grows and never shrinks."""

    def test_a_volume_grows(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        grown = perform(provider, ResizeVolume(fresh(), volume.id, 2 * volume.size))
        assert grown == attrs.evolve(volume, size=2 * volume.size)
        assert provider.get(volume.id) == grown

    def test_resizing_to_the_size_it_has_succeeds_and_changes_nothing(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        assert perform(provider, ResizeVolume(fresh(), volume.id, volume.size)) == volume

    def test_a_smaller_size_is_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        with pytest.raises(InvalidRequest, match="never shrinks"):
            perform(provider, ResizeVolume(fresh(), volume.id, volume.size - 1))
        assert provider.get(volume.id) == volume

    def test_a_resize_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
    ) -> None:
        interrupted(provider, reopen, ResizeVolume(fresh(), volume.id, 2 * volume.size))
        assert provider.get(volume.id).size == 2 * volume.size


class DeleteClauses(Given):
    """A deleted volume is gone, and its id with it."""

    def test_a_deleted_volume_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        perform(provider, DeleteVolume(fresh(), volume.id))
        with pytest.raises(NotFound):
            provider.get(volume.id)
        assert volume.id not in [each.id for each in provider.list()]

    def test_deleting_what_is_gone_succeeds(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        perform(provider, DeleteVolume(fresh(), volume.id))
        perform(provider, DeleteVolume(fresh(), volume.id))

    def test_a_name_that_is_free_again_gives_another_id(
        self, provider: VolumeProvider, fresh: Callable[[], str], create: Callable[..., Volume]
    ) -> None:
        first = create()
        perform(provider, DeleteVolume(fresh(), first.id))
        assert create(name=first.name).id != first.id

    def test_a_deletion_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
    ) -> None:
        interrupted(provider, reopen, DeleteVolume(fresh(), volume.id))
        assert volume.id not in [each.id for each in provider.list()]

    @pytest.mark.parametrize("verb", ["resize", "create again"])
    def test_what_was_made_and_deleted_since_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int, verb: str
    ) -> None:
        intent: Intent[Volume] = CreateVolume(fresh(), fresh(), size)
        volume = perform(provider, intent)
        perform(provider, DeleteVolume(fresh(), volume.id))
        if verb == "resize":
            intent = ResizeVolume(fresh(), volume.id, 2 * size)
        with pytest.raises(NotFound):
            perform(provider, intent)
