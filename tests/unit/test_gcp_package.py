"""The package of the Google adapters finds what it needs when it is needed, and no earlier."""

import subprocess
import sys

import pytest

import cloudcrypt_gcp
from cloudcrypt_gcp.provider import GcpProvider

PROGRAM = """
import sys
from importlib import import_module
import_module({module!r})
print([name for name in {names!r} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("cloudcrypt_gcp", ["google", "requests"]),
        ("cloudcrypt_gcp.kms", ["google.cloud.compute_v1", "google.cloud.storage"]),
        ("cloudcrypt_gcp.storage", ["google.cloud.compute_v1", "google.cloud.kms_v1"]),
    ],
)
def test_each_part_imports_its_own_libraries_only(module: str, names: list[str]) -> None:
    program = PROGRAM.format(module=module, names=names)
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


def test_the_provider_is_there_all_the_same() -> None:
    assert cloudcrypt_gcp.GcpProvider is GcpProvider
    with pytest.raises(AttributeError, match="nothing"):
        _ = cloudcrypt_gcp.nothing  # type: ignore[attr-defined,unused-ignore]
