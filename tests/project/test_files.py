"""Rules about the files of the project that no linter knows."""

import pkgutil
import re
from pathlib import Path

import pytest

LONGEST = 400  # lines of one Python file: CONTRIBUTING.md, habit 1

ENTRY_POINT_GROUPS = {
    "cloudcrypt.key_services",
    "cloudcrypt.key_stores",
    "cloudcrypt.offline",
    "cloudcrypt.providers",
}

# Each is written so that it does not find itself.
FORBIDDEN = {
    "a path of somebody's machine": rb"(?<![\w./-])/(?:home/\w+|root|Users|work|workspace)/",
    "an address of a package index": rb"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian",
    "an option that names an index": rb"--(?:extra-)?index[-]url|--find[-]links",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str, project_files: list[Path], root: Path) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{path.relative_to(root)}: {match.group().decode()}"
        for path in project_files
        for match in pattern.finditer(path.read_bytes())
    ]
    assert found == []


def test_no_python_file_is_longer_than_a_reader_can_hold(
    project_files: list[Path], root: Path
) -> None:
    lengths = {
        str(path.relative_to(root)): len(path.read_text().splitlines())
        for path in project_files
        if path.suffix == ".py"
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def adrs(root: Path) -> list[Path]:
    return sorted((root / "docs" / "adr").glob("[0-9]*.md"))


def test_every_decision_is_linked_from_the_index(root: Path) -> None:
    index = (root / "docs" / "adr" / "index.md").read_text()
    assert [path.name for path in adrs(root) if f"({path.name})" not in index] == []


def test_decisions_are_numbered_without_gaps(root: Path) -> None:
    numbers = [int(path.name[:4]) for path in adrs(root)]
    assert list(range(len(numbers))) == numbers


def test_every_decision_has_the_sections_of_the_template(root: Path) -> None:
    found = {path.name: re.findall(r"(?m)^## (.+)$", path.read_text()) for path in adrs(root)}
    assert dict.fromkeys(found, found["0000-template.md"]) == found


def makefile_targets(root: Path) -> set[str]:
    phony = re.search(r"^\.PHONY: (.+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    return set(phony[1].split())


def test_every_make_target_says_what_it_does(root: Path) -> None:
    described = re.findall(r"^([a-z-]+):.*## .+$", (root / "Makefile").read_text(), re.MULTILINE)
    assert makefile_targets(root) == set(described)


def test_every_make_target_is_in_the_contributors_guide(root: Path) -> None:
    named = re.findall(r"`make ([a-z-]+)`", (root / "CONTRIBUTING.md").read_text())
    assert set() == makefile_targets(root) - {"help"} - set(named)


NAMED = re.compile(r"`((?:cloudcrypt|cloudcrypt_local|cloudcrypt_testing)(?:\.\w+)+)(?:\(\))?`")


def test_every_name_of_ours_that_a_text_mentions_exists(
    project_files: list[Path], root: Path
) -> None:
    mentions = [
        (name, str(path.relative_to(root)))
        for path in project_files
        if path.suffix in {".py", ".md"} and "project" not in path.parts
        for name in NAMED.findall(path.read_text())
        if name not in ENTRY_POINT_GROUPS
    ]
    assert [] == [f"{where}: {name}" for name, where in mentions if not exists(name)]


def exists(name: str) -> bool:
    """Say whether a dotted name is a module, or an attribute of one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
