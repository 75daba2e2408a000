"""No key is in the logs of Google's libraries, whatever they are told to say."""

import logging
from collections.abc import Iterator

import pytest

from cloudcrypt_gcp._keys_logging import keep_secrets_out_of_logs
from cloudcrypt_testing._key_clauses.given import spellings
from cloudcrypt_testing.fake_google_keys import FakeGoogleKeys
from tests.unit.google_keys_given import DEK, ID, dek, kms_of

NAMES = (
    "",
    "google",
    "google.auth.transport.requests",
    "google.cloud.kms_v1.services.key_management_service.client",
    "google.cloud.kms_v1.services.key_management_service.transports.rest",
)


class _Everything(logging.Handler):
    """Keeps each record with all that was handed over, not only what a formatter shows."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(repr(vars(record)))


@pytest.fixture
def everything() -> Iterator[_Everything]:
    handler = _Everything()
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    yield handler
    for logger, level in before:
        logger.setLevel(level)
        logger.removeHandler(handler)


def test_no_record_has_the_key_even_where_no_formatter_shows_it(everything: _Everything) -> None:
    with FakeGoogleKeys() as google:
        kms = kms_of(google)
        blob = kms.wrap(dek(), ID)
        assert kms.unwrap(blob, ID) == dek()
        kms.key()
    said = "\n".join(everything.seen)
    assert not [text for text in spellings(DEK) if text in said]
    for words in ("Sending request for", "Received response for", "Making request", ":encrypt"):
        assert words in said  # they were logged, without their bodies
    assert "ENCRYPT_DECRYPT" not in said or "left out" in said


def test_without_the_filter_the_key_would_be_there(
    everything: _Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    with FakeGoogleKeys() as google:
        kms_of(google).wrap(dek(), ID)
    said = "\n".join(everything.seen)
    assert [text for text in spellings(DEK) if text in said]


def test_the_filter_is_there_once() -> None:
    keep_secrets_out_of_logs()
    keep_secrets_out_of_logs()
    assert all(len(logging.getLogger(name).filters) == 1 for name in (NAMES[2], NAMES[4]))


def test_what_is_no_secret_is_logged_as_it_is(everything: _Everything) -> None:
    logger = logging.getLogger("google.auth.transport.requests")
    request = {"method": "POST", "url": "https://oauth2.example/token", "body": "a=b"}
    logger.debug("Making request...", extra={"httpRequest": request})
    logger.debug("Odd", extra={"httpRequest": "POST"})
    assert "a=b" in everything.seen[0]
