"""The methods of Cloud Storage on objects: insert, get, download, list and delete."""

from typing import Any, Final

from cloudcrypt_testing.fake_google_keys import errors
from cloudcrypt_testing.fake_google_keys.buckets import Bucket, StoredObject
from cloudcrypt_testing.fake_google_keys.cloud import Cloud
from cloudcrypt_testing.fake_google_keys.incoming import Incoming
from cloudcrypt_testing.world.layer import Answer

_WRITABLE: Final = frozenset(
    {"cacheControl", "contentEncoding", "contentType", "crc32c", "md5Hash", "metadata", "name"}
)
NOTHING: Final[dict[str, Any]] = {}


def insert(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Store an object; preconditions count before permissions to overwrite, and before holds."""
    bucket = cloud.bucket(incoming.in_path["bucket"])
    cloud.check(cloud.storage_denied("storage.objects.create"))
    facts = incoming.body or {}
    if unknown := facts.keys() - _WRITABLE:
        raise errors.unknown_to_the_fake(", ".join(sorted(unknown)))
    stored = StoredObject(
        bucket.name,
        facts["name"],
        incoming.content,
        cloud.now,
        facts.get("contentType") or incoming.content_type,
        facts.get("cacheControl"),
        facts.get("contentEncoding"),
        facts.get("metadata", {}),
    )
    _check_whole("CRC32C", facts.get("crc32c"), stored.crc32c)
    _check_whole("MD5 hash", facts.get("md5Hash"), stored.md5)
    former = bucket.find(stored.name)
    _check_generation(incoming, former)
    if former is not None:
        cloud.check(cloud.storage_denied("storage.objects.delete"))
    return bucket.put(stored, cloud.now).describe()


def get(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Describe an object."""
    return _found(cloud, incoming).describe()


def download(cloud: Cloud, incoming: Incoming) -> Answer:
    """Give the content of an object, and of what else there is the most in headers."""
    stored = _found(cloud, incoming)
    headers = {
        "Content-Type": stored.content_type,
        "Cache-Control": stored.cache_control,
        "Content-Encoding": stored.content_encoding,
        "ETag": f'"{stored.generation}"',
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": "1",
        "X-Goog-Hash": f"crc32c={stored.crc32c},md5={stored.md5}",
        "X-Goog-Storage-Class": "STANDARD",
        "X-Goog-Stored-Content-Length": str(len(stored.content)),
        "X-Goog-Stored-Content-Encoding": stored.content_encoding or "identity",
    }
    told = [(name, value) for name, value in headers.items() if value is not None]
    return Answer(200, told, stored.content)


def list_(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """List objects, with older generations or only those that were deleted softly."""
    bucket = cloud.bucket(incoming.in_path["bucket"])
    is_soft = incoming.flag("softDeleted")
    more = ("storage.objects.restore",) if is_soft else ()
    cloud.check(cloud.storage_denied("storage.objects.list", *more))
    prefix = incoming.in_query.get("prefix", "")
    shown = bucket.listed(cloud.now, versions=incoming.flag("versions"), soft_deleted=is_soft)
    found = [one for one in shown if one.name.startswith(prefix)]
    begin = _opened(incoming)
    most = min(cloud.page, incoming.number("maxResults") or cloud.page)
    facts: dict[str, Any] = {"kind": "storage#objects"}
    page = [one for one in found if _place(one) > begin]
    if page:
        facts["items"] = [one.describe() for one in page[:most]]
    if len(page) > most:
        facts["nextPageToken"] = _place(page[most - 1]).encode().hex()
    return facts


def delete(cloud: Cloud, incoming: Incoming) -> dict[str, Any]:
    """Delete an object, or one generation of it."""
    bucket = cloud.bucket(incoming.in_path["bucket"])
    name, generation = incoming.in_path["object"], incoming.number("generation")
    cloud.check(cloud.storage_denied("storage.objects.delete"))
    _check_generation(incoming, bucket.find(name, generation))
    bucket.delete(name, generation, cloud.now)
    return NOTHING


def _found(cloud: Cloud, incoming: Incoming) -> StoredObject:
    """Return an object; who may not list does not hear that there is none."""
    bucket: Bucket = cloud.bucket(incoming.in_path["bucket"])
    cloud.check(cloud.storage_denied("storage.objects.get"))
    name = incoming.in_path["object"]
    stored = bucket.find(name, incoming.number("generation"))
    if stored is None:
        cloud.check(cloud.storage_denied("storage.objects.list"))
        raise errors.no_object(bucket.name, name)
    _check_generation(incoming, stored)
    return stored


def _check_generation(incoming: Incoming, stored: StoredObject | None) -> None:
    expected = incoming.number("ifGenerationMatch")
    if expected is not None and expected != (0 if stored is None else stored.generation):
        raise errors.changed()


def _check_whole(kind: str, told: str | None, found: str) -> None:
    if told is not None and told != found:
        message = f'Provided {kind} "{told}" doesn\'t match calculated {kind} "{found}".'
        raise errors.GoogleError(400, "invalid", message)


def _place(stored: StoredObject) -> str:
    """Return where an object is in a list; a name has no NUL."""
    return f"{stored.name}\0{stored.generation:020}"


def _opened(incoming: Incoming) -> str:
    token = incoming.in_query.get("pageToken", "")
    try:
        return bytes.fromhex(token).decode()
    except ValueError:
        raise errors.GoogleError(400, "invalid", "Invalid page token.") from None
