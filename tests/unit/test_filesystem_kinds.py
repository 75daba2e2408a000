"""The text that names a filesystem and a mode: exact, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import InvalidRequest
from cloudcrypt.filesystem import FilesystemKind, PayloadChoice
from cloudcrypt.model import Mode

TEXTS = {
    "ext4": PayloadChoice(FilesystemKind.EXT4, Mode.CRYPT),
    "xfs": PayloadChoice(FilesystemKind.XFS, Mode.CRYPT),
    "block": PayloadChoice(None, Mode.CRYPT),
    "ext4-integrity": PayloadChoice(FilesystemKind.EXT4, Mode.INTEGRITY),
    "xfs-integrity": PayloadChoice(FilesystemKind.XFS, Mode.INTEGRITY),
    "block-integrity": PayloadChoice(None, Mode.INTEGRITY),
}
REFUSED = (
    "",
    "ext3",
    "EXT4",
    " ext4",
    "ext4 ",
    "ext4\n",
    "integrity",
    "-integrity",
    "ext4-integrity-integrity",
    "ext4-crypt",
    "btrfs-integrity",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_names_a_filesystem_and_a_mode(text: str) -> None:
    assert TEXTS[text] == PayloadChoice.parse(text)
    assert text == str(TEXTS[text])


@pytest.mark.parametrize("text", REFUSED)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="filesystem"):
        PayloadChoice.parse(text)


@given(st.text(max_size=20))
def test_what_is_accepted_is_one_of_six_texts(text: str) -> None:
    try:
        choice = PayloadChoice.parse(text)
    except InvalidRequest:
        assert text not in TEXTS
    else:
        assert TEXTS[text] == choice
