"""Key services in this process, by URL: a master secret in a file or in a URI."""

from urllib.parse import unquote, urlsplit

from cloudcrypt.errors import KeyUriInvalid
from cloudcrypt.keys.door import open_key_service
from cloudcrypt.keys.master import MasterSecret, read_secret_file
from cloudcrypt.keys.service import LocalKeyService, OpenKeyService
from cloudcrypt.keys.uris import ClusterKmsUri, parse_kms_uri
from cloudcrypt.plugins import scheme_of

_FILE = "file:///PATH"


class FileKeys:
    """``file:///etc/cloudcrypt/master-secret.json``: what the file holds.

    That is a master secret, as JSON or as a ``kms://cluster-kms`` URI, or the URL of another key
    service: a place for URLs that carry secrets.
    """

    @staticmethod
    def from_url(url: str) -> OpenKeyService:
        """Return the key service that the file of ``url`` describes.

        Raises:
            KeyUriInvalid: it names no absolute path, or the file names another file.
            MasterSecretInvalid: the file cannot be read, or does not hold a master secret.
            CloudcryptError: as the key service finds that the file names.
        """
        path = _path(url)
        content = read_secret_file(path)
        inner = scheme_of(content.decode("ascii", "replace"))
        if inner == "file":
            raise KeyUriInvalid(_FILE, "the file names another file")
        if not inner or content.startswith(b"kms://cluster-kms"):
            return LocalKeyService(MasterSecret.from_file(path))
        return open_key_service(content.decode("ascii", "replace"))


class ClusterKms:
    """``kms://cluster-kms?key=BASE64URL&salt=BASE64URL``: the master secret itself."""

    carries_secrets = True

    @staticmethod
    def from_url(url: str) -> OpenKeyService:
        """Return the key service of the master secret within ``url``.

        Raises:
            KeyUriInvalid, MasterSecretInvalid: the URL is not one.
        """
        uri = parse_kms_uri(url)
        if not isinstance(uri, ClusterKmsUri):
            raise KeyUriInvalid("kms://cluster-kms", "open_key_service opens those of clouds")
        return LocalKeyService(uri.master_secret)


def _path(url: str) -> str:
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError:
        parts, path = urlsplit(""), ""
    if parts.netloc not in {"", "localhost"} or parts.query or not path.startswith("/"):
        raise KeyUriInvalid(_FILE, "an absolute path, without parameters")
    return path
