"""Clauses about volumes: create, look, resize and delete."""

from collections.abc import Callable

import attrs
import pytest

from cloudcrypt.errors import InvalidRequest, NotFound, RequestConflict, RequestError
from cloudcrypt.model import Blank, Volume, VolumeState, check_volume_id
from cloudcrypt.sizes import GIB, round_up
from cloudcrypt.spi import (
    CreateSnapshot,
    CreateVolume,
    DeleteVolume,
    Handle,
    Intent,
    ModifyVolume,
    ResizeVolume,
    VolumeProvider,
    perform,
)
from cloudcrypt_testing._clauses.given import Given, clause, interrupted, needs


class CreateClauses(Given):
    """A volume is created once for each name, whatever is lost on the way."""

    @clause("2.1")
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

    @clause("2.2")
    def test_a_size_is_rounded_up_to_the_unit_of_the_provider(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        volume = perform(provider, CreateVolume(fresh(), fresh(), size - 1))
        assert volume.size == round_up(size - 1, provider.capabilities.size_unit)

    @clause("2.3")
    def test_a_size_beyond_the_largest_is_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str]
    ) -> None:
        with pytest.raises(InvalidRequest) as caught:
            provider.begin(CreateVolume(fresh(), fresh(), provider.capabilities.size_max + 1))
        assert caught.value.parameter == "size"

    @clause("1.1")
    def test_the_same_intent_twice_is_one_operation_and_one_volume(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        handles = [provider.begin(intent), provider.begin(intent)]
        first, second = (provider.resume(handle) for handle in handles)
        assert handles[0] == handles[1]
        assert first == second
        assert [volume.id for volume in provider.list() if volume.name == intent.name] == [first.id]

    @clause("2.4")
    def test_the_same_name_and_parameters_with_another_token_is_the_same_volume(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume, size: int
    ) -> None:
        assert perform(provider, CreateVolume(fresh(), volume.name, size)) == volume

    @clause("2.5")
    def test_the_same_name_with_another_size_conflicts_and_names_the_field(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume, size: int
    ) -> None:
        with pytest.raises(RequestConflict) as caught:
            perform(provider, CreateVolume(fresh(), volume.name, 2 * size))
        assert caught.value.fields == ("size",)
        assert provider.get(volume.id) == volume

    @clause("1.2")
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

    @clause("1.3")
    def test_an_intent_that_was_not_begun_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size)
        assert provider.find(intent) is None
        assert intent.name not in [volume.name for volume in provider.list()]

    @clause("1.4")
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

    @clause("1.5")
    def test_an_unknown_handle_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        handle = Handle(CreateVolume(fresh(), fresh(), size), "contract-unknown")
        with pytest.raises(NotFound):
            provider.resume(handle)

    @clause("2.5")
    def test_the_same_name_with_other_labels_conflicts_and_names_the_field(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume, size: int
    ) -> None:
        with pytest.raises(RequestConflict) as caught:
            perform(provider, CreateVolume(fresh(), volume.name, size, labels={"other": "one"}))
        assert caught.value.fields == ("labels",)
        assert provider.get(volume.id) == volume

    @clause("2.6")
    def test_a_volume_type_is_what_was_asked_for_or_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str]
    ) -> None:
        for offered in provider.capabilities.types:
            size = round_up(offered.size_min, provider.capabilities.size_unit)
            iops = None if offered.iops is None else offered.iops[0]
            if iops is not None and offered.iops_per_gib is not None:
                size = max(size, -(-iops // offered.iops_per_gib) * GIB)
            intent = CreateVolume(fresh(), fresh(), size, kind=offered.name, iops=iops)
            made = perform(provider, intent)
            assert (made.kind, iops or made.iops) == (offered.name, made.iops)
        names = [offered.name for offered in provider.capabilities.types]
        intent = CreateVolume(fresh(), fresh(), GIB, kind="contract-none")
        assert intent.kind not in names
        with pytest.raises(RequestError):
            perform(provider, intent)

    @clause("2.7")
    def test_a_creation_that_is_refused_leaves_nothing_behind(
        self, provider: VolumeProvider, fresh: Callable[[], str], size: int
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size, kind="contract-none")
        with pytest.raises(RequestError):
            perform(provider, intent)
        assert provider.find(intent) is None
        assert intent.name not in [each.name for each in provider.list()]

    @clause("2.8")
    def test_a_volume_remembers_who_made_it_whoever_asks_for_it_later(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        size: int,
    ) -> None:
        intent = CreateVolume(fresh(), fresh(), size, maker="contract-first")
        volume = perform(provider, intent)
        assert volume.maker == "contract-first"
        assert provider.get(volume.id) == volume
        assert list(provider.list(name=intent.name)) == [volume]
        other = attrs.evolve(intent, maker="contract-second")
        for again in (other, attrs.evolve(other, token=fresh())):  # two hosts share a token
            assert perform(reopen(), again) == volume
        assert perform(provider, CreateVolume(fresh(), fresh(), size)).maker is None


class LookClauses(Given):
    """What exists can be seen."""

    @clause("3.1")
    def test_a_volume_is_got_by_its_id_and_listed_once(
        self, provider: VolumeProvider, volume: Volume
    ) -> None:
        assert provider.get(volume.id) == volume
        assert [each for each in provider.list() if each.id == volume.id] == [volume]

    @clause("3.2")
    def test_volumes_are_listed_oldest_first(
        self, provider: VolumeProvider, create: Callable[..., Volume]
    ) -> None:
        made = [create().id for _ in range(3)]
        assert [volume.id for volume in provider.list() if volume.id in made] == made

    @clause("3.3")
    def test_volumes_and_snapshots_are_listed_by_name(
        self, provider: VolumeProvider, fresh: Callable[[], str], create: Callable[..., Volume]
    ) -> None:
        volume = create()
        create()
        assert list(provider.list(name=volume.name)) == [volume]
        assert list(provider.list(name=fresh())) == []
        if provider.capabilities.snapshots:
            taken = perform(provider, CreateSnapshot(fresh(), volume.id, fresh()))
            assert list(provider.snapshots(name=taken.name)) == [taken]
            assert list(provider.snapshots(name=fresh())) == []

    @clause("1.9")
    def test_closing_twice_is_closing_once(self, provider: VolumeProvider) -> None:
        provider.close()
        provider.close()


class ResizeClauses(Given):
    """A volume grows and never shrinks."""

    @clause("4.1")
    def test_a_volume_grows(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        grown = perform(provider, ResizeVolume(fresh(), volume.id, 2 * volume.size))
        assert grown == attrs.evolve(volume, size=2 * volume.size)
        assert provider.get(volume.id) == grown

    @clause("4.2")
    def test_resizing_to_the_size_it_has_succeeds_and_changes_nothing(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        assert perform(provider, ResizeVolume(fresh(), volume.id, volume.size)) == volume

    @clause("4.3")
    def test_a_smaller_size_is_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        with pytest.raises(InvalidRequest, match="never shrinks"):
            perform(provider, ResizeVolume(fresh(), volume.id, volume.size - 1))
        assert provider.get(volume.id) == volume

    @clause("1.4")
    def test_a_resize_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
    ) -> None:
        interrupted(provider, reopen, ResizeVolume(fresh(), volume.id, 2 * volume.size))
        assert provider.get(volume.id).size == 2 * volume.size


class ModifyClauses(Given):
    """Several things of a volume change at once, where that is offered."""

    @pytest.fixture
    def modifiable(
        self, provider: VolumeProvider, fresh: Callable[[], str]
    ) -> tuple[Volume, ModifyVolume]:
        """Give a volume, and an intent that changes its size and its IOPS."""
        needs(provider.capabilities.modify, "modifying")
        for offered in provider.capabilities.types:
            if offered.iops is not None and offered.iops_per_gib is not None:
                iops = offered.iops[0]
                size = max(offered.size_min, -(-2 * iops // offered.iops_per_gib) * GIB)
                intent = CreateVolume(fresh(), fresh(), size, kind=offered.name, iops=iops)
                made = perform(provider, intent)
                return made, ModifyVolume(fresh(), made.id, size=2 * size, iops=2 * iops)
        pytest.skip("the provider declares no volume type with IOPS to choose")

    @clause("4.5")
    def test_size_and_performance_are_changed_at_once(
        self, provider: VolumeProvider, modifiable: tuple[Volume, ModifyVolume]
    ) -> None:
        volume, intent = modifiable
        changed = perform(provider, intent)
        assert (changed.size, changed.iops) == (intent.size, intent.iops)
        assert provider.get(volume.id) == changed

    @clause("4.6")
    def test_changing_to_what_it_is_already_succeeds_and_changes_nothing(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        modifiable: tuple[Volume, ModifyVolume],
    ) -> None:
        volume, _ = modifiable
        intent = ModifyVolume(fresh(), volume.id, size=volume.size, iops=volume.iops)
        assert perform(provider, intent) == volume

    @clause("1.4")
    def test_a_change_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        modifiable: tuple[Volume, ModifyVolume],
    ) -> None:
        volume, intent = modifiable
        interrupted(provider, reopen, intent)
        assert provider.get(volume.id).size == intent.size

    @clause("4.7")
    def test_changing_what_is_not_offered_is_refused(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        intent = ModifyVolume(fresh(), volume.id, size=volume.size, kind="contract-none")
        with pytest.raises(RequestError):
            perform(provider, intent)
        assert provider.get(volume.id) == volume


class DeleteClauses(Given):
    """A deleted volume is gone, and its id with it."""

    @clause("5.1")
    def test_a_deleted_volume_is_not_found(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        perform(provider, DeleteVolume(fresh(), volume.id))
        with pytest.raises(NotFound):
            provider.get(volume.id)
        assert volume.id not in [each.id for each in provider.list()]

    @clause("5.2")
    def test_deleting_what_is_gone_succeeds(
        self, provider: VolumeProvider, fresh: Callable[[], str], volume: Volume
    ) -> None:
        perform(provider, DeleteVolume(fresh(), volume.id))
        perform(provider, DeleteVolume(fresh(), volume.id))

    @clause("5.3")
    def test_a_name_that_is_free_again_gives_another_id(
        self, provider: VolumeProvider, fresh: Callable[[], str], create: Callable[..., Volume]
    ) -> None:
        first = create()
        perform(provider, DeleteVolume(fresh(), first.id))
        assert create(name=first.name).id != first.id

    @clause("1.4")
    def test_a_deletion_whose_reply_was_lost_is_finished_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
    ) -> None:
        interrupted(provider, reopen, DeleteVolume(fresh(), volume.id))
        assert volume.id not in [each.id for each in provider.list()]

    @clause("5.4")
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
