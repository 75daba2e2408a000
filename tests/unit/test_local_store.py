"""Opening the store of the local provider: URLs, directories, schema, and other processes."""

import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cloudcrypt.errors import HostUnready, InvalidRequest, ProviderUnavailable
from cloudcrypt.spi import CreateVolume, perform
from cloudcrypt_local import LocalProvider


def test_an_absolute_url_is_that_directory(tmp_path: Path) -> None:
    provider = LocalProvider.from_url(f"local://{tmp_path}/store")
    assert provider.url == f"local://{tmp_path}/store"
    assert (tmp_path / "store" / "store.sqlite").exists()


def test_a_relative_url_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert LocalProvider.from_url("local://some/store").url == f"local://{tmp_path}/some/store"


def test_a_store_is_one_namespace_wherever_it_is(tmp_path: Path) -> None:
    namespace = LocalProvider(tmp_path / "store").namespace
    (tmp_path / "store").rename(tmp_path / "moved")
    (tmp_path / "link").symlink_to("moved")
    assert LocalProvider(tmp_path / "link").namespace == namespace
    assert LocalProvider(tmp_path / "store").namespace != namespace


@pytest.mark.parametrize("name", ["white space", "100%", "what?", "#1", "ümlaut", "%2e"])
def test_the_url_of_any_directory_opens_it_again(tmp_path: Path, name: str) -> None:
    provider = LocalProvider(tmp_path / name)
    again = LocalProvider.from_url(provider.url)
    assert again.url == provider.url
    assert (tmp_path / name / "store.sqlite").exists()


@pytest.mark.parametrize(
    "url",
    ["local://", "local:///x?y=1", "local:///x#y", "local:///x%00", "local:/x", "aws://x", "/x"],
)
def test_what_is_not_a_local_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        LocalProvider.from_url(url)
    assert (caught.value.parameter, caught.value.value) == ("url", url)


def test_a_directory_that_holds_something_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    tmp_path.chmod(0o755)
    with pytest.raises(InvalidRequest, match="empty directory"):
        LocalProvider(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_an_empty_directory_becomes_a_private_store(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()  # of a file system just made
    tmp_path.chmod(0o755)
    LocalProvider(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_path_that_is_no_directory_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidRequest, match="not a directory"):
        LocalProvider(tmp_path / path)


def test_an_initialisation_that_was_cut_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    assert list(LocalProvider(tmp_path).list()) == []


def test_an_empty_sqlite_file_among_foreign_files_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InvalidRequest, match="empty directory"):
        LocalProvider(tmp_path)
    assert (tmp_path / "store.sqlite").stat().st_size == 0


def test_the_sqlite_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(InvalidRequest, match="another program"):
        LocalProvider(tmp_path)


def test_a_store_of_another_schema_version_names_the_version(tmp_path: Path) -> None:
    LocalProvider(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(HostUnready, match="schema version 3"):
        LocalProvider(tmp_path)


def test_a_damaged_store_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(ProviderUnavailable) as caught:
        LocalProvider(tmp_path)
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_a_store_whose_file_is_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProviderUnavailable):
        LocalProvider(tmp_path / "store")
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_that_went_away_is_unavailable(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "moved")
    with pytest.raises(ProviderUnavailable):
        provider.begin(CreateVolume("t", "n", 4096))
    assert not (tmp_path / "store").exists()


def test_ids_name_the_store_and_moving_its_directory_keeps_them(tmp_path: Path) -> None:
    volume = perform(LocalProvider(tmp_path / "a"), CreateVolume("t", "n", 4096))
    os.rename(tmp_path / "a", tmp_path / "b")  # noqa: PTH104 - the directory moves, the text not
    assert LocalProvider(tmp_path / "b").get(volume.id) == volume


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    with closing(sqlite3.connect(directory / "store.sqlite", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def test_a_store_that_others_keep_locked_is_unavailable_and_retryable(tmp_path: Path) -> None:
    provider = LocalProvider(tmp_path, busy_timeout=0)
    with _locked(tmp_path):
        with pytest.raises(ProviderUnavailable, match="locked") as caught:
            provider.begin(CreateVolume("t", "n", 4096))
        with pytest.raises(ProviderUnavailable, match="locked"):
            list(provider.list())
    assert caught.value.retryable
    assert perform(provider, CreateVolume("t", "n", 4096)).size == 4096
