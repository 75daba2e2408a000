"""The main job in processes of their own, with any key service, and a search for what leaks."""

import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs

from cloudcrypt import SqliteJournal, VolumeRequest, encrypted_volume, luks2
from cloudcrypt.disk import FileDisk
from cloudcrypt.keys import (
    EnvelopeKeyService,
    OpenKeyService,
    bound_key_id,
    get_data_key,
    open_key_service,
)
from cloudcrypt.keys.external import KMS_GROUP
from cloudcrypt.keys.wrapped import WrappedKey
from cloudcrypt.ledger import Record, SqliteLedger
from cloudcrypt.plugins import installed
from cloudcrypt.profiles import CLOUDCRYPT_V1
from cloudcrypt.sizes import MIB
from cloudcrypt.stage.world import expectation_of
from cloudcrypt_local import LocalProvider
from cloudcrypt_testing.fake_kms import ENTRY_POINT
from tests.contract.key_race_cases import CASES
from tests.unit.key_servers import master_secret_json, master_secret_uri
from tests.unit.key_servers import running as key_server

ROOT = Path(__file__).parents[2]
REQUEST = VolumeRequest("data", size=40 * MIB)
CONTENT = b"written by one process, read by another one"
PROGRAM = "from tests.contract.key_jobs import child; child()"
PATIENCE = 120.0  # seconds; what takes longer hangs
_LOGGER = logging.getLogger(__name__)
KEY, SALT = bytes(range(0x80, 0xA0)), bytes(range(0xA0, 0xC0))


# --- key services, by URL ---


@attrs.frozen
class Service:
    """A key service: ``running`` starts it anew and yields its URL, with files in a folder."""

    name: str
    running: Callable[[Path], AbstractContextManager[str]]
    derives: bool = False
    """Whether its keys come from the master secret of `KEY` and `SALT`."""


@contextmanager
def _file(folder: Path) -> Generator[str]:
    path = folder / "secret.json"
    path.touch(mode=0o600)
    path.write_text(master_secret_json(KEY, SALT))
    yield f"file://{path}"


@contextmanager
def _uri(_: Path) -> Generator[str]:
    yield master_secret_uri(KEY, SALT)


@contextmanager
def _plain(folder: Path) -> Generator[str]:
    with (
        open_key_service(master_secret_uri(KEY, SALT)) as keys,
        key_server(folder, secure=False, keys=keys) as server,
    ):
        yield server.url(timeout="60")


@contextmanager
def _mutual(folder: Path) -> Generator[str]:
    with (
        open_key_service(master_secret_uri(KEY, SALT)) as keys,
        key_server(folder, keys=keys) as server,
    ):
        yield server.url(timeout="60")


def _pair(running: Callable[[Path], AbstractContextManager[Any]]) -> Any:
    @contextmanager
    def url(folder: Path) -> Generator[str]:
        with running(folder) as services:
            yield services.url

    return url


SERVICES = [
    Service("a file", _file, derives=True),
    Service("a URI", _uri, derives=True),
    Service("gRPC", _plain, derives=True),
    Service("gRPC, mutual TLS", _mutual, derives=True),
    *(Service(case.name, _pair(case.running)) for case in CASES),
]
"""All that a URL can name: derived keys here, over gRPC, and each pair of a KMS and a store."""


def opened(url: str) -> OpenKeyService:
    """Return the key service of a URL; the fake KMS of cloudcrypt_testing is among those known."""
    return open_key_service(url, kms={**installed(KMS_GROUP), ENTRY_POINT.name: ENTRY_POINT})


# --- the process that does the job ---


@contextmanager
def the_job(url: str, folder: Path) -> Generator[Any]:
    """Create or find, attach, format if new, and open the volume; yield its payload."""
    provider = LocalProvider(folder / "volumes")
    with (
        opened(url) as keys,
        closing(SqliteLedger(folder / "ledger.db")) as ledger,
        closing(SqliteJournal(folder / "journal.db")) as journal,
        encrypted_volume(
            provider, REQUEST, instance="node-1", keys=keys, ledger=ledger, journal=journal
        ) as payload,
    ):
        _LOGGER.debug("%r, opened with %r", payload, keys)
        yield payload


def child() -> None:
    """Do the job that a line of standard input asks for, and wait for another line within it."""
    asked = json.loads(sys.stdin.readline())
    logging.basicConfig(filename=asked["log"], level=logging.DEBUG, force=True)
    folder = Path(asked["folder"])
    with the_job(asked["url"], folder) as payload:
        found = payload.read(len(CONTENT))
        payload.seek(0)
        payload.write(CONTENT)
        print(json.dumps({"found": found.decode("ascii", "replace")}), flush=True)  # noqa: T201
        sys.stdin.readline()


@attrs.frozen
class Seen:
    """What a process found in the volume, and what could be seen of it from outside."""

    found: str
    outside: dict[str, bytes]


def work(url: str, folder: Path, temporary: Path) -> Seen:
    """Have a process do the job; look at it while it has the volume open, and when it is over."""
    log = folder / "log"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # By a pipe: the URL may hold secrets, which argv and environment would show.
        process.stdin.write(json.dumps({"url": url, "folder": str(folder), "log": str(log)}) + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        assert said, process.communicate()[1]
        outside = of_process(process.pid)
        out, error = process.communicate("go on\n", timeout=PATIENCE)
    assert process.returncode == 0, error
    outside |= {"stdout": (said + out).encode(), "stderr": error.encode()}
    outside |= files(folder) | files(temporary)
    return Seen(json.loads(said)["found"], outside)


def of_process(pid: int) -> dict[str, bytes]:
    """Return what other processes of the user can read of a process, memory apart."""
    proc = Path(f"/proc/{pid}")
    texts = ("cmdline", "environ", "comm", "status", "maps", "mountinfo")
    seen = {f"/proc {name}": (proc / name).read_bytes() for name in texts}
    for link in (proc / "fd").iterdir():
        seen[f"/proc fd {link.name}"] = os.fsencode(link.readlink())
    return seen


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder; a disk image without its long holes."""
    return {
        str(path): b"".join(_pieces(path)) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(MIB):
            yield piece if any(piece) else b"\0"


def stored(url: str, folder: Path) -> dict[str, bytes]:
    """Return the blob that a store has for the job's volume, and what is wrapped in it, if any."""
    key_id = bound_key_id(record_of(folder).volume_id)
    with opened(url) as service:
        if not isinstance(service, EnvelopeKeyService):
            return {}
        blob = service.store.get(key_id)
        assert blob is not None
        return {"blob": blob, "wrapped": WrappedKey.from_bytes(key_id, blob).wrapped}


# --- the search ---


def record_of(folder: Path) -> Record:
    """Return what the ledger of a job knows of its volume."""
    with closing(SqliteLedger(folder / "ledger.db")) as ledger:
        (record,) = ledger.records()
        return record


def secrets_of(url: str, folder: Path) -> dict[str, bytes]:
    """Return the secrets of the job's volume, found out by this process."""
    record = record_of(folder)
    image = max((folder / "volumes").rglob("*"), key=lambda path: path.stat().st_size)
    with (
        opened(url) as service,
        get_data_key(service, bound_key_id(record.volume_id), existing=True) as data_key,
    ):
        keys = luks2.derive(data_key, record.volume_id, record.generation)
        with FileDisk(image) as disk:
            header = luks2.parse(luks2.read_header(disk))
        verified = luks2.verify(header, CLOUDCRYPT_V1, expectation_of(record), keys.seal)
        with luks2.unlock(verified, keys.passphrase) as volume:
            return {
                "data key": bytes(data_key.reveal()),
                "passphrase": bytes(keys.passphrase.reveal()),
                "seal key": bytes(keys.seal.key.reveal()),
                "volume key": bytes(volume.volume_key.reveal()),
                "volume key, its end": bytes(volume.volume_key.reveal()[32:]),
            }


def spellings(secret: bytes) -> dict[str, bytes]:
    """Return the ways in which bytes get into a text; Base64 whatever stands before them."""
    found = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "spaced hex": secret.hex(" ").encode(),
        "escaped": "".join(f"\\x{byte:02x}" for byte in secret).encode(),
        "repr": repr(secret)[2:-1].encode(),
        "list": str(list(secret))[1:-1].encode(),
        "compact list": str(list(secret))[1:-1].replace(" ", "").encode(),
        "percent": "".join(f"%{byte:02X}" for byte in secret).encode(),
    }
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + secret)
        # The first and the last characters depend on what stands beside the secret, too.
        inner = text[4 if offset else 0 : len(text) - len(text) % 4 - 4]
        found[f"base64 at {offset}"] = inner
        found[f"base64url at {offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def leaks(secrets: dict[str, bytes], outside: dict[str, bytes]) -> list[tuple[str, str, str]]:
    """Return which secret, in which spelling, is found where."""
    return [
        (name, spelling, where)
        for name, secret in secrets.items()
        for spelling, text in spellings(secret).items()
        for where, content in outside.items()
        if text in content
    ]
