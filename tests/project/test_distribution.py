"""The wheel holds the packages and nothing else; the sdist all that it takes to build and test."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.archives import Archives

PACKAGES = {
    "cloudcrypt": "cloudcrypt",
    "cloudcrypt_aws": "providers/cloudcrypt_aws",
    "cloudcrypt_azure": "providers/cloudcrypt_azure",
    "cloudcrypt_gcp": "providers/cloudcrypt_gcp",
    "cloudcrypt_local": "providers/cloudcrypt_local",
    "cloudcrypt_testing": "moto_fixtures/cloudcrypt_testing",
    "cloudcrypt_vault": "providers/cloudcrypt_vault",
}


def test_the_wheel_holds_the_packages_and_its_metadata_only(archives: Archives) -> None:
    tops = {name.partition("/")[0] for name in archives.wheel_names()}
    assert {*PACKAGES, "cloudcrypt-0.1.0.dist-info"} == tops


@pytest.mark.parametrize(("package", "folder"), PACKAGES.items())
def test_the_wheel_holds_every_file_of_a_package(
    archives: Archives, root: Path, package: str, folder: str
) -> None:
    source = root / folder
    expected = {
        f"{package}/{path.relative_to(source)}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    actual = {name for name in archives.wheel_names() if name.startswith(f"{package}/")}
    assert expected == actual


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_that_it_is_typed(archives: Archives, package: str) -> None:
    assert f"{package}/py.typed" in archives.wheel_names()


def test_the_wheel_carries_the_licence(archives: Archives) -> None:
    assert "cloudcrypt-0.1.0.dist-info/licenses/LICENSE" in archives.wheel_names()


def test_the_packages_import_from_the_wheel_alone(archives: Archives, tmp_path: Path) -> None:
    with ZipFile(archives.wheel) as archive:
        archive.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "".join(f"import {name}; print({name}.__file__)\n" for name in PACKAGES)
    command = [sys.executable, "-c", code]
    # From elsewhere: the tree itself must not be what is imported.
    run = subprocess.run(command, cwd="/", check=True, capture_output=True, text=True)
    assert [f"{tmp_path}/{name}/__init__.py" for name in PACKAGES] == run.stdout.splitlines()


def test_the_sdist_holds_what_it_takes_to_build_and_test(
    archives: Archives, project_files: list[Path], root: Path
) -> None:
    scaffolding = {".gitignore", ".gitattributes"}
    expected = {str(path.relative_to(root)) for path in project_files} - scaffolding
    assert set() == expected - archives.sdist_names()


def test_the_sdist_holds_nothing_that_was_made(archives: Archives) -> None:
    made = re.compile(r"(^|/)(\.venv|__pycache__|build|dist|_build|\.\w+_cache|\.hypothesis)/")
    assert [name for name in archives.sdist_names() if made.search(name)] == []


def test_every_registered_provider_can_be_loaded() -> None:
    loaded = {each.name: each.load() for each in entry_points(group="cloudcrypt.providers")}
    assert "local" in loaded
    assert all(callable(each) for each in loaded.values())


def test_every_requirement_has_a_pin_that_satisfies_it(root: Path) -> None:
    pins = dict(
        line.split("==")
        for line in (root / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    unmet = [
        str(requirement)
        for requirement in declared_requirements(root)
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
        or canonicalize_name(requirement.name) not in pins
    ]
    assert unmet == []


def declared_requirements(root: Path) -> list[Requirement]:
    """Return every requirement of pyproject.toml: of the core, the extras and the groups."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    lines = list(pyproject["build-system"]["requires"])
    lines += pyproject["project"]["dependencies"]
    for extra in pyproject["project"]["optional-dependencies"].values():
        lines += extra
    for name, group in pyproject["dependency-groups"].items():
        if name != "oldest":  # it is pinned by itself, to other releases
            lines += [line for line in group if isinstance(line, str)]
    requirements = map(Requirement, lines)
    return [each for each in requirements if each.name != pyproject["project"]["name"]]
