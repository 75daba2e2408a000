"""Blob Storage: what is asked of accounts, with conditions, ranges and checksums."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from typing import Final
from xml.sax.saxutils import escape

from cloudcrypt_testing.fake_azure_keys.accounts import Account, Record, absent
from cloudcrypt_testing.fake_azure_keys.errors import ServiceError
from cloudcrypt_testing.fake_azure_keys.incoming import Incoming
from cloudcrypt_testing.fake_azure_keys.tokens import STORAGE, TENANT, Tokens
from cloudcrypt_testing.world.clock import FakeClock
from cloudcrypt_testing.world.layer import Answer

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)


class Storage:
    """All storage accounts. Not thread-safe: whoever owns them holds a lock."""

    def __init__(self, clock: FakeClock, tokens: Tokens) -> None:
        """Begin without accounts; one that is asked for is there, without containers."""
        self._clock = clock
        self._tokens = tokens
        self._accounts: dict[str, Account] = {}
        self.page = 5000
        """Blobs on a page of a list at most."""

    def account(self, name: str) -> Account:
        """Return the account of this name."""
        return self._accounts.setdefault(name, Account(self._clock))

    def answer(self, incoming: Incoming) -> Answer:
        """Answer one request."""
        self._check(incoming)
        account = self.account(incoming.domain)
        handlers: Mapping[str, Callable[[Account, Incoming], Answer]] = {
            "delete": _delete,
            "get": _get,
            "head": _get,
            "list": self._list,
            "put": _put,
            "snapshot": _snapshot,
        }
        handler = handlers.get(incoming.action)
        if handler is None:
            text = "The resource does not support the specified HTTP verb."
            raise ServiceError(405, "UnsupportedHttpVerb", text)
        return handler(account, incoming)

    def _check(self, incoming: Incoming) -> None:
        if self._tokens.is_good(incoming.headers, STORAGE):
            return
        is_missing = "authorization" not in incoming.headers
        code = "NoAuthenticationInformation" if is_missing else "InvalidAuthenticationInfo"
        who = f"https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
        header = f"Bearer authorization_uri={who} resource_id={STORAGE}"
        text = "Server failed to authenticate the request."
        raise ServiceError(401, code, text, headers={"WWW-Authenticate": header})

    def _list(self, account: Account, incoming: Incoming) -> Answer:
        include = set(filter(None, incoming.query.get("include", "").split(",")))
        prefix, marker = incoming.query.get("prefix", ""), incoming.query.get("marker", "")
        found = [
            (name, one)
            for name, one in account.records(incoming.path[0])
            if name.startswith(prefix) and _is_asked_for(one, include)
        ]
        start = int(marker) if marker else 0
        stop = start + min(self.page, int(incoming.query.get("maxresults", self.page)))
        blobs = "".join(_xml(account, name, one, include) for name, one in found[start:stop])
        following = str(stop) if stop < len(found) else ""
        body = (
            '<?xml version="1.0" encoding="utf-8"?>'
            f'<EnumerationResults ServiceEndpoint="https://{incoming.host}/"'
            f' ContainerName="{escape(incoming.path[0])}"><Prefix>{escape(prefix)}</Prefix>'
            f"<Blobs>{blobs}</Blobs><NextMarker>{following}</NextMarker></EnumerationResults>"
        )
        return Answer(200, [("Content-Type", "application/xml")], body.encode())


def _put(account: Account, incoming: Incoming) -> Answer:
    container, name = incoming.path
    headers, content = incoming.headers, incoming.body
    blob_type = headers.get("x-ms-blob-type")
    if blob_type is None:
        text = "An HTTP header that's mandatory for this request is not specified."
        raise ServiceError(400, "MissingRequiredHeader", text)
    md5 = _md5(content)
    if headers.get("content-md5", md5) != md5:
        text = "The MD5 value specified in the request did not match what was received."
        raise ServiceError(400, "Md5Mismatch", text)
    old = account.blob(container, name)
    if headers.get("if-none-match") == "*" and old is not None:
        raise ServiceError(409, "BlobAlreadyExists", "The specified blob already exists.")
    _check_condition(incoming, old)
    metadata = {name: text for name, text in headers.items() if name.startswith("x-ms-meta-")}
    new = account.put(container, name, content, blob_type, metadata)
    stamp = [("x-ms-version-id", new.stamp)] if new.stamp else []
    return Answer(201, [*_headers(new), ("Content-MD5", md5), *stamp], b"")


def _get(account: Account, incoming: Incoming) -> Answer:
    container, name = incoming.path
    found = account.blob(container, name)
    if found is None:
        raise absent()
    content = found.content
    headers = [*_headers(found), ("Content-Type", "application/octet-stream")]
    match = _RANGE.fullmatch(incoming.headers.get("x-ms-range", ""))
    if incoming.action == "head" or match is None:
        headers.append(("Content-MD5", _md5(content)))
        headers.append(("Content-Length", str(len(content))))
        return Answer(200, headers, content)
    start, stop = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
    if start >= len(content):
        text = "The range specified is invalid for the current size of the resource."
        raise ServiceError(416, "InvalidRange", text)
    part = content[start : stop + 1]
    headers.append(("Content-Range", f"bytes {start}-{stop}/{len(content)}"))
    headers.append(("x-ms-blob-content-md5", _md5(content)))
    if incoming.headers.get("x-ms-range-get-content-md5") == "true":
        headers.append(("Content-MD5", _md5(part)))
    return Answer(206, headers, part)


def _delete(account: Account, incoming: Incoming) -> Answer:
    container, name = incoming.path
    query = incoming.query
    kind = "snapshot" if "snapshot" in query else "version"
    stamp = query.get("snapshot") or query.get("versionid")
    is_permanent = query.get("deletetype", "").lower() == "permanent"
    if is_permanent and not account.may_purge:
        text = "This request is not authorized to perform this operation using this permission."
        raise ServiceError(403, "AuthorizationPermissionMismatch", text)
    if is_permanent and (not account.permanent_delete or stamp is None):
        # The documentation ("Delete Blob", "Permanent delete") has the status and no code.
        raise ServiceError(409, "Conflict", "Permanent delete is not possible.")
    if stamp is not None:
        account.delete_copy(container, name, kind, stamp, is_permanent=is_permanent)
    else:
        _check_condition(incoming, account.blob(container, name))
        with_snapshots = incoming.headers.get("x-ms-delete-snapshots") == "include"
        account.delete(container, name, with_snapshots=with_snapshots)
    return Answer(202, [], b"")


def _snapshot(account: Account, incoming: Incoming) -> Answer:
    record = account.snapshot(*incoming.path)
    return Answer(201, [*_headers(record), ("x-ms-snapshot", str(record.stamp))], b"")


def _check_condition(incoming: Incoming, old: Record | None) -> None:
    wanted = incoming.headers.get("if-match")
    if wanted is None or (old is not None and wanted in {"*", old.etag}):
        return
    text = "The condition specified using HTTP conditional header(s) is not met."
    raise ServiceError(412, "ConditionNotMet", text)


def _headers(record: Record) -> list[tuple[str, str]]:
    return [
        ("ETag", record.etag),
        ("Last-Modified", format_datetime(record.modified, usegmt=True)),
        ("x-ms-blob-type", record.blob_type),
        *record.metadata.items(),
    ]


def _is_asked_for(record: Record, include: set[str]) -> bool:
    needed = {"blob": set[str](), "version": {"versions"}, "snapshot": {"snapshots"}}
    deleted = bool(record.deleted)
    return needed[record.kind] <= include and (not deleted or "deleted" in include)


def _xml(account: Account, name: str, record: Record, include: set[str]) -> str:
    parts = [f"<Name>{escape(name)}</Name>"]
    etag = record.etag.strip('"')
    properties = (
        f"<Last-Modified>{format_datetime(record.modified, usegmt=True)}</Last-Modified>"
        f"<Etag>{etag}</Etag>"
        f"<Content-Length>{len(record.content)}</Content-Length>"
        f"<BlobType>{record.blob_type}</BlobType>"
    )
    if record.deleted:
        parts.append("<Deleted>true</Deleted>")
        time = format_datetime(record.deleted, usegmt=True)
        properties += f"<DeletedTime>{time}</DeletedTime>"
        properties += f"<RemainingRetentionDays>{account.left(record)}</RemainingRetentionDays>"
    if record.kind == "snapshot":
        parts.append(f"<Snapshot>{record.stamp}</Snapshot>")
    elif record.stamp and "versions" in include:
        parts.append(f"<VersionId>{record.stamp}</VersionId>")
        if record.kind == "blob":
            parts.append("<IsCurrentVersion>true</IsCurrentVersion>")
    return f"<Blob>{''.join(parts)}<Properties>{properties}</Properties></Blob>"


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
