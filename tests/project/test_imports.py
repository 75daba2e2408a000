"""What `import cloudcrypt` shows, and what it does not bring along."""

import subprocess
import sys

import pytest

import cloudcrypt

CLOUD_SDKS = {"azure", "boto3", "botocore", "google", "grpc", "msal", "moto"}

EVERY_MODULE = """
import importlib, pkgutil, cloudcrypt
for each in pkgutil.walk_packages(cloudcrypt.__path__, "cloudcrypt."):
    # The key service over gRPC is an extra of its own; nothing else of the core loads it.
    if not each.name.endswith("__main__") and not each.name.startswith("cloudcrypt.keyservice."):
        importlib.import_module(each.name)
"""


def loaded_by(code: str) -> set[str]:
    """Return the top-level names of all modules that are loaded after `code` in a new Python."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/"
    )
    # Namespace packages may be put into sys.modules by .pth files of the environment itself.
    return set(run.stdout.split()) - environment_alone()


def environment_alone() -> set[str]:
    """Return what a Python of this environment has loaded before any code of ours."""
    code = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_importing_the_core_loads_no_cloud_sdk() -> None:
    assert set() == loaded_by("import cloudcrypt") & CLOUD_SDKS


def test_importing_every_module_of_the_core_loads_no_cloud_sdk() -> None:
    loaded = loaded_by(EVERY_MODULE)
    assert "cloudcrypt" in loaded
    assert set() == loaded & CLOUD_SDKS


def test_importing_the_core_loads_no_adapter_and_no_fake() -> None:
    loaded = {name for name in loaded_by(EVERY_MODULE) if name.startswith("cloudcrypt")}
    assert {"cloudcrypt"} == loaded


def test_importing_the_core_does_not_load_what_only_the_command_line_needs() -> None:
    assert set() == loaded_by("import cloudcrypt") & {"click", "rich"}


@pytest.mark.parametrize("name", cloudcrypt.__all__)
def test_an_exported_name_resolves_and_is_shown(name: str) -> None:
    assert getattr(cloudcrypt, name) is not None
    assert name in dir(cloudcrypt)


def test_exported_names_are_sorted_and_unique() -> None:
    assert sorted(set(cloudcrypt.__all__)) == list(cloudcrypt.__all__)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        cloudcrypt.no_such_name  # noqa: B018
