"""The reference pages say what the code does: the worked example, and the table of attacks."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

import attrs
import pytest

from cloudcrypt.luks2 import Step, derive, parse, read_header
from cloudcrypt.model import KeyPolicy
from cloudcrypt.profiles import CLOUDCRYPT_V1
from cloudcrypt.secret import Secret
from cloudcrypt_testing.volumes import sample_volume
from tests.unit.attacks import copies, keyslots, segments, texts
from tests.unit.attacks.table import ATTACKS, BEHAVIOURS, NOT_THE_HEADER

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
MODULES = {"copies": copies, "keyslots": keyslots, "segments": segments, "texts": texts}


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """Return the values of the worked example, each on one line."""
    page = (REFERENCE / "sealed-header.md").read_text()
    (block,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    values: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line.startswith("  "):
            values[name] = values.get(name, "") + line.removeprefix("  ")
        else:
            name = line
    return values


def hkdf(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 without a salt, one block of output: RFC 5869, sections 2.2 and 2.3."""
    pseudorandom = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(pseudorandom, info + b"\1", "sha256")


def test_the_worked_example_follows_from_itself(example: dict[str, str]) -> None:
    data_key = bytes.fromhex(example["data key"])
    for key, info in (("passphrase", "info of the passphrase"), ("MAC key", "info of the MAC key")):
        assert example[key] == hkdf(data_key, bytes.fromhex(example[info])).hex()
    document = example["document with an empty MAC"].encode()
    assert example["length of the document"] == str(len(document))
    message = bytes.fromhex(example["input of the MAC before the document"]) + document
    message += bytes.fromhex(example["SHA-256 of the keyslot area"])
    mac = hmac.digest(bytes.fromhex(example["MAC key"]), message, "sha256")
    assert example["MAC"] == mac.hex()


def test_the_worked_example_is_what_the_code_makes(example: dict[str, str]) -> None:
    volume = sample_volume(CLOUDCRYPT_V1)
    header = volume.verify(volume.disk())
    token = attrs.evolve(header.metadata.tokens["0"], mac=b"")
    blanked = attrs.evolve(header.metadata, tokens={"0": token})
    assert volume.keys.seal is not None
    assert (
        example.items()
        >= {
            "volume id": volume.volume_id,
            "generation": str(header.generation),
            "UUID": header.uuid,
            "sequence id": str(header.seqid),
            "passphrase": volume.keys.passphrase.reveal().hex(),
            "MAC key": volume.keys.seal.key.reveal().hex(),
            "document with an empty MAC": blanked.to_bytes().decode(),
            "SHA-256 of the keyslot area": hashlib.sha256(header.area).hexdigest(),
            "MAC": header.metadata.tokens["0"].mac.hex(),
        }.items()
    )


def test_the_keys_of_the_example_are_what_the_code_derives(example: dict[str, str]) -> None:
    data_key = Secret(bytes.fromhex(example["data key"]))
    keys = derive(data_key, example["volume id"], int(example["generation"]))
    assert (example["passphrase"], example["MAC key"]) == (
        keys.passphrase.reveal().hex(),
        keys.seal.key.reveal().hex(),
    )


def test_the_token_on_the_page_is_that_of_the_example(example: dict[str, str]) -> None:
    page = (REFERENCE / "sealed-header.md").read_text()
    (text,) = re.findall(r"```json\n(.*?)\n```", page)
    volume = sample_volume(CLOUDCRYPT_V1)
    document = json.loads(parse(read_header(volume.disk())).json_text)
    assert text == json.dumps(document["tokens"]["0"], separators=(",", ":"))
    assert example["MAC"] == base64.b64decode(json.loads(text)["mac"]).hex()


# --- attacks ---


def rows() -> dict[int, list[str]]:
    """Return the cells of each row of the table of attacks."""
    page = (REFERENCE / "attacks.md").read_text()
    table = page[page.index("| row | attack |") :]
    lines = re.findall(r"(?m)^\| *(\d+) *\|(.*)\|$", table)
    return {int(number): [cell.strip() for cell in rest.split(" | ")] for number, rest in lines}


def steps(row: int, policy: KeyPolicy) -> str:
    found = {int(a.step) for a in ATTACKS if a.row == row and policy in a.policies}
    return ", ".join(map(str, sorted(found))) or "-"


def files(row: int) -> str:
    found = [name for name, each in MODULES.items() if any(a.row == row for a in each.ATTACKS)]
    return ", ".join(f"`attacks/{name}.py`" for name in found)


def test_the_page_has_a_row_for_every_attack_that_is_kept_or_explained() -> None:
    kept = {attack.row for attack in ATTACKS}
    assert sorted(kept | set(BEHAVIOURS) | set(NOT_THE_HEADER)) == list(rows())


@pytest.mark.parametrize("row", sorted({attack.row for attack in ATTACKS}))
def test_a_row_names_the_steps_that_refuse_and_the_file_of_its_cases(row: int) -> None:
    _, bound, constellation, kept = rows()[row]
    assert steps(row, KeyPolicy.BOUND) == bound
    assert steps(row, KeyPolicy.CONSTELLATION) == constellation
    assert files(row) == kept


def test_the_steps_on_the_page_are_those_of_the_code() -> None:
    page = (REFERENCE / "attacks.md").read_text()
    table = page[: page.index("| row | attack |")]
    found = re.findall(r"(?m)^\| (\d+) \| (\w+) \|", table)
    assert [(str(int(step)), step.name) for step in Step] == found


def test_the_example_of_the_page_runs() -> None:
    page = (REFERENCE / "attacks.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(compile(code, "attacks.md", "exec"), namespace)  # noqa: S102  # our own page
    assert "header" in namespace
