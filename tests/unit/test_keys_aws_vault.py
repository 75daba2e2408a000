"""Data keys end to end, by URL: AWS KMS and Vault in front, wraps in S3, callers that race."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from cloudcrypt.errors import DataKeyAbsent, InvalidRequest, KeyServiceUnavailable
from cloudcrypt.keys import get_data_key, open_key_service
from cloudcrypt_testing.fake_aws import FakeAws
from cloudcrypt_testing.fake_vault import FakeVault
from cloudcrypt_testing.world.faults import ConnectionLost, ReplyLost, Throttled
from tests.unit.aws_keys_given import BUCKET, KEY_ID, NAME, bucket, kms_key
from tests.unit.processes import START, in_processes

ASKING = (
    "import hashlib\n"
    "from cloudcrypt.keys import get_data_key, open_key_service\n"
    + START
    + "with open_key_service(sys.argv[1]) as keys, get_data_key(keys, sys.argv[2]) as key:\n"
    "    print(hashlib.sha256(key.reveal()).hexdigest())\n"
)


def _store(aws: FakeAws) -> str:
    """Return the URL of the bucket, as the value of a parameter."""
    query = f"region={aws.region}&endpoint={aws.endpoint}&accessKeyID=testing&accessKey=testing"
    return quote(f"s3://{BUCKET}/keys?{query}", safe="")


def _aws_url(aws: FakeAws) -> str:
    access = f"endpoint={aws.endpoint}&accessKeyID=testing&accessKey=testing"
    return f"aws-kms://{kms_key(aws)}?{access}&store={_store(aws)}"


def _versions(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_object_versions(Bucket=BUCKET).get("Versions", [])]


def test_processes_that_race_end_with_one_key(fake_aws: FakeAws) -> None:
    s3 = bucket(fake_aws, is_versioned=True)
    for fault, action in ((ReplyLost(), "PutObject"), (ConnectionLost(), "GetObject")):
        fake_aws.faults.add(fault, on=action, times=3)
    fake_aws.faults.add(Throttled(), on="Encrypt", times=2)
    printed = in_processes(4, ASKING, _aws_url(fake_aws), KEY_ID)
    assert len(set(printed)) == 1
    assert _versions(s3) == [NAME]


def test_every_kms_goes_with_every_store(fake_aws: FakeAws, tmp_path: Path) -> None:
    s3 = bucket(fake_aws)
    with FakeVault() as vault:
        vault.create_key("disks")
        token = vault.token_file(tmp_path)
        url = f"{vault.url('disks', tokenPath=token)}&store={_store(fake_aws)}"
        with open_key_service(url) as keys:
            first = get_data_key(keys, KEY_ID)
            assert _versions(s3) == [NAME]
            assert get_data_key(keys, KEY_ID, existing=True) == first
            with pytest.raises(DataKeyAbsent):
                get_data_key(keys, f"{KEY_ID}0", existing=True)


def test_no_key_is_handed_out_that_may_not_be_stored(fake_aws: FakeAws) -> None:
    s3 = bucket(fake_aws)
    fake_aws.faults.add(ConnectionLost(), on="PutObject", times=None)
    with (
        open_key_service(f"{_aws_url(fake_aws)}&timeout=1") as keys,
        pytest.raises(KeyServiceUnavailable),
    ):
        get_data_key(keys, KEY_ID)
    assert _versions(s3) == []


def test_a_url_with_an_access_key_does_not_go_on_a_command_line(fake_aws: FakeAws) -> None:
    for url in (
        _aws_url(fake_aws),
        f"vault-transit://vault/transit/disks?store={_store(fake_aws)}",
    ):
        with pytest.raises(InvalidRequest) as caught:
            open_key_service(url, from_argv=True)
        assert "testing" not in str(caught.value)
