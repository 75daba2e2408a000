"""The pytest plugin: light for everybody, and clear to those who lack moto."""

import os
import subprocess
import sys
from pathlib import Path

import boto3

from cloudcrypt_testing.fake_aws import FakeAws, FakeClock

TEST = "def test_it(fake_aws): pass\n"
WITHOUT_MOTO = "import sys\nsys.modules['moto'] = None\n"


def run_pytest(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the test in ``folder`` with no plugin but ours."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "cloudcrypt_testing.plugin"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )


def test_importing_the_plugin_imports_no_sdk_and_no_fake() -> None:
    names = ["boto3", "botocore", "cloudcrypt", "moto", "werkzeug"]
    code = f"import sys, cloudcrypt_testing.plugin; print([n for n in {names} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "[]\n"


def test_the_fixtures_work_in_the_tests_of_others(tmp_path: Path) -> None:
    tmp_path.joinpath("test_it.py").write_text(TEST)
    run = run_pytest(tmp_path)
    assert (run.returncode, "1 passed" in run.stdout) == (0, True)


def test_who_lacks_moto_is_told_what_to_install(tmp_path: Path) -> None:
    tmp_path.joinpath("test_it.py").write_text(TEST)
    tmp_path.joinpath("conftest.py").write_text(WITHOUT_MOTO)
    run = run_pytest(tmp_path)
    assert run.returncode != 0
    assert 'pip install "cloudcrypt[aws,testing]"' in run.stdout


def test_clock_session_and_instance_are_those_of_the_fake(
    fake_aws: FakeAws,
    fake_clock: FakeClock,
    fake_aws_session: boto3.Session,
    fake_aws_instance: str,
) -> None:
    assert fake_aws.clock is fake_clock
    assert fake_aws_session.region_name == fake_aws.region
    assert fake_aws.node(fake_aws_instance).name(next(iter(fake_aws.volumes(roots=True))))
