"""Volumes of AWS EBS.

    from cloudcrypt_aws import AwsProvider

    provider = AwsProvider("eu-central-1", zone="eu-central-1a")

Usually `cloudcrypt.registry.open_provider` opens it, by ``aws://eu-central-1?zone=eu-central-1a``.
Credentials come from where boto3 finds them.
"""

from cloudcrypt_aws.provider import AwsProvider

__all__ = ["AwsProvider"]
