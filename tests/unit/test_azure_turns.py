"""Requests to Azure that wait for their turn: what they are about may be another thing by then."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from cloudcrypt.errors import Answer, CloudcryptError, NotFound, RequestConflict, Throttled
from cloudcrypt.model import Volume
from cloudcrypt.sizes import GIB
from cloudcrypt.spi import (
    AttachVolume,
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    ResizeVolume,
    perform,
)
from cloudcrypt_azure import AzureProvider
from cloudcrypt_azure._answers import Reply
from cloudcrypt_azure._calls import Call
from cloudcrypt_testing.fake_azure import FakeAzure, FakeClock
from cloudcrypt_testing.world.faults import Throttled as Throttling
from tests.unit.azure_given import attached, created, disk, luns, opened, unique, within

PAUSE = 60.0
"""Seconds for which Azure asks to wait."""


@pytest.fixture
def provider(fake_azure: FakeAzure) -> Iterator[AzureProvider]:
    provider = opened(fake_azure)
    yield provider
    provider.close()


@pytest.fixture
def volume(provider: AzureProvider) -> Volume:
    return created(provider)


def sleeps_in_steps(clock: FakeClock) -> None:
    """Let who sleeps do so five seconds at a time, so that others can act in between."""
    sleep = clock.sleep

    def in_steps(seconds: float, wake: threading.Event | None = None) -> None:
        for _ in range(int(seconds // 5)):
            sleep(5, wake)
        sleep(seconds % 5, wake)

    clock.sleep = in_steps  # type: ignore[method-assign]


def throttled(azure: FakeAzure, on: str, act: Callable[[], object]) -> None:
    """Let a request be throttled for a minute; in the middle of that somebody else acts."""
    clock, moments = azure.clock, [0.0]

    def begin() -> None:
        moments.append(clock.monotonic() + PAUSE / 2)
        clock.listen(act_once)

    def act_once() -> None:
        if clock.monotonic() >= moments[-1]:
            clock.unlisten(act_once)
            act()

    sleeps_in_steps(clock)
    azure._layer.wait = int(PAUSE)
    azure.faults.add(Throttling(), on=on)
    azure.meanwhile(on, begin)


def made_anew(azure: FakeAzure, volume: Volume, *, at: str | None = None) -> Volume:
    """Delete a volume, and make and perhaps attach another one of its name, as another host."""
    other = opened(azure)
    if at is not None:
        perform(other, DetachVolume("x", volume.id, at))
    perform(other, DeleteVolume("x", volume.id))
    again = created(other, token="another one")
    if at is not None:
        attached(other, again, at)
    return again


# Each defence is `sight.is_true` in `Api.if_true`: names are used again, and the API goes by
# name. What waited a minute for its turn must not be done to what has the name by then.


def test_a_deletion_that_waited_does_not_delete_what_has_the_name_by_then(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    new: list[Volume] = []
    throttled(fake_azure, "disks.delete", lambda: new.append(made_anew(fake_azure, volume)))
    perform(provider, DeleteVolume("late", volume.id))
    assert set(fake_azure.disks()) == {unique(new[0].id)}


def test_a_deletion_of_a_snapshot_that_waited_does_not_delete_its_namesake(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    taken = perform(provider, CreateSnapshot("s", volume.id, "nightly"))

    def take_anew() -> None:
        other = opened(fake_azure)
        perform(other, DeleteSnapshot("x", taken.id))
        perform(other, CreateSnapshot("another one", volume.id, "nightly", 7))

    throttled(fake_azure, "snapshots.delete", take_anew)
    perform(provider, DeleteSnapshot("late", taken.id))
    (left,) = provider.snapshots()
    assert left.generation == 7


def test_a_resize_that_waited_does_not_grow_what_has_the_name_by_then(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    new: list[Volume] = []
    throttled(fake_azure, "disks.update", lambda: new.append(made_anew(fake_azure, volume)))
    with pytest.raises(NotFound):
        perform(provider, ResizeVolume("r", volume.id, 8 * GIB))
    assert provider.get(new[0].id).size == 2 * GIB


def test_a_snapshot_that_waited_is_not_written_over_one_that_was_taken_meanwhile(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    intent = CreateSnapshot("theirs", volume.id, "nightly", 3)
    throttled(fake_azure, "snapshots.createOrUpdate", lambda: perform(opened(fake_azure), intent))
    with pytest.raises(RequestConflict):
        perform(provider, CreateSnapshot("ours", volume.id, "nightly", 4))
    (left,) = fake_azure.snapshots().values()
    assert (left.tags["cloudcrypt-token"], left.tags["cloudcrypt-generation"]) == ("theirs", "3")


def test_an_attachment_that_waited_does_not_attach_what_has_the_name_by_then(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    on = "virtualMachines.attachDetachDataDisks"
    throttled(fake_azure, on, lambda: made_anew(fake_azure, volume))
    with pytest.raises(NotFound):
        perform(provider, AttachVolume("a", volume.id, instance))
    fake_azure.clock.advance(60)
    assert luns(fake_azure, instance) == {}


def test_a_detachment_that_waited_does_not_detach_what_has_the_name_by_then(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume
) -> None:
    instance = fake_azure.run_instance()
    attached(provider, volume, instance)
    new: list[Volume] = []
    on = "virtualMachines.attachDetachDataDisks"
    throttled(fake_azure, on, lambda: new.append(made_anew(fake_azure, volume, at=instance)))
    with pytest.raises(NotFound):
        perform(provider, DetachVolume("d", volume.id, instance))
    fake_azure.clock.advance(60)
    assert disk(fake_azure, new[0]).holders != ()


@pytest.mark.parametrize(
    ("on", "intent"),
    [
        ("disks.update", ResizeVolume("r", "V", 8 * GIB)),
        ("disks.delete", DeleteVolume("d", "V")),
        ("snapshots.createOrUpdate", CreateSnapshot("s", "V", "nightly")),
        ("*.attachDetachDataDisks", AttachVolume("a", "V", "vm-1")),
    ],
)
def test_what_is_throttled_is_asked_again_when_azure_allows_it(
    provider: AzureProvider, fake_azure: FakeAzure, volume: Volume, on: str, intent: Any
) -> None:
    instance = fake_azure.run_instance(name="vm-1")
    fake_azure._layer.wait = int(PAUSE)
    fake_azure.faults.add(Throttling(), on=on, times=2)
    began = fake_azure.clock.monotonic()
    perform(provider, attrs.evolve(intent, volume_id=volume.id))
    assert fake_azure.clock.monotonic() - began >= 2 * PAUSE
    fake_azure.faults.add(Throttling(), on="*.attachDetachDataDisks", times=None)
    other = created(provider, "other")
    with pytest.raises(Throttled) as caught:
        provider.begin(AttachVolume("b", other.id, instance), deadline=within(fake_azure, 10))
    assert caught.value.cloud_code == "TooManyRequests"


class Client:
    """A thread that sends a request, and when it did, on the clock of the world."""

    def __init__(self, provider: AzureProvider, azure: FakeAzure) -> None:
        self.api, self.azure = provider._api, azure
        self.sent: list[float] = []
        self.refuse = threading.Event()
        self.is_sent = threading.Event()
        self.errors: list[CloudcryptError] = []

    def call(self, answer: Callable[[], Reply]) -> Call:
        def send(_client: object) -> Reply:
            self.sent.append(self.azure.clock.monotonic())
            self.is_sent.set()
            return answer()

        return Call("Disks_Get", "reads of disks", send)


def test_who_waits_for_the_pause_to_end_sees_that_it_was_made_longer(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    """Two threads: one is under way when Azure throttles, and is throttled later than the other.

    The defence is the loop in `Api._take`: the pause that the second one waits for is over at 30
    seconds, but at 20 Azure has told the first one to wait until 50.
    """
    clock, api = fake_azure.clock, provider._api
    began = clock.monotonic()
    first, second = Client(provider, fake_azure), Client(provider, fake_azure)
    family = api._family("reads of disks")
    api._throttled(family, Throttled("Disks_Get", answer=_told(30)))

    def late() -> Reply:
        assert first.refuse.wait(10)
        api._throttled(family, Throttled("Disks_Get", answer=_told(30)))
        return Reply(200, {}, {})

    def wake() -> None:
        """Let the other thread be told, when 20 of the 30 seconds are over."""
        if clock.monotonic() - began < 20 or first.refuse.is_set():
            return
        first.refuse.set()
        under_way.join(10)

    deadline = within(fake_azure, 300)
    under_way = threading.Thread(target=lambda: api.once(first.call(late), deadline, has_turn=True))
    family.stopped = 0.0  # it was sent before
    under_way.start()
    assert first.is_sent.wait(10)
    family.stopped = began + 30
    clock.listen(wake)
    sleeps_in_steps(clock)
    api.once(second.call(lambda: Reply(200, {}, {})), deadline)
    assert second.sent[0] - began >= 50


def _told(seconds: float) -> Answer:
    return Answer("TooManyRequests", "Wait.", 429, None, seconds)


def test_who_has_had_its_turn_does_not_send_within_a_pause_that_began_since(
    provider: AzureProvider, fake_azure: FakeAzure
) -> None:
    """The defence is `_pause` in `Api.once`: between turn and request there may be a look."""
    api = provider._api
    client = Client(provider, fake_azure)
    call, deadline = client.call(lambda: Reply(200, {}, {})), within(fake_azure, 300)
    api.wait_for_turn(call, deadline)
    api._throttled(api._family(call.family), Throttled("Disks_Get", answer=_told(30)))
    with pytest.raises(Throttled) as caught:
        api.once(call, deadline, has_turn=True)
    assert caught.value.cloud_code == "TooManyRequests"
    assert client.sent == []
