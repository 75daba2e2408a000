"""Volumes whose keys a KMS wraps: formatted, opened elsewhere later, and never by a new key."""

import secrets
import shutil
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cloudcrypt import spi
from cloudcrypt.device import locate
from cloudcrypt.errors import DataKeyAbsent, HeaderRefused, SealRefused, WrappedKeyRefused
from cloudcrypt.keys import EnvelopeKeyService, bound_key_id, open_key_service
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2 import layout
from cloudcrypt.mapper import UserspaceMapper, UserspaceMapping
from cloudcrypt.model import BlockDevice, ClonedFrom, KeyPolicy, Mode
from cloudcrypt.registry import open_provider
from cloudcrypt.secret import Secret
from cloudcrypt.sizes import MIB
from cloudcrypt.stage import Stage
from cloudcrypt_testing.fake_kms import ENTRY_POINT
from tests.unit.nodes import CONTENT, OTHER, PROFILES, VOLUME, Node, write_bytes


def opened(folder: Path) -> EnvelopeKeyService:
    """Return the key service of a host: nothing of it lives on from one time to the next."""
    url = f"fake-kms://one?root=text&store=sqlite://{folder}/keys.db"
    service = open_key_service(url, kms={ENTRY_POINT.name: ENTRY_POINT})
    assert isinstance(service, EnvelopeKeyService)
    return service


@contextmanager
def host(folder: Path) -> Generator[tuple[Node, EnvelopeKeyService]]:
    """Yield a node that gets its keys from the KMS, and these; all is closed afterwards."""
    with opened(folder) as keys, Node(folder, keys=keys) as node:
        yield node, keys


@pytest.mark.parametrize("mode", Mode)
def test_a_volume_of_a_provider_opens_after_everything_was_closed(
    tmp_path: Path, mode: Mode
) -> None:
    content = secrets.token_bytes(2 * MIB)

    @contextmanager
    def everything() -> Generator[tuple[spi.VolumeProvider, Stage[UserspaceMapping]]]:
        with (
            closing(open_provider(f"local://{tmp_path}/volumes")) as provider,
            closing(SqliteLedger(tmp_path / "ledger.db")) as ledger,
            opened(tmp_path) as keys,
        ):
            yield provider, Stage(ledger, keys, UserspaceMapper(), profiles=PROFILES)

    def attached(provider: spi.VolumeProvider, instance: str) -> BlockDevice:
        intent = spi.AttachVolume(secrets.token_hex(8), volume.id, instance)
        return locate(spi.perform(provider, intent))

    with everything() as (provider, stage):
        volume = spi.perform(provider, spi.CreateVolume(secrets.token_hex(8), "data", 32 * MIB))
        device = attached(provider, "node-1")
        stage.register_new(volume.id, capacity=device.size, mode=mode)
        stage.format(device)
        with stage.open(device).open() as payload:
            payload.pwrite(1000, content)
            payload.flush()
        stage.close(volume.id)
        spi.perform(provider, spi.DetachVolume(secrets.token_hex(8), volume.id, "node-1"))
    with everything() as (provider, stage):
        with stage.open(attached(provider, "node-2")).open() as payload:
            assert content == payload.pread(1000, len(content))
        stage.close(volume.id)
    with opened(tmp_path) as keys:
        assert [item.key_id for item in keys.list()] == [bound_key_id(volume.id)]


@pytest.mark.parametrize("policy", KeyPolicy)
def test_a_volume_opens_after_its_key_was_wrapped_anew(tmp_path: Path, policy: KeyPolicy) -> None:
    with host(tmp_path) as (node, keys):
        device = node.formatted(policy=policy)
        assert [item.problem for item in keys.rewrap_all()] == [None]
    with host(tmp_path) as (node, _):
        assert CONTENT == node.content(device, policy=policy)


@pytest.mark.parametrize("policy", KeyPolicy)
def test_a_volume_whose_key_was_shredded_does_not_open_and_gets_no_new_key(
    tmp_path: Path, policy: KeyPolicy
) -> None:
    with host(tmp_path) as (node, keys):
        device = node.formatted(policy=policy)
        (stored,) = keys.list()
        assert keys.shred(stored.key_id)
        with pytest.raises(DataKeyAbsent):
            node.stage.open(device, policy=policy)
        with pytest.raises(DataKeyAbsent):
            node.stage.format(device)  # it is formatted: this only looks
        assert list(keys.list()) == []


def test_a_volume_whose_key_was_shredded_is_not_rotated_or_backed_up(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        device = node.formatted()
        keys.shred(bound_key_id(VOLUME))
        with pytest.raises(DataKeyAbsent):
            node.stage.rotate(device)
        with pytest.raises(DataKeyAbsent):
            node.stage.backup_header(device)
        with pytest.raises(DataKeyAbsent), node.stage.check(device):
            pass
        assert list(keys.list()) == []


def test_a_format_that_was_cut_short_goes_on_with_the_same_key(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        device = node.blank()
        with keys.get_data_key(bound_key_id(VOLUME), 32) as key:
            first = key.copy()
        node.stage.format(device)
        assert first == keys.find_data_key(bound_key_id(VOLUME), 32)


def test_a_volume_rotates_with_its_one_data_key(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        device = node.formatted()
        blob = keys.store.get(bound_key_id(VOLUME))
        node.stage.rotate(device)
        assert blob == keys.store.get(bound_key_id(VOLUME))
        assert CONTENT == node.content(device)


def test_a_copy_gets_a_key_of_its_own_once_it_is_rebound(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        node.formatted()
        shutil.copyfile(node.path(VOLUME), node.path(OTHER))
        copy = node.device(OTHER)
        node.stage.rebind(copy, ClonedFrom(VOLUME))
        assert [item.key_id for item in keys.list()] == [bound_key_id(VOLUME), bound_key_id(OTHER)]
        assert keys.find_data_key(bound_key_id(VOLUME), 32) != keys.find_data_key(
            bound_key_id(OTHER), 32
        )
    with host(tmp_path) as (node, keys):
        keys.shred(bound_key_id(VOLUME))
        assert CONTENT == node.content(copy)


def test_what_is_no_copy_gets_no_key(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        node.formatted()
        shutil.copyfile(node.path(VOLUME), node.path(OTHER))
        copy = node.device(OTHER)
        write_bytes(copy, 0, bytes(layout.DATA_OFFSET))
        with pytest.raises(HeaderRefused):
            node.stage.rebind(copy, ClonedFrom(VOLUME))
        assert [item.key_id for item in keys.list()] == [bound_key_id(VOLUME)]


def test_a_key_that_was_planted_for_a_volume_does_not_open_it(tmp_path: Path) -> None:
    key_id = bound_key_id(VOLUME)
    with host(tmp_path) as (node, keys):
        device = node.formatted()
        good = keys.store.get(key_id) or b""
        planted = WrappedKey(keys.kms.wrap(Secret(bytes(32)), key_id)).to_bytes()
        keys.store.replace(key_id, good, planted)
        with pytest.raises(SealRefused):
            node.stage.open(device)
        keys.store.replace(key_id, planted, b"rubbish")
        with pytest.raises(WrappedKeyRefused):
            node.stage.open(device)
        keys.store.replace(key_id, b"rubbish", good)
        assert CONTENT == node.content(device)


def test_a_copy_of_a_volume_whose_key_was_shredded_is_not_rebound(tmp_path: Path) -> None:
    with host(tmp_path) as (node, keys):
        node.formatted()
        shutil.copyfile(node.path(VOLUME), node.path(OTHER))
        keys.shred(bound_key_id(VOLUME))
        with pytest.raises(DataKeyAbsent):
            node.stage.rebind(node.device(OTHER), ClonedFrom(VOLUME))
        assert list(keys.list()) == []
