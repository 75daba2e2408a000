"""Clauses about a KMS: what was wrapped comes back, under its own id and from its own key only."""

import logging
from collections.abc import Callable, Iterator, Sequence

import pytest

from cloudcrypt.errors import (
    InvalidRequest,
    KeyServiceUnavailable,
    OperationCancelled,
    WrappedKeyRefused,
)
from cloudcrypt.kms import BLOB_MAX, KMS
from cloudcrypt.secret import Secret
from cloudcrypt.waiting import Deadline
from cloudcrypt_testing._key_clauses.given import (
    ODD_IDS,
    TOO_ODD,
    GivenKms,
    cancelled,
    passed,
    raced,
    secret,
    spellings,
)

_ID = "contract/id"


class WrapClauses(GivenKms):
    """What a KMS gives back, and to whom."""

    def test_what_was_wrapped_comes_back(self, kms: KMS, lengths: Sequence[int]) -> None:
        assert 32 in lengths
        for length in lengths:
            plaintext = secret(length)
            blob = kms.wrap(plaintext, _ID)
            assert len(blob) <= BLOB_MAX // 2  # room for what is recorded beside it
            assert kms.unwrap(blob, _ID) == plaintext

    def test_the_plaintext_stays_the_callers(self, kms: KMS) -> None:
        plaintext = secret()
        copy = plaintext.copy()
        unwrapped = kms.unwrap(kms.wrap(plaintext, _ID), _ID)
        unwrapped.wipe()
        assert plaintext == copy

    def test_bytes_that_text_would_lose_come_back(self, kms: KMS) -> None:
        for value in (bytes(32), b"\xff" * 32, b"\n" * 32, bytes(range(32))):
            plaintext = Secret(value)
            assert kms.unwrap(kms.wrap(plaintext, _ID), _ID) == plaintext

    def test_two_wraps_differ_and_are_both_good(self, kms: KMS) -> None:
        plaintext = secret()
        one, two = kms.wrap(plaintext, _ID), kms.wrap(plaintext, _ID)
        assert one != two
        assert kms.unwrap(one, _ID) == kms.unwrap(two, _ID) == plaintext

    def test_a_blob_does_not_show_its_plaintext(self, kms: KMS) -> None:
        plaintext = secret()
        blob = kms.wrap(plaintext, _ID)
        value = bytes(plaintext.reveal())
        assert value not in blob
        assert not any(text.encode() in blob for text in spellings(value))

    def test_odd_ids_are_ids(self, kms: KMS) -> None:
        for key_id in ODD_IDS:
            plaintext = secret()
            assert kms.unwrap(kms.wrap(plaintext, key_id), key_id) == plaintext

    def test_what_is_no_id_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for key_id in TOO_ODD:
            with pytest.raises(InvalidRequest):
                kms.wrap(secret(), key_id)
            with pytest.raises(InvalidRequest):
                kms.unwrap(blob, key_id)

    def test_many_threads_get_each_their_own(self, kms: KMS) -> None:
        def mine(number: int) -> bool:
            pairs = [(f"{_ID}/{number}/{turn}", secret()) for turn in range(3)]
            blobs = [kms.wrap(plaintext, key_id) for key_id, plaintext in pairs]
            return all(
                kms.unwrap(blob, key_id) == plaintext
                for blob, (key_id, plaintext) in zip(blobs, pairs, strict=True)
            )

        assert all(raced(mine, 8))


class RefusalClauses(GivenKms):
    """What was truncated, changed, swapped or made by others is refused."""

    def test_a_blob_of_another_id_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), "a/b")
        for other in ("a/B", "a/b ", "a", "a/b/", "a%2Fb", "x" * 255):
            with pytest.raises(WrappedKeyRefused) as caught:
                kms.unwrap(blob, other)
            assert caught.value.key_id == other

    def test_ids_that_look_alike_are_not_alike(self, kms: KMS) -> None:
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(kms.wrap(secret(), "\u00e9"), "e\u0301")

    def test_a_blob_of_another_wrapping_key_is_refused(self, kms: KMS, other_kms: KMS) -> None:
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(other_kms.wrap(secret(), _ID), _ID)
        with pytest.raises(WrappedKeyRefused):
            other_kms.unwrap(kms.wrap(secret(), _ID), _ID)

    def test_a_truncated_blob_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for length in _spread(len(blob)):
            _is_refused(kms, blob[:length])

    def test_a_blob_without_its_beginning_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for length in _spread(len(blob)):
            _is_refused(kms, blob[length + 1 :])

    def test_a_blob_with_more_behind_it_or_before_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for more in (b"\0", b"=", b"\n", b"A", b"AAAA", blob, bytes(1024)):
            _is_refused(kms, blob + more)
            _is_refused(kms, more + blob)

    def test_a_blob_with_a_flipped_bit_is_refused(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for position in _spread(len(blob)):
            _is_refused(kms, _flipped(blob, position, 1 << position % 8))

    def test_two_halves_of_two_blobs_are_no_blob(self, kms: KMS) -> None:
        one, two = kms.wrap(secret(), _ID), kms.wrap(secret(), _ID)
        half = len(one) // 2
        _is_refused(kms, one[:half] + two[half:])
        _is_refused(kms, two[:half] + one[half:])

    def test_what_is_no_blob_is_refused(self, kms: KMS) -> None:
        foreign = (b"", b"\0", b"{}", b"null", b"vault:v1:", bytes(32), bytes(4096), b"A" * 128)
        for blob in (*foreign, bytes(secret(200).reveal()), "\u20ac".encode()):
            _is_refused(kms, blob)

    def test_a_blob_that_is_too_long_is_refused(self, kms: KMS) -> None:
        _is_refused(kms, bytes(BLOB_MAX + 1))


class RotationClauses(GivenKms):
    """A wrapping key has versions: the newest wraps, and all unwrap."""

    def test_the_key_has_a_name_that_stays(self, kms: KMS) -> None:
        key = kms.key()
        assert key.name
        assert key == kms.key()

    def test_another_wrapping_key_has_another_name(self, kms: KMS, other_kms: KMS) -> None:
        assert kms.key().name != other_kms.key().name

    def test_what_was_wrapped_before_a_rotation_unwraps_after_it(
        self, kms: KMS, rotate: Callable[[], object] | None
    ) -> None:
        plaintext = secret()
        blobs = [kms.wrap(plaintext, _ID)]
        for _ in range(2):
            _rotated(rotate)
            blobs.append(kms.wrap(plaintext, _ID))
            assert [kms.unwrap(blob, _ID) for blob in blobs] == [plaintext] * len(blobs)

    def test_a_rotation_changes_the_version_where_it_is_known_and_never_the_name(
        self, kms: KMS, rotate: Callable[[], object] | None
    ) -> None:
        before = kms.key()
        _rotated(rotate)
        after = kms.key()
        assert after.name == before.name
        assert (after.version is None) == (before.version is None)
        assert after.version is None or after.version != before.version

    def test_a_blob_of_before_a_rotation_is_still_bound_to_its_id(
        self, kms: KMS, rotate: Callable[[], object] | None
    ) -> None:
        blob = kms.wrap(secret(), _ID)
        _rotated(rotate)
        with pytest.raises(WrappedKeyRefused):
            kms.unwrap(blob, f"{_ID}/other")


class DiscretionClauses(GivenKms):
    """How calls end, and what nobody gets to see."""

    def test_a_deadline_that_has_passed_is_an_error_that_may_pass(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for call in _calls(kms, blob):
            with pytest.raises(KeyServiceUnavailable):
                call(passed())

    def test_a_caller_can_give_up(self, kms: KMS) -> None:
        blob = kms.wrap(secret(), _ID)
        for call in _calls(kms, blob):
            with pytest.raises(OperationCancelled):
                call(cancelled())

    def test_it_is_closed_as_often_as_one_likes(self, kms: KMS) -> None:
        kms.unwrap(kms.wrap(secret(), _ID), _ID)
        kms.close()
        kms.close()

    def test_neither_repr_nor_errors_nor_logs_show_a_secret(
        self, kms: KMS, hidden: Sequence[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        plaintext = secret()
        with _all_loggers_at_debug():
            blob = kms.wrap(plaintext, _ID)
            kms.unwrap(blob, _ID)
            with pytest.raises(WrappedKeyRefused) as caught:
                kms.unwrap(blob, f"{_ID}/other")
        shown = [repr(kms), str(kms), caplog.text, repr(caught.value), str(caught.value)]
        shown += [repr(error) + str(error) for error in _chain(caught.value)]
        for text in (*spellings(bytes(plaintext.reveal())), *hidden):
            assert not any(text in output for output in shown)


def _rotated(rotate: Callable[[], object] | None) -> None:
    if rotate is None:
        pytest.skip("this wrapping key cannot be rotated from here")
    rotate()


def _is_refused(kms: KMS, blob: bytes) -> None:
    with pytest.raises(WrappedKeyRefused) as caught:
        kms.unwrap(blob, _ID)
    assert caught.value.key_id == _ID


def _flipped(blob: bytes, position: int, bits: int) -> bytes:
    changed = bytearray(blob)
    changed[position] ^= bits
    return bytes(changed)


def _spread(length: int, near: int = 16, between: int = 24) -> list[int]:
    """Return positions below ``length``: all near the ends, and some between."""
    step = max(1, length // between)
    ends = [*range(near), *range(length - near, length)]
    return sorted({at for at in (*ends, *range(0, length, step)) if 0 <= at < length})


def _calls(kms: KMS, blob: bytes) -> Iterator[Callable[[Deadline | None], object]]:
    yield lambda deadline: kms.wrap(secret(), _ID, deadline=deadline)
    yield lambda deadline: kms.unwrap(blob, _ID, deadline=deadline)
    yield lambda deadline: kms.key(deadline=deadline)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        error = error.__cause__ or error.__context__
        if error is not None:
            yield error


class _all_loggers_at_debug:  # noqa: N801 - reads as a statement
    """Within the block every logger that has a level of its own says everything."""

    def __enter__(self) -> None:
        known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
        self._levels = [(logger, logger.level) for logger in known if logger.level]
        for logger, _ in self._levels:
            logger.setLevel(logging.DEBUG)

    def __exit__(self, *_: object) -> None:
        for logger, level in self._levels:
            logger.setLevel(level)
