"""``cloudcrypt key``: which key a volume has, and what is done with keys that a store keeps."""

import json
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main
from cloudcrypt.keys import EnvelopeKeyService, door, external, get_data_key, open_key_service
from cloudcrypt.model import KeyPolicy, Mode
from cloudcrypt.plugins import installed
from cloudcrypt_testing.fake_kms import ENTRY_POINT, FakeKms
from tests.unit.key_servers import master_secret_json
from tests.unit.nodes import PROFILES, VOLUME, Node

ID, OTHER = "cloudcrypt/v1/local:data", "cloudcrypt/v1/local:other"


class Service:
    """Key services by files: what the command line opens is what a test has in its hands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inner = f"fake-kms://one?root=text&store=sqlite://{folder}/keys.db"
        (folder / "url").write_text(self.inner)
        self.url = f"file://{folder}/url"
        self.versions = 1
        self.keys: dict[str, bytes] = {}
        with open_key_service(self.inner) as service:
            for key_id in (ID, OTHER):
                self.keys[key_id] = bytes(get_data_key(service, key_id).reveal())

    def ids(self) -> list[str]:
        with open_key_service(self.inner) as service:
            assert isinstance(service, EnvelopeKeyService)
            return [item.key_id for item in service.list()]

    def put(self, key_id: str, blob: bytes) -> None:
        with open_key_service(self.inner) as service:
            assert isinstance(service, EnvelopeKeyService)
            service.store.create(key_id, blob)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    def known(group: str) -> Mapping[str, EntryPoint]:
        more = {ENTRY_POINT.name: ENTRY_POINT} if group == external.KMS_GROUP else {}
        return {**installed(group), **more}

    monkeypatch.setattr(door, "installed", known)
    monkeypatch.setattr(external, "installed", known)
    return Service(tmp_path)


def ran(*arguments: str, typed: str | None = None, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["key", *arguments], input=typed)
    assert result.exit_code == code, result.output
    return result


def document(*arguments: str, code: int = 0) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(ran(*arguments, "--json", code=code).stdout)
    return loaded


def given(monkeypatch: pytest.MonkeyPatch, kms: FakeKms) -> None:
    """Let ``kms`` be the KMS of every URL."""

    def from_url(_: str) -> FakeKms:
        return kms

    monkeypatch.setattr(FakeKms, "from_url", from_url)


# --- get-id ---


def test_a_volume_has_a_key_id() -> None:
    assert document("get-id", "local:data") == {"key_id": ID, "policy": "bound"}
    assert ID in ran("get-id", "local:data").stdout


@pytest.mark.parametrize("mode", Mode)
def test_a_header_of_policy_constellation_has_a_key_id(
    node: Node, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules["cloudcrypt.cli.key"], "PROFILES", PROFILES
    )  # whose KDF is cheap
    device = node.formatted(policy=KeyPolicy.CONSTELLATION, mode=mode)
    assert document("get-id", "--image", str(device.path)) == {
        "key_id": node.record().uuid,
        "policy": "constellation",
    }


def test_a_bound_header_has_none_of_its_own(node: Node) -> None:
    device = node.formatted()
    ran("get-id", "--image", str(device.path), code=3)
    ran("get-id", VOLUME)


@pytest.mark.parametrize("arguments", [[], ["local:data", "--image", "x"]])
def test_one_of_the_two_is_needed(arguments: list[str]) -> None:
    ran("get-id", *arguments, code=2)


def test_what_is_no_volume_id_has_no_key_id() -> None:
    ran("get-id", "not a volume id", code=2)


# --- list, rewrap ---


def test_keys_are_listed(service: Service) -> None:
    service.put("zz", b"rubbish")
    listed = document("list", service.url)["keys"]
    assert isinstance(listed, list)
    hints = {"kms": "fake-kms://one", "version": "1", "problem": None}
    assert listed[:2] == [{"id": ID, **hints}, {"id": OTHER, **hints}]
    assert "canonical" in str(listed[2]["problem"]) or "no document" in str(listed[2]["problem"])
    only = document("list", service.url, "--prefix", OTHER)["keys"]
    assert only == listed[1:2]
    assert ID in ran("list", service.url).stdout


def test_keys_are_wrapped_anew(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    kms = FakeKms("one", root=b"text")
    kms.rotate()
    given(monkeypatch, kms)
    row = {"changed": True, "version_before": "1", "version": "2", "problem": None}
    assert document("rewrap", service.url, ID) == {"keys": [{"id": ID, **row}]}
    done = document("rewrap", service.url, "--all")["keys"]
    assert done == [
        {"id": ID, **row, "changed": False, "version_before": "2"},
        {"id": OTHER, **row},
    ]
    assert "no keys" in ran("rewrap", service.url, "--prefix", "none").stdout
    with open_key_service(service.inner) as keys:
        assert service.keys[ID] == bytes(get_data_key(keys, ID).reveal())


def test_one_that_fails_is_told_and_the_others_are_done(service: Service) -> None:
    service.put("aa", b"rubbish")
    done = document("rewrap", service.url, "--all", code=4)["keys"]
    assert isinstance(done, list)
    assert [bool(item["problem"]) for item in done] == [True, False, False]
    ran("rewrap", service.url, "absent", ID, code=4)


@pytest.mark.parametrize("arguments", [[], ["--all", ID], ["--all", "--prefix", "a"]])
def test_what_to_wrap_anew_is_said_in_one_way(service: Service, arguments: list[str]) -> None:
    ran("rewrap", service.url, *arguments, code=2)


# --- shred ---


def test_a_key_is_shredded_by_who_types_its_id(service: Service) -> None:
    result = ran("shred", service.url, ID, typed=f"{ID}\n")
    assert "cannot be read any more" in result.stderr
    assert service.ids() == [OTHER]


@pytest.mark.parametrize("typed", ["y\n", "\n\n", f"{OTHER}\n"])
def test_a_key_is_not_shredded_by_who_types_something_else(service: Service, typed: str) -> None:
    result = CliRunner().invoke(main, ["key", "shred", service.url, ID], input=typed)
    assert result.exit_code != 0
    assert service.ids() == [ID, OTHER]


def test_a_script_shreds_with_yes(service: Service) -> None:
    ran("shred", service.url, ID, "--json", code=2)
    assert document("shred", service.url, ID, "--yes") == {"shredded": ID, "was_there": True}
    assert document("shred", service.url, ID, "--yes") == {"shredded": ID, "was_there": False}
    assert service.ids() == [OTHER]


def test_derived_keys_are_not_shredded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(master_secret_json())
    for verb in (["shred", ID, "--yes"], ["list"], ["rewrap", "--all"], ["doctor"]):
        result = ran(verb[0], f"file://{tmp_path}/secret", *verb[1:], code=2)
        assert "cannot be shredded" in result.stderr
        assert "destroy its header" in result.stderr


# --- doctor ---


def test_services_that_are_as_they_must_be_are_said_to_be(service: Service) -> None:
    checks = document("doctor", service.url)["checks"]
    assert isinstance(checks, list)
    assert all(check["ready"] for check in checks)
    assert checks[0]["found"] == "fake-kms://one, version 1"
    assert service.ids() == [ID, OTHER]


def test_a_kms_that_is_not_ready_is_exit_code_4(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms = FakeKms("one", root=b"text")
    kms.disable(1)
    given(monkeypatch, kms)
    result = ran("doctor", service.url, code=4)
    assert "DISABLED" in result.stdout


# --- all of them ---


def test_a_url_with_secrets_is_not_taken_from_the_command_line(service: Service) -> None:
    for verb in (["list"], ["doctor"], ["rewrap", "--all"], ["shred", ID, "--yes"]):
        result = ran(verb[0], service.inner, *verb[1:], code=2)
        assert "file://FILE" in result.stderr
        assert "text" not in result.output.replace("context", "")


def test_no_verb_prints_a_key(service: Service) -> None:
    outputs = [
        ran(*arguments).output
        for arguments in (
            ["list", service.url],
            ["doctor", service.url],
            ["rewrap", service.url, "--all"],
            ["shred", service.url, ID, "--yes"],
        )
    ]
    for key in service.keys.values():
        assert not any(key.hex() in output for output in outputs)


@pytest.mark.parametrize("policy", KeyPolicy)
def test_a_passphrase_is_that_of_a_key_that_exists(
    service: Service, tmp_path: Path, policy: KeyPolicy
) -> None:
    uuid = "01234567-89ab-4cde-8f01-23456789abcd"
    with (tmp_path / "out").open("wb") as out:
        result = CliRunner().invoke(
            main,
            [
                *("luks", "passphrase", "--volume-id", "local:lost", "--policy", policy.value),
                *("--uuid", uuid, "--key-service", service.url, "--output-fd", str(out.fileno())),
            ],
        )
    assert result.exit_code == 4
    assert "has no data key" in result.stderr
    assert (tmp_path / "out").read_bytes() == b""
    assert service.ids() == [ID, OTHER]


def test_a_core_file_has_no_keys(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []

    def limited(what: int, limit: tuple[int, int]) -> None:
        limits.append((what, limit))

    monkeypatch.setattr(resource, "setrlimit", limited)
    ran("list", service.url)
    assert limits == [(resource.RLIMIT_CORE, (0, 0))]
