"""With every key service: a volume opens in another process, and no key is seen from outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from cloudcrypt.errors import CloudcryptError, DataKeyAbsent
from cloudcrypt.keys import bound_key_id, get_data_key
from tests.contract.key_jobs import (
    CONTENT,
    KEY,
    SALT,
    SERVICES,
    Service,
    files,
    leaks,
    of_process,
    opened,
    record_of,
    secrets_of,
    spellings,
    stored,
    the_job,
    work,
)

SECRET = bytes(range(0xC0, 0xE0))


def _name(service: Service) -> str:
    return service.name


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Folders of the services, of the job, and for temporary files of its processes."""
    found = tmp_path / "services", tmp_path / "job", tmp_path / "temporary"
    for folder in found:
        folder.mkdir()
    return found


@pytest.mark.parametrize("service", SERVICES, ids=_name)
def test_what_a_process_wrote_another_one_reads_and_nobody_sees_a_key(
    service: Service, folders: tuple[Path, Path, Path]
) -> None:
    services, job, temporary = folders
    with service.running(services) as url:
        first = work(url, job, temporary)
        second = work(url, job, temporary)
        secrets = secrets_of(url, job)
        kept = stored(url, job)
    assert CONTENT.decode() not in first.found
    assert CONTENT.decode() == second.found
    assert "opened with" in (job / "log").read_text()
    # What a store has is there for everybody to see; an audit log and certificates are among files.
    assert bool(kept) is not service.derives
    assert leaks(secrets, {**kept, **files(services)}) == []
    if service.derives:  # which a file among those of the service holds
        secrets |= {"master secret": KEY, "salt": SALT}
    assert leaks(secrets, first.outside) == []
    assert leaks(secrets, second.outside) == []


@pytest.mark.parametrize("service", SERVICES, ids=_name)
def test_the_key_of_another_service_opens_nothing_and_changes_nothing(
    service: Service, folders: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    services, job, _ = folders
    (tmp_path / "others").mkdir()
    other = "fake-kms://other?root=text&store=sqlite://" + str(tmp_path / "others" / "keys.db")
    with service.running(services) as url:
        with the_job(url, job) as payload:
            payload.write(CONTENT)
        before = files(job / "volumes")
        with pytest.raises(DataKeyAbsent), the_job(other, job):
            pass
        with opened(other) as keys:
            get_data_key(keys, bound_key_id(record_of(job).volume_id)).wipe()
        with pytest.raises(CloudcryptError, match="header refused"), the_job(other, job):
            pass
        images = {name: content for name, content in before.items() if len(content) > 2**20}
        assert images
        assert images == {name: files(job / "volumes")[name] for name in images}
        with the_job(url, job) as payload:
            assert CONTENT == payload.read(len(CONTENT))


@pytest.mark.parametrize("spelling", sorted(spellings(SECRET)))
@pytest.mark.parametrize("place", ["cmdline", "environ", "file"])
def test_the_search_finds_what_is_planted(place: str, spelling: str, tmp_path: Path) -> None:
    # In between other text, as it would be in a log.
    text = b"<" + spellings(SECRET)[spelling] + b">"
    argument = [text] if place == "cmdline" else []
    environment = {b"PLANTED": text} if place == "environ" else {}
    if place == "file":
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "file").write_bytes(bytes(3 * 2**20) + text)
    with subprocess.Popen(
        [sys.executable, "-c", "input('ready')", *argument],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        outside = {**of_process(process.pid), **files(tmp_path)}
        process.communicate(b"\n")
    found = leaks({"secret": SECRET}, outside)
    where = str(tmp_path / "sub" / "file") if place == "file" else f"/proc {place}"
    assert ("secret", spelling, where) in found
