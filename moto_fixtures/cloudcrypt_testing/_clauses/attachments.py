"""Clauses about attachments: a volume has one holder, and is never taken from it."""

from collections.abc import Callable

import attrs
import pytest

from cloudcrypt.errors import AttachedElsewhere, NotFound, UnsupportedOperation, VolumeInUse
from cloudcrypt.model import Attachment, Volume, VolumeState
from cloudcrypt.spi import (
    AttachVolume,
    CreateVolume,
    DeleteVolume,
    DetachVolume,
    ResizeVolume,
    VolumeProvider,
    perform,
)
from cloudcrypt_testing._clauses.given import Given, clause, interrupted, needs


class AttachClauses(Given):
    """Attaching names the instance, and describes the device that the instance must find."""

    @clause("6.1")
    def test_an_attachment_describes_the_volume_and_survives_as_json(
        self, attachment: Attachment, volume: Volume, instances: tuple[str, str]
    ) -> None:
        described = (attachment.volume_id, attachment.instance, attachment.size, attachment.origin)
        assert described == (volume.id, instances[0], volume.size, volume.origin)
        assert Attachment.from_json(attachment.to_json()) == attachment

    @clause("6.2")
    def test_an_attached_volume_names_its_holder(
        self, provider: VolumeProvider, attachment: Attachment
    ) -> None:
        volume = provider.get(attachment.volume_id)
        assert (volume.state, volume.holders) == (VolumeState.ATTACHED, (attachment.instance,))

    @clause("6.3")
    def test_attaching_again_to_the_same_instance_is_the_same_attachment(
        self, provider: VolumeProvider, fresh: Callable[[], str], attachment: Attachment
    ) -> None:
        intent = AttachVolume(fresh(), attachment.volume_id, attachment.instance)
        assert perform(provider, intent) == attachment
        assert perform(provider, intent) == attachment

    @clause("6.4")
    def test_a_volume_is_never_taken_from_its_holder(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        attachment: Attachment,
        instances: tuple[str, str],
    ) -> None:
        with pytest.raises(AttachedElsewhere) as caught:
            perform(provider, AttachVolume(fresh(), attachment.volume_id, instances[1]))
        assert caught.value.holder == instances[0]
        assert provider.get(attachment.volume_id).holders == (instances[0],)

    @clause("6.5")
    def test_a_volume_that_is_gone_cannot_be_attached(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
    ) -> None:
        perform(provider, DeleteVolume(fresh(), volume.id))
        with pytest.raises(NotFound):
            perform(provider, AttachVolume(fresh(), volume.id, instances[0]))

    @clause("1.4")
    def test_an_attachment_whose_reply_was_lost_is_found_by_another_process(
        self,
        provider: VolumeProvider,
        reopen: Callable[[], VolumeProvider],
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
    ) -> None:
        intent = AttachVolume(fresh(), volume.id, instances[0])
        assert interrupted(provider, reopen, intent) == perform(provider, intent)

    @clause("5.5")
    def test_an_attached_volume_is_not_deleted(
        self, provider: VolumeProvider, fresh: Callable[[], str], attachment: Attachment
    ) -> None:
        with pytest.raises(VolumeInUse) as caught:
            perform(provider, DeleteVolume(fresh(), attachment.volume_id))
        assert caught.value.holder == attachment.instance
        assert provider.get(attachment.volume_id).holders == (attachment.instance,)

    @clause("4.4")
    def test_an_attached_volume_grows_where_that_is_offered(
        self, provider: VolumeProvider, fresh: Callable[[], str], attachment: Attachment
    ) -> None:
        needs(provider.capabilities.online_resize, "online resize")
        size = 2 * attachment.size
        grown = perform(provider, ResizeVolume(fresh(), attachment.volume_id, size))
        assert (grown.size, grown.holders) == (size, (attachment.instance,))
        again = AttachVolume(fresh(), attachment.volume_id, attachment.instance)
        assert perform(provider, again) == attrs.evolve(attachment, size=size)

    @clause("6.8")
    def test_an_instance_has_one_spelling(
        self, provider: VolumeProvider, attachment: Attachment, instances: tuple[str, str]
    ) -> None:
        spelling = provider.instance_name(instances[0])
        assert provider.instance_name(spelling) == spelling
        assert attachment.instance == spelling
        assert provider.get(attachment.volume_id).holders == (spelling,)

    @clause("6.7")
    def test_a_volume_has_several_holders_only_where_that_was_asked_for_and_is_offered(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        instances: tuple[str, str],
    ) -> None:
        offered = [each for each in provider.capabilities.types if each.multi_attach]
        kind = offered[0] if offered else None
        size = provider.capabilities.size_min if kind is None else kind.size_min
        iops = None if kind is None or kind.iops is None else kind.iops[0]
        name = None if kind is None else kind.name
        intent = CreateVolume(fresh(), fresh(), size, kind=name, iops=iops, multi_attach=True)
        if not provider.capabilities.multi_attach:
            with pytest.raises(UnsupportedOperation):
                perform(provider, intent)
            return
        volume = perform(provider, intent)
        for instance in instances:
            perform(provider, AttachVolume(fresh(), volume.id, instance))
        assert sorted(provider.get(volume.id).holders) == sorted(instances)
        left = perform(provider, DetachVolume(fresh(), volume.id, instances[0]))
        assert left.holders == (instances[1],)


class DetachClauses(Given):
    """Detaching is from the holder; where nobody holds the volume it has succeeded already."""

    @clause("7.1")
    def test_a_detached_volume_is_available_and_can_be_attached_elsewhere(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        attachment: Attachment,
        instances: tuple[str, str],
    ) -> None:
        volume = perform(provider, DetachVolume(fresh(), attachment.volume_id, instances[0]))
        assert (volume.state, volume.holders) == (VolumeState.AVAILABLE, ())
        moved = perform(provider, AttachVolume(fresh(), volume.id, instances[1]))
        assert moved.instance == instances[1]

    @clause("7.2")
    def test_detaching_what_is_detached_succeeds(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
    ) -> None:
        assert perform(provider, DetachVolume(fresh(), volume.id, instances[0])) == volume

    @clause("7.3")
    @pytest.mark.parametrize("force", [False, True])
    def test_detaching_from_another_instance_than_the_holder_is_refused(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        attachment: Attachment,
        instances: tuple[str, str],
        force: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        if force:
            needs(provider.capabilities.force_detach, "forced detaching")
        with pytest.raises(AttachedElsewhere) as caught:
            perform(provider, DetachVolume(fresh(), attachment.volume_id, instances[1], force))
        assert caught.value.holder == instances[0]
        assert provider.get(attachment.volume_id).holders == (instances[0],)

    @clause("7.4")
    def test_forced_detaching_is_done_or_declared_as_not_offered(
        self, provider: VolumeProvider, fresh: Callable[[], str], attachment: Attachment
    ) -> None:
        intent = DetachVolume(fresh(), attachment.volume_id, attachment.instance, force=True)
        if provider.capabilities.force_detach:
            assert perform(provider, intent).holders == ()
        else:
            with pytest.raises(UnsupportedOperation):
                perform(provider, intent)

    @clause("6.6")
    def test_an_old_attach_intent_does_not_attach_again(
        self,
        provider: VolumeProvider,
        fresh: Callable[[], str],
        volume: Volume,
        instances: tuple[str, str],
    ) -> None:
        needs(provider.capabilities.remembers_tokens, "memory of tokens")
        intent = AttachVolume(fresh(), volume.id, instances[0])
        perform(provider, intent)
        perform(provider, DetachVolume(fresh(), volume.id, instances[0]))
        with pytest.raises(NotFound):
            perform(provider, intent)
        assert provider.get(volume.id).holders == ()
