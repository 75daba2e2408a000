"""What the labels and the description of a disk say, and what they refuse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.model import GENERATION_MAX
from cloudcrypt.spi import CreateSnapshot, FromSnapshot, FromVolume
from cloudcrypt_gcp import _marks
from cloudcrypt_gcp._marks import Mark, Source
from tests.unit.gcp_given import wanted

SNAPSHOT = "gcp:demo-project/snapshots/7"
VOLUME = "gcp:demo-project/europe-west3-a/7"


texts = st.text(min_size=1, max_size=200)
digests = st.text(max_size=32)
sources = st.builds(Source, texts, texts, st.none() | st.integers(1, 9))


@given(
    st.builds(
        Mark,
        name=texts,
        owner=texts,
        token=texts,
        asked=digests,
        labels=digests,
        source=st.none() | sources,
        maker=st.none() | texts,
        volume=st.none() | texts,
        generation=st.none() | st.integers(1, GENERATION_MAX),
    )
)
def test_a_mark_survives_as_a_description(mark: Mark) -> None:
    assert Mark.of(str(mark)) == mark


@pytest.mark.parametrize(
    "description",
    [
        "",
        "a disk",
        "{}",
        "[]",
        '{"cloudcrypt": 2, "name": "a", "owner": "b", "token": "c"}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b"}',
        '{"cloudcrypt": 1, "name": 1, "owner": "b", "token": "c"}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "more": 1}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "generation": 0}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "generation": true}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "source": 1}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "source": {"id": "x"}}',
        '{"cloudcrypt": 1, "name": "a", "owner": "b", "token": "c", "maker": 5}',
        "[" * 100_000,
    ],
)
def test_what_somebody_else_wrote_is_no_mark(description: str) -> None:
    assert Mark.of(description) is None


def test_a_description_is_short_whatever_is_in_it() -> None:
    source = Source("x" * 128, "y" * 128, GENERATION_MAX)
    intent = wanted("ü" * 200, token="t" * 64, maker="m" * 64)
    assert len(str(_marks.of_volume(intent, "ö" * 200, source))) < 1200


def test_what_is_asked_for_is_known_again_whoever_asks() -> None:
    asked = _marks.asked(wanted())
    assert _marks.asked(wanted(token="another", maker="somebody")) == asked
    others = [
        wanted("other"),
        wanted(size=11 * 2**30),
        wanted(source=FromSnapshot(SNAPSHOT)),
        wanted(source=FromVolume(VOLUME)),
        wanted(source=FromVolume(VOLUME, 2)),
        wanted(place="europe-west3-b"),
        wanted(kind="pd-ssd"),
        wanted(iops=3000),
        wanted(throughput=1),
        wanted(cloud_key="k"),
        wanted(multi_attach=True),
        wanted(labels={"a": "b"}),
    ]
    digests = {_marks.asked(one) for one in others}
    assert len(digests) == len(others)
    assert asked not in digests


def test_labels_of_ours_are_reserved_and_stay() -> None:
    mark = _marks.of_volume(wanted(labels={"team": "a"}), "o", None)
    labels = _marks.labels_of(mark, {"team": "a"})
    assert labels == {"team": "a", "cloudcrypt-owner": "o", "cloudcrypt-token": mark.token}
    assert _marks.callers_labels(labels) == {"team": "a"}
    assert _marks.reserved_labels(labels) == {
        "cloudcrypt-owner": "o",
        "cloudcrypt-token": mark.token,
    }


@pytest.mark.parametrize(
    "labels",
    [
        {"cloudcrypt-x": "y"},
        {"Team": "a"},
        {"1team": "a"},
        {"": "a"},
        {"team": "A"},
        {"team": "a b"},
        {"t" * 64: "a"},
        {"team": "a" * 64},
        {f"label-{each}": "" for each in range(63)},
    ],
)
def test_labels_that_gce_does_not_take_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _marks.of_volume(wanted(labels=labels), "o", None)
    assert caught.value.parameter == "labels"


def test_as_many_labels_as_fit_are_taken() -> None:
    labels = {f"label-{each}": "" for each in range(62)}
    mark = _marks.of_volume(wanted(labels=labels), "o", None)
    assert len(_marks.labels_of(mark, labels)) == 64


@pytest.mark.parametrize("name", ["a\nb", "a\0", "x" * 201])
def test_names_that_cannot_stand_in_a_description_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _marks.of_volume(wanted(name, token="t"), "o", None)
    assert caught.value.parameter == "name"
    with pytest.raises(InvalidRequest):
        _marks.of_snapshot(CreateSnapshot("t", VOLUME, name), "o")


def test_a_generation_beyond_the_largest_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        _marks.of_snapshot(CreateSnapshot("t", VOLUME, "s", GENERATION_MAX + 1), "o")
    assert caught.value.parameter == "generation"


def test_the_token_itself_is_in_no_description() -> None:
    mark = _marks.of_volume(wanted(token="very-own-token"), "o", None)
    assert "very-own-token" not in json.dumps(str(mark))
