"""The fake Cloud KMS and Cloud Storage: what they take, refuse and answer, whoever asks."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys, schema
from cloudcrypt_testing.fake_google_keys.schema import SchemaViolation
from tests.unit.google_keys_given import BLOB, BUCKET, KEY, NEW

TIMEOUT = 10


@pytest.fixture
def google() -> Iterator[FakeGoogleKeys]:
    with FakeGoogleKeys() as google:
        yield google


def asked(google: FakeGoogleKeys, verb: str, path: str, **options: Any) -> requests.Response:
    return requests.request(verb, google.endpoint + path, timeout=TIMEOUT, **options)


def error(response: requests.Response) -> dict[str, Any]:
    facts: dict[str, Any] = response.json()["error"]
    return facts


class TestValidation:
    @pytest.mark.parametrize(
        ("verb", "path", "options"),
        [
            ("GET", f"/v1/{KEY}?nonsense=1", {}),
            ("GET", f"/v1/{KEY}", {"json": {"name": KEY}}),
            ("POST", f"/v1/{KEY}:encrypt", {"json": {"plainText": ""}}),
            ("POST", f"/v1/{KEY}:encrypt", {"json": {"plaintext": "?"}}),
            ("POST", f"/v1/{KEY}:encrypt", {"json": {"plaintext": ""}}),
            ("POST", f"/v1/{KEY}:encrypt", {"json": {"plaintextCrc32c": 17}}),
            ("POST", f"/v1/{KEY}:encrypt", {"json": {"plaintextCrc32c": "99999999999999999999"}}),
            ("POST", f"/v1/{KEY}:encrypt", {"data": b"["}),
            ("POST", f"/v1/{KEY}:encrypt", {"data": b"[]"}),
            ("GET", f"/storage/v1/b/{BUCKET}/o?maxResults=many", {}),
            ("GET", f"/storage/v1/b/{BUCKET}/o?versions=perhaps", {}),
            ("GET", f"/storage/v1/b/{BUCKET}/o?pageToken=zz", {}),
            ("GET", f"/storage/v1/b/{BUCKET}/o?projection=half", {}),
            ("POST", f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart", {"data": b"x"}),
        ],
    )
    def test_what_the_api_does_not_take_is_refused(
        self, google: FakeGoogleKeys, verb: str, path: str, options: dict[str, Any]
    ) -> None:
        response = asked(google, verb, path, **options)
        assert response.status_code == 400
        assert error(response)["code"] == 400

    @pytest.mark.parametrize(
        ("verb", "path"),
        [
            ("GET", f"/storage/v1/b/{BUCKET}"),
            ("GET", f"/storage/v1/b/{BUCKET}/o?matchGlob=a"),
            ("GET", f"/v1/{KEY}/cryptoKeyVersions"),
            ("DELETE", f"/storage/v1/b/{BUCKET}/o/a?ifMetagenerationMatch=1"),
        ],
    )
    def test_what_the_fake_does_not_know_it_says(
        self, google: FakeGoogleKeys, verb: str, path: str
    ) -> None:
        response = asked(google, verb, path)
        assert response.status_code == 501
        assert "The fake does not know" in error(response)["message"]

    def test_a_path_of_neither_service(self, google: FakeGoogleKeys) -> None:
        assert error(asked(google, "GET", "/v1/projects/x"))["status"] == "NOT_FOUND"
        assert error(asked(google, "GET", "/elsewhere"))["errors"][0]["reason"] == "notFound"

    @pytest.mark.parametrize(
        ("api", "name", "value"),
        [
            ("storage", "Object", {"colour": "red"}),
            ("storage", "Object", {"generation": 1}),
            ("storage", "Object", {"generation": "one"}),
            ("storage", "Object", {"timeCreated": "yesterday"}),
            ("storage", "Object", {"acl": {}}),
            ("storage", "Object", {"acl": [1]}),
            ("storage", "Object", {"componentCount": "1"}),
            ("storage", "Object", {"temporaryHold": "true"}),
            ("storage", "Object", {"metadata": {"a": 1}}),
            ("storage", "Object", []),
            ("cloudkms", "CryptoKey", {"purpose": "PLAY"}),
            ("cloudkms", "CryptoKey", {"primary": {"state": "TIRED"}}),
            ("cloudkms", "EncryptResponse", {"ciphertext": "?"}),
        ],
    )
    def test_an_answer_that_the_api_would_never_give_is_a_bug_of_the_fake(
        self, api: str, name: str, value: object
    ) -> None:
        with pytest.raises(SchemaViolation):
            schema.check_answer(api, name, value)

    def test_the_answers_of_the_fake_are_checked(
        self, google: FakeGoogleKeys, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stored = google.put("a", BLOB)
        object.__setattr__(stored, "metadata", {"a": 1})
        assert asked(google, "GET", f"/storage/v1/b/{BUCKET}/o/a").status_code == 500
        assert "SchemaViolation" in capsys.readouterr().err


class TestKeys:
    def test_a_version_can_be_chosen_for_encryption(self, google: FakeGoogleKeys) -> None:
        google.rotate()
        for version in (1, 2):
            path = f"/v1/{KEY}/cryptoKeyVersions/{version}:encrypt"
            answer = asked(google, "POST", path, json={"plaintext": "AAEC"}).json()
            assert answer["name"] == f"{KEY}/cryptoKeyVersions/{version}"
            assert answer["verifiedPlaintextCrc32c"] is False
            back = {"ciphertext": answer["ciphertext"]}
            plain = asked(google, "POST", f"/v1/{KEY}:decrypt", json=back).json()
            assert (plain["plaintext"], plain["usedPrimary"]) == ("AAEC", version == 2)
        missing = asked(
            google, "POST", f"/v1/{KEY}/cryptoKeyVersions/3:encrypt", json={"plaintext": "AAEC"}
        )
        assert error(missing)["status"] == "NOT_FOUND"

    def test_a_version_that_is_not_enabled_is_in_the_details(self, google: FakeGoogleKeys) -> None:
        google.set_state("DISABLED", version=1)
        facts = error(asked(google, "POST", f"/v1/{KEY}:encrypt", json={"plaintext": "AAEC"}))
        (detail,) = facts["details"]
        assert detail["violations"] == [
            {"type": "KEY_DISABLED", "subject": f"{KEY}/cryptoKeyVersions/1"}
        ]

    def test_a_wrong_checksum_is_named(self, google: FakeGoogleKeys) -> None:
        body = {"plaintext": "AAEC", "plaintextCrc32c": "1"}
        facts = error(asked(google, "POST", f"/v1/{KEY}:encrypt", json=body))
        said = "The checksum in field plaintext_crc32c did not match the data in field plaintext."
        assert (facts["status"], facts["message"]) == ("INVALID_ARGUMENT", said)


class TestObjects:
    def test_who_deletes_without_a_generation_leaves_one_in_a_versioned_bucket(
        self, google: FakeGoogleKeys
    ) -> None:
        google.add_bucket(BUCKET, versioning=True, soft_delete=60)
        first = google.put("a", BLOB)
        path = f"/storage/v1/b/{BUCKET}/o/a"
        assert asked(google, "DELETE", path).status_code == 204
        assert asked(google, "DELETE", path).status_code == 404
        assert asked(google, "GET", path).status_code == 404
        assert asked(google, "GET", f"{path}?generation={first.generation}").status_code == 200
        deleted = asked(google, "DELETE", f"{path}?generation={first.generation}")
        assert deleted.status_code == 204
        listed = asked(google, "GET", f"/storage/v1/b/{BUCKET}/o?softDeleted=true").json()
        assert [item["name"] for item in listed["items"]] == ["a"]

    def test_a_precondition_comes_before_a_hold(self, google: FakeGoogleKeys) -> None:
        google.put("a", BLOB, is_held=True)
        path = f"/storage/v1/b/{BUCKET}/o/a"
        assert asked(google, "DELETE", f"{path}?ifGenerationMatch=1").status_code == 412
        assert asked(google, "DELETE", path).status_code == 403

    def test_a_list_is_in_pages_each_name_once(self, google: FakeGoogleKeys) -> None:
        google.add_bucket(BUCKET, versioning=True)
        for name in ("b", "a", "a/b", "\u20ac"):
            google.put(name, BLOB)
            google.put(name, NEW)
        path = f"/storage/v1/b/{BUCKET}/o?versions=true&maxResults=3"
        pages = [asked(google, "GET", path).json()]
        while "nextPageToken" in pages[-1]:
            at = f"{path}&pageToken={pages[-1]['nextPageToken']}"
            pages.append(asked(google, "GET", at).json())
        seen = [(one["name"], one["generation"]) for page in pages for one in page["items"]]
        assert [len(page["items"]) for page in pages] == [3, 3, 2]
        assert len(seen) == len(set(seen)) == 8
        assert [name for name, _ in seen] == sorted(name for name, _ in seen)

    def test_content_comes_with_its_checksums(self, google: FakeGoogleKeys) -> None:
        stored = google.put("a/b c", BLOB)
        path = f"/download/storage/v1/b/{BUCKET}/o/a%2Fb%20c?alt=media"
        response = asked(google, "GET", path)
        assert response.content == BLOB
        assert response.headers["X-Goog-Hash"] == f"crc32c={stored.crc32c},md5={stored.md5}"
        missing = asked(google, "GET", f"/download/storage/v1/b/{BUCKET}/o/none?alt=media")
        assert (missing.status_code, missing.text) == (404, f"No such object: {BUCKET}/none")

    def test_an_upload_may_not_ask_for_what_the_fake_would_ignore(
        self, google: FakeGoogleKeys
    ) -> None:
        body = b"--x\r\n\r\n%s\r\n--x\r\ncontent-type: text/plain\r\n\r\nabc\r\n--x--"
        for metadata, status in ((b'{"name":"a"}', 200), (b'{"name":"a","customTime":null}', 400)):
            response = asked(
                google,
                "POST",
                f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart",
                data=body % metadata,
                headers={"Content-Type": 'multipart/related; boundary="x"'},
            )
            assert response.status_code == status
        assert google.objects()["a"].content_type == "text/plain"
        assert google.objects()["a"].content == b"abc"
