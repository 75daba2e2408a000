"""What an attack is, and the genuine volumes that are attacked."""

import functools

import attrs

from cloudcrypt.errors import HeaderRefused, KdfRefused
from cloudcrypt.luks2 import Step
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.profiles import PROFILES
from cloudcrypt_testing.headers import DEVICE_SIZE, Forgery
from cloudcrypt_testing.mutations import Mutation, become
from cloudcrypt_testing.volumes import SampleVolume, sample_volume

BOUND = (KeyPolicy.BOUND,)
CONSTELLATION = (KeyPolicy.CONSTELLATION,)
BOTH = BOUND + CONSTELLATION

OTHER_UUID = "11111111-2222-4333-8444-555555555555"


@attrs.frozen
class Attack:
    """One attack: ``row`` is that of docs/reference/attacks.md, ``step`` what refuses it.

    ``mode`` is the mode of the genuine volume, ``asked`` the one that the caller asks for, by
    default the same.
    """

    row: int
    name: str
    mutation: Mutation
    step: Step
    error: type[HeaderRefused] = attrs.field(
        default=attrs.Factory(
            lambda self: KdfRefused if self.step is Step.KDF else HeaderRefused, takes_self=True
        )
    )
    policies: tuple[KeyPolicy, ...] = BOTH
    mode: Mode = Mode.CRYPT
    asked: Mode | None = None
    capacity: int | None = DEVICE_SIZE


@functools.cache
def genuine(policy: KeyPolicy, mode: Mode = Mode.CRYPT, generation: int = 1) -> SampleVolume:
    """Return the volume that its owner asks for."""
    seed = f"generation {generation}"
    return sample_volume(PROFILES[policy], mode, generation=generation, seed=seed)


@functools.cache
def foreign(policy: KeyPolicy, mode: Mode = Mode.CRYPT) -> SampleVolume:
    """Return another volume of the same owner, genuine as well."""
    return sample_volume(
        PROFILES[policy],
        mode,
        volume_id="local:example/vol-2",
        uuid=OTHER_UUID,
        data_key=b"\2" * 32,
        seed="foreign",
    )


def replay(policy: KeyPolicy, generation: int) -> Mutation:
    """Return the mutation that serves the header of ``generation``."""

    def mutate(forgery: Forgery) -> None:
        become(genuine(policy, Mode.CRYPT, generation).image)(forgery)

    return mutate


def swap(policy: KeyPolicy) -> Mutation:
    """Return the mutation that serves the header of the foreign volume."""

    def mutate(forgery: Forgery) -> None:
        become(foreign(policy).image)(forgery)

    return mutate


def steal(policy: KeyPolicy, path: str) -> Mutation:
    """Return the mutation that takes what is at ``path`` from the foreign volume."""

    def mutate(forgery: Forgery) -> None:
        *parents, last = path.split("/")
        source = Forgery.of(foreign(policy).image).primary.document()
        for key in parents:
            source = source[key]
        for copy in forgery.copies:
            document = target = copy.document()
            for key in parents:
                target = target[key]
            target[last] = source[last]
            copy.set_document(document)

    return mutate
