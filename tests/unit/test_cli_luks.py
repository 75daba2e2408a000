"""``cloudcrypt luks``, as a user types it."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from cloudcrypt.cli import main
from cloudcrypt.ledger import SqliteLedger
from cloudcrypt.luks2 import layout
from cloudcrypt.sizes import KIB, MIB

KEY, SALT = bytes(range(32)), bytes(range(32, 64))
PAYLOAD = 24 * MIB - layout.DATA_OFFSET


@attrs.frozen
class Shell:
    """A folder with a master secret and a blank image, and a way to type commands."""

    folder: Path
    image: Path

    def run(self, *words: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(main, ["luks", *words], input=stdin)

    def on_image(self, verb: str, *words: str, volume_id: str = "vol-1") -> Result:
        secret = str(self.folder / "secret.json")
        common = ["--volume-id", volume_id, "--master-secret", secret]
        return self.run(verb, str(self.image), *common, *words)

    def document(self, verb: str, *words: str, volume_id: str = "vol-1") -> dict[str, object]:
        result = self.on_image(verb, "--json", *words, volume_id=volume_id)
        assert result.exit_code == 0, result.output
        document: dict[str, object] = json.loads(result.stdout)
        return document

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def error(self, result: Result) -> dict[str, object]:
        document: dict[str, dict[str, object]] = json.loads(result.stderr)
        return document["error"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    secret = {"key": base64.b64encode(KEY).decode(), "salt": base64.b64encode(SALT).decode()}
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    return Shell(tmp_path, image)


@pytest.fixture
def formatted(shell: Shell) -> Shell:
    assert shell.on_image("format").exit_code == 0
    return shell


def test_a_formatted_image_verifies(formatted: Shell) -> None:
    document = formatted.document("verify")
    assert document["verified"] is True
    assert document["generation"] == 1
    assert document["payload"] == PAYLOAD


def test_verification_writes_nothing(formatted: Shell) -> None:
    before = formatted.image.read_bytes()
    formatted.document("verify")
    assert before == formatted.image.read_bytes()


def test_formatting_refuses_what_is_not_blank_and_leaves_it_alone(shell: Shell) -> None:
    with shell.image.open("r+b") as file:
        file.seek(20 * MIB)
        file.write(b"precious")
    before = shell.image.read_bytes()
    result = shell.on_image("format", "--json")
    assert result.exit_code == 5
    assert shell.error(result)["type"] == "DeviceNotBlank"
    assert before == shell.image.read_bytes()


def test_formatting_twice_is_refused_without_a_ledger(formatted: Shell) -> None:
    before = formatted.image.read_bytes()
    assert formatted.on_image("format").exit_code == 5
    assert before == formatted.image.read_bytes()


def test_formatting_twice_with_a_ledger_leaves_the_volume_as_it_is(shell: Shell) -> None:
    ledger = ["--ledger", shell.file("ledger.db")]
    first = shell.document("format", *ledger)
    before = shell.image.read_bytes()
    assert first == shell.document("format", *ledger)
    assert before == shell.image.read_bytes()


def test_with_a_ledger_a_blanked_disk_is_not_formatted_again(shell: Shell) -> None:
    ledger = ["--ledger", shell.file("ledger.db")]
    shell.document("format", *ledger)
    shell.image.write_bytes(bytes(24 * MIB))
    result = shell.on_image("format", "--json", *ledger)
    assert result.exit_code == 3
    assert shell.error(result)["step_name"] == "BINARY"


def test_a_refused_format_leaves_the_volume_id_free(shell: Shell) -> None:
    ledger = ["--ledger", shell.file("ledger.db")]
    shell.image.write_bytes(b"precious".ljust(24 * MIB, b"\0"))
    assert shell.on_image("format", "--integrity", *ledger).exit_code == 5
    shell.image.write_bytes(bytes(24 * MIB))
    assert shell.on_image("format", *ledger).exit_code == 0


def test_an_image_too_small_for_integrity_is_refused_and_left_alone(shell: Shell) -> None:
    size = layout.DATA_OFFSET + 264 * KIB  # one sector without integrity, none with it
    shell.image.write_bytes(bytes(size))
    result = shell.on_image("format", "--integrity", "--json")
    assert (result.exit_code, shell.error(result)["type"]) == (2, "InvalidRequest")
    assert bytes(size) == shell.image.read_bytes()


@pytest.mark.parametrize(
    ("words", "volume_id", "step"),
    [
        (["--integrity"], "vol-1", "MODE"),
        (["--generation", "2"], "vol-1", "TOKEN"),
        (["--policy", "constellation"], "vol-1", "TOKEN"),
        ([], "vol-2", "SEAL"),
    ],
)
def test_another_expectation_is_refused_and_the_step_named(
    formatted: Shell, words: list[str], volume_id: str, step: str
) -> None:
    result = formatted.on_image("verify", "--json", *words, volume_id=volume_id)
    assert result.exit_code == 3
    assert formatted.error(result)["step_name"] == step


def test_another_master_secret_is_refused(formatted: Shell) -> None:
    other = {"key": base64.b64encode(SALT).decode(), "salt": base64.b64encode(KEY).decode()}
    (formatted.folder / "secret.json").write_text(json.dumps(other))
    result = formatted.on_image("verify", "--json")
    assert (result.exit_code, formatted.error(result)["step_name"]) == (3, "SEAL")


def test_the_policy_constellation_formats_and_verifies(shell: Shell) -> None:
    shell.document("format", "--policy", "constellation")
    assert shell.document("verify", "--policy", "constellation")["policy"] == "constellation"
    assert shell.on_image("verify").exit_code == 3


def test_inspection_needs_no_key_and_shows_every_field(formatted: Shell) -> None:
    result = formatted.run("inspect", str(formatted.image), "--json")
    document = json.loads(result.stdout)
    assert document["agrees"] is True
    fields = {field["field"]: field for field in document["fields"]}
    assert fields["keyslots.0.kdf.time"]["found"] == "3"
    assert fields["segments.0.encryption"]["found"] == "'aes-xts-plain64'"


def test_inspection_points_at_what_is_not_the_profile(formatted: Shell) -> None:
    result = formatted.run("inspect", str(formatted.image), "--policy", "constellation")
    assert result.exit_code == 0
    assert "fields differ from profile constellation" in result.stdout
    assert "tokens.0.mac" in result.stdout


def test_what_was_imported_is_exported(formatted: Shell) -> None:
    content = os.urandom(PAYLOAD - 4097)
    (formatted.folder / "in").write_bytes(content)
    imported = formatted.document("import", "--input", formatted.file("in"))
    assert imported["imported"] == len(content)
    exported = formatted.document("export", "--output", formatted.file("out"))
    assert exported["exported"] == PAYLOAD
    assert content == (formatted.folder / "out").read_bytes()[: len(content)]
    assert (formatted.folder / "out").stat().st_mode & 0o777 == 0o600


def test_a_stream_goes_in_and_out(formatted: Shell) -> None:
    secret = ["--volume-id", "vol-1", "--master-secret", formatted.file("secret.json")]
    words = ["import", str(formatted.image), *secret, "--input", "-"]
    assert formatted.run(*words, stdin=b"streamed").exit_code == 0
    result = formatted.on_image("export", "--output", "-")
    assert result.stdout_bytes[:8] == b"streamed"
    assert len(result.stdout_bytes) == PAYLOAD


def test_an_input_longer_than_the_payload_is_refused_before_anything_is_written(
    formatted: Shell,
) -> None:
    (formatted.folder / "in").write_bytes(bytes(PAYLOAD + 1))
    before = formatted.image.read_bytes()
    result = formatted.on_image("import", "--input", formatted.file("in"))
    assert result.exit_code == 2
    assert before == formatted.image.read_bytes()


def test_a_stream_longer_than_the_payload_is_an_error(formatted: Shell) -> None:
    secret = ["--volume-id", "vol-1", "--master-secret", formatted.file("secret.json")]
    words = ["import", str(formatted.image), *secret, "--input", "-"]
    assert formatted.run(*words, stdin=bytes(PAYLOAD + 1)).exit_code == 2


def test_a_missing_input_is_an_error_of_its_own(formatted: Shell) -> None:
    result = formatted.on_image("import", "--input", formatted.file("absent"))
    assert (result.exit_code, "No such file" in result.stderr) == (5, True)


@pytest.mark.parametrize("verb", ["export", "header-backup"])
def test_an_existing_file_is_never_overwritten(formatted: Shell, verb: str) -> None:
    (formatted.folder / "out").write_bytes(b"precious")
    assert formatted.on_image(verb, "--output", formatted.file("out")).exit_code == 2
    assert (formatted.folder / "out").read_bytes() == b"precious"


@pytest.mark.parametrize("verb", ["export", "header-backup"])
def test_an_output_in_no_folder_is_an_error(formatted: Shell, verb: str) -> None:
    where = formatted.file("absent/out")
    assert formatted.on_image(verb, "--output", where).exit_code == 5


def test_rotation_moves_to_the_next_generation_and_the_old_one_is_refused(
    formatted: Shell,
) -> None:
    assert formatted.document("rotate", "--to", "2")["generation"] == 2
    assert formatted.on_image("verify").exit_code == 3
    assert formatted.document("verify", "--generation", "2")["verified"] is True


def test_rotation_without_a_ledger_is_idempotent_by_the_generation_it_starts_from(
    formatted: Shell,
) -> None:
    for _ in range(2):
        assert formatted.document("rotate", "--generation", "1")["generation"] == 2
    assert formatted.document("rotate", "--generation", "2")["generation"] == 3


def test_rotation_with_a_ledger_goes_on_from_what_it_says(shell: Shell) -> None:
    ledger = ["--ledger", shell.file("ledger.db")]
    shell.document("format", *ledger)
    assert shell.document("rotate", *ledger)["generation"] == 2
    assert shell.document("rotate", "--to", "3", *ledger)["generation"] == 3
    assert shell.document("rotate", "--to", "3", *ledger)["generation"] == 3
    assert shell.document("verify", *ledger)["generation"] == 3


def test_rotation_puts_a_volume_into_a_ledger_that_does_not_know_it(formatted: Shell) -> None:
    ledger = ["--ledger", formatted.file("ledger.db")]
    SqliteLedger(ledger[1]).close()
    assert formatted.document("rotate", *ledger)["generation"] == 2
    assert formatted.document("verify", *ledger)["generation"] == 2


def test_rotation_without_a_ledger_needs_a_generation(formatted: Shell) -> None:
    before = formatted.image.read_bytes()
    assert formatted.on_image("rotate").exit_code == 2
    assert before == formatted.image.read_bytes()


@pytest.mark.parametrize("verb", ["verify", "rotate"])
def test_a_ledger_that_does_not_exist_is_not_made_by_accident(formatted: Shell, verb: str) -> None:
    missing = formatted.file("absent/ledger.db")
    assert formatted.on_image(verb, "--ledger", missing).exit_code == 2
    assert not Path(missing).parent.exists()


def test_a_copy_is_rebound_to_its_own_volume_id(formatted: Shell) -> None:
    document = formatted.document("rebind", "--origin", "vol-1", volume_id="vol-2")
    assert document["volume_id"] == "vol-2"
    assert formatted.document("verify", volume_id="vol-2")["verified"] is True
    assert formatted.on_image("verify").exit_code == 3


def test_rebinding_goes_by_the_ledger_where_it_knows_the_origin(shell: Shell) -> None:
    ledger = ["--ledger", shell.file("ledger.db")]
    shell.document("format", *ledger)
    shell.document("rotate", *ledger)
    words = ["--origin", "vol-1", "--kind", "clone", *ledger]
    assert shell.document("rebind", *words, volume_id="vol-2")["generation"] == 1


def test_a_header_backup_is_restored_over_a_destroyed_header(formatted: Shell) -> None:
    formatted.document("header-backup", "--output", formatted.file("backup"))
    assert (formatted.folder / "backup").stat().st_size == layout.DATA_OFFSET
    with formatted.image.open("r+b") as file:
        file.write(bytes(64 * 1024))
    assert formatted.on_image("verify").exit_code == 3
    formatted.document("header-restore", "--input", formatted.file("backup"))
    assert formatted.document("verify")["verified"] is True


def test_a_header_backup_of_an_older_generation_is_refused(formatted: Shell) -> None:
    formatted.document("header-backup", "--output", formatted.file("backup"))
    formatted.document("rotate", "--to", "2")
    before = formatted.image.read_bytes()
    words = ["--generation", "2", "--input", formatted.file("backup")]
    assert formatted.on_image("header-restore", *words).exit_code == 3
    assert before == formatted.image.read_bytes()


def test_a_missing_header_backup_is_an_error(formatted: Shell) -> None:
    result = formatted.on_image("header-restore", "--input", formatted.file("absent"))
    assert result.exit_code == 5


def test_an_image_that_does_not_exist_is_an_error_with_a_remedy(shell: Shell) -> None:
    shell.image.unlink()
    result = shell.on_image("verify")
    assert result.exit_code == 5
    assert "remedy:" in result.stderr


def test_a_malformed_volume_id_is_refused(shell: Shell) -> None:
    assert shell.on_image("format", volume_id="white space").exit_code == 2


def test_a_missing_master_secret_is_an_error_of_keys(shell: Shell) -> None:
    (shell.folder / "secret.json").unlink()
    assert shell.on_image("format").exit_code == 4


Command = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def process(shell: Shell) -> Command:
    """Return a function that runs ``cloudcrypt luks passphrase`` as a process of its own."""

    def run(*words: str, pass_fds: tuple[int, ...] = ()) -> "subprocess.CompletedProcess[bytes]":
        command = [sys.executable, "-m", "cloudcrypt", "luks", "passphrase"]
        common = ["--volume-id", "vol-1", "--master-secret", shell.file("secret.json")]
        return subprocess.run(
            [*command, *common, *words], check=False, capture_output=True, pass_fds=pass_fds
        )

    return run


def test_the_passphrase_goes_to_the_file_descriptor_that_is_named(process: Command) -> None:
    reader, writer = os.pipe()
    result = process("--output-fd", str(writer), pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        passphrase = pipe.read()
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert len(passphrase) == 32
    assert passphrase == process("--output-fd", "1").stdout


def test_each_generation_and_policy_has_a_passphrase_of_its_own(process: Command) -> None:
    uuid = "00000000-0000-0000-0000-000000000000"
    found = {
        process("--output-fd", "1").stdout,
        process("--output-fd", "1", "--generation", "2").stdout,
        process("--output-fd", "1", "--policy", "constellation", "--uuid", uuid).stdout,
    }
    assert [len(passphrase) for passphrase in found] == [32, 32, 32]


def test_the_policy_constellation_needs_the_uuid_of_the_header(process: Command) -> None:
    result = process("--output-fd", "1", "--policy", "constellation")
    assert (result.returncode, result.stdout) == (2, b"")


def test_a_file_descriptor_that_is_not_open_is_refused(process: Command) -> None:
    assert process("--output-fd", "77").returncode == 2


def test_a_terminal_gets_no_passphrase(process: Command) -> None:
    controller, terminal = os.openpty()
    try:
        assert process("--output-fd", str(terminal), pass_fds=(terminal,)).returncode == 2
    finally:
        os.close(controller)
        os.close(terminal)
