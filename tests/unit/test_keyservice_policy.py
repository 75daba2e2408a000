"""Who may ask for what, how often, and how it is put on record: each part by itself."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import HostUnready, InvalidRequest
from cloudcrypt.keyservice.audit import AuditLog
from cloudcrypt.keyservice.callers import Caller, caller_of
from cloudcrypt.keyservice.limits import ACCOUNTS, QUIET, Limiter, Limits
from cloudcrypt.keyservice.policy import DEFAULT, PLAINTEXT, RESERVED, Policy, is_volume
from tests.unit.clocks import FakeClock
from tests.unit.key_servers import ZERO_ID

NODE = Caller(
    ("URI:spiffe://x/node", "DNS:node.example", "CN:node"), "192.0.2.1", authenticated=True
)
NAMELESS = Caller((), "192.0.2.1", authenticated=True)
ANYBODY = Caller((), "192.0.2.1", authenticated=False)


# --- callers ---


def test_a_caller_has_the_names_of_its_certificate_by_kind() -> None:
    properties = {
        "x509_pem_cert": [b"-----BEGIN"],
        "x509_common_name": [b"node"],
        "x509_subject_alternative_name": [b"ignored"],
        "peer_uri": [b"spiffe://x/1", b"spiffe://x/2"],
        "peer_dns": [b"node.example"],
        "peer_email": [b"root@node.example"],
    }
    caller = caller_of(properties, "ipv4:192.0.2.1:4711")
    assert caller == Caller(
        ("URI:spiffe://x/1", "URI:spiffe://x/2", "DNS:node.example", "CN:node"),
        "192.0.2.1",
        authenticated=True,
    )
    assert ("URI:spiffe://x/1", "URI:spiffe://x/1") == (caller.name, caller.account)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:4711", "[2001:db8::1]"),
        ("unix:/run/socket", "unix:/run/socket"),
        ("", ""),
    ],
)
def test_names_without_a_certificate_do_not_count(peer: str, address: str) -> None:
    caller = caller_of({"peer_uri": [b"spiffe://x"], "x509_common_name": [b"node"]}, peer)
    assert caller == Caller((), address, authenticated=False)
    assert ("anonymous", f"anonymous {address}") == (caller.name, caller.account)


def test_a_name_that_is_not_text_is_not_taken_for_another() -> None:
    caller = caller_of({"x509_pem_cert": [b"x"], "peer_dns": [b"\xff", b""]}, "ipv4:1:1")
    assert caller.names == ("DNS:\\xff",)
    assert ("unnamed", False) == (NAMELESS.name, DEFAULT.allows(ANYBODY, ZERO_ID))


# --- policies ---


@pytest.mark.parametrize("name", [*NODE.names, "*"])
@pytest.mark.parametrize(
    ("pattern", "allowed", "refused"),
    [
        ("clusterID", "clusterID", "clusterID2"),
        ("disk-*", "disk-", "adisk-1"),
        ("*-disk", "a\nb-disk", "disk"),
        ("a*b*c", "a1b2c", "a1c2b"),
        ("a.c", "a.c", "abc"),
        ("[ab]", "[ab]", "a"),
        ("@volumes", ZERO_ID, "clusterID"),
        ("*", "anything", "measurementSecret"),
        ("measurement*", "measurement", "measurementSecret"),
        ("measurementSecret", "measurementSecret", "s3proxy-kek"),
    ],
)
def test_a_pattern_allows_what_it_says(name: str, pattern: str, allowed: str, refused: str) -> None:
    policy = Policy({name: (pattern,)})
    assert policy.allows(NODE, allowed)
    assert not policy.allows(NODE, refused)
    assert not policy.allows(ANYBODY, allowed)


@pytest.mark.parametrize("name", ["URI:node", "DNS:node", "CN:node.example", "CN:NODE", "CN:nod"])
def test_a_name_of_another_kind_is_another_name(name: str) -> None:
    assert not Policy({name: ("*",)}).allows(NODE, ZERO_ID)


def test_a_caller_without_a_name_is_one_of_all() -> None:
    assert DEFAULT.allows(NAMELESS, ZERO_ID)
    assert not Policy({"CN:node": ("*",)}).allows(NAMELESS, ZERO_ID)


def test_who_has_a_certificate_is_not_anonymous() -> None:
    assert PLAINTEXT.allows(ANYBODY, ZERO_ID)
    assert not PLAINTEXT.allows(NODE, ZERO_ID)


@given(st.lists(st.sampled_from(["*", "", "a", "m", "s3", "-", "Secret", "kek"]), max_size=6))
def test_no_pattern_reaches_a_reserved_id(parts: list[str]) -> None:
    pattern = "*".join(parts)
    policy = Policy({"*": (pattern,)})
    for key_id in RESERVED:
        assert policy.allows(NODE, key_id) is (pattern == key_id)


@pytest.mark.parametrize(
    "key_id", [ZERO_ID, "deadbeef-0123-4567-89ab-0123456789ab", "cloudcrypt/v1/aws:x/vol-1"]
)
def test_these_are_ids_of_volumes(key_id: str) -> None:
    assert is_volume(key_id)


@pytest.mark.parametrize(
    "key_id",
    [
        ZERO_ID.upper().replace("0", "A"),
        ZERO_ID + "\n",
        ZERO_ID[1:],
        "cloudcrypt/v1/",
        "cloudcrypt/v1/a b",
        "cloudcrypt/v1/" + "x" * 129,
        "cloudcrypt/v2/vol-1",
        "key-" + ZERO_ID,
        *sorted(RESERVED),
    ],
)
def test_these_are_not_ids_of_volumes(key_id: str) -> None:
    assert not is_volume(key_id)


RULES = {"URI:spiffe://x/node": ["@volumes"], "anonymous": ["a", "b*"], "*": []}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"callers": RULES}),
        "\n " + json.dumps({"callers": RULES}),
        '[callers]\n"URI:spiffe://x/node" = ["@volumes"]\nanonymous = ["a", "b*"]\n"*" = []\n',
    ],
    ids=["JSON", "JSON after spaces", "TOML"],
)
def test_a_policy_is_read_from_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy"
    file.write_text(text)
    expected = Policy({name: tuple(ids) for name, ids in RULES.items()})
    assert expected == Policy.from_file(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "callers = 1",
        "[caller]",
        '{"callers": {}, "more": 1}',
        '{"callers": []}',
        '{"callers": {"node": ["a"]}}',
        '{"callers": {"URI:": ["a"]}}',
        '{"callers": {"uri:x": ["a"]}}',
        '{"callers": {"": ["a"]}}',
        '{"callers": {"CN:x": "a"}}',
        '{"callers": {"CN:x": [1]}}',
        '{"callers": {"CN:x": [""]}}',
        '{"callers": {"CN:x": ["@volume"]}}',
        '{"callers": {"CN:x": null}}',
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match="policy file"):
        Policy.from_file(file)


def test_a_policy_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    for file in (tmp_path, tmp_path / "missing", tmp_path / "binary"):
        with pytest.raises(InvalidRequest, match="policy file"):
            Policy.from_file(file)


# --- limits ---


def test_a_burst_passes_and_then_the_rate() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(per_caller=10, in_total=1000), clock)
    assert [None] * 20 == [limiter.admit("a") for _ in range(20)]
    excess = limiter.admit("a")
    assert excess is not None
    assert excess.wait == pytest.approx(0.1)
    assert limiter.admit("b") is None
    clock.passed += 0.1
    assert limiter.admit("a") is None
    assert limiter.admit("a") is not None
    clock.passed += 3600
    assert [None] * 20 == [limiter.admit("a") for _ in range(20)]
    assert limiter.admit("a") is not None


def test_all_together_are_limited_and_the_refused_do_not_count() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(per_caller=1, in_total=4), clock)
    for _ in range(100):  # one that asks too often leaves the rest to the others
        limiter.admit("greedy")
    assert [None] * 6 == [limiter.admit(f"caller {number}") for number in range(6)]
    assert limiter.admit("one more") is not None


def test_a_slow_rate_still_lets_a_first_call_pass() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(per_caller=0.01, in_total=0.01), clock)
    assert limiter.admit("a") is None
    excess = limiter.admit("a")
    assert excess is not None
    assert excess.wait == pytest.approx(100)


def test_callers_are_remembered_up_to_a_bound() -> None:
    limiter = Limiter(Limits(per_caller=1, in_total=1e9), FakeClock())
    for number in range(ACCOUNTS + 1000):
        limiter.admit(f"caller {number}")
    assert ACCOUNTS == len(limiter._callers)


def test_a_flood_is_logged_once_a_second_with_a_count() -> None:
    clock = FakeClock()
    limiter = Limiter(Limits(per_caller=0.5), clock)
    assert limiter.admit("a") is None
    unlogged = [excess and excess.unlogged for excess in (limiter.admit("a") for _ in range(5))]
    assert unlogged == [0, None, None, None, None]
    clock.passed += QUIET
    excess = limiter.admit("a")
    assert excess is not None
    assert excess.unlogged == 4


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(rate: float) -> None:
    with pytest.raises(InvalidRequest):
        Limits(per_caller=rate)
    with pytest.raises(InvalidRequest):
        Limits(in_total=rate)


# --- the log ---


def test_a_line_is_json_in_ascii(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log", clock=FakeClock())
    log.record("event", text="a\n\u2028\x1b\ud800é", number=1, long="x" * 1000)
    log.close()
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert line.isascii()
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05.000+00:00",
        "event": "event",
        "text": "a\n\u2028\x1b\ud800é",
        "number": 1,
        "long": "x" * 256 + "...",
    }


def test_a_log_is_for_its_owner_and_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for _ in range(2):
        log = AuditLog(file)
        log.record("event")
        log.close()
        log.close()
    assert (0o600, 2) == (stat.S_IMODE(file.stat().st_mode), len(file.read_text().splitlines()))


def test_without_a_file_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log = AuditLog()
    log.reopen()
    log.record("event")
    log.close()
    assert json.loads(capsys.readouterr().err)["event"] == "event"


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "missing" / "log", tmp_path / "a\0b"):
        with pytest.raises(HostUnready, match="audit log"):
            AuditLog(file)
    reading, writing = os.pipe()
    os.close(reading)
    log = AuditLog()
    log._fd = writing
    with pytest.raises(HostUnready, match="audit log"):
        log.record("event")
    log.close()
