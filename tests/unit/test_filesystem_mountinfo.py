"""The kernel's table of mounts: whatever names it holds, each mount comes back as it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudcrypt.errors import HostUnready
from cloudcrypt.filesystem import Mount
from cloudcrypt.filesystem.mountinfo import parse, top_at
from tests.unit.mount_tables import ROOT, line

PROC_5 = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
"""The example of proc(5)."""

names = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: not {0, 47} & {*name})
    .map(lambda name: name.decode("utf-8", "surrogateescape"))
)
paths = st.lists(names.filter(lambda name: name not in {".", ".."}), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
words = st.frozensets(st.from_regex(r"[a-z_=0-9]{1,9}", fullmatch=True), min_size=1, max_size=4)
mounts = st.builds(
    Mount,
    id=st.integers(0, 2**31),
    parent=st.integers(0, 2**31),
    number=st.tuples(st.integers(0, 4095), st.integers(0, 2**20)),
    root=paths,
    target=paths.map(Path),
    options=words,
    kind=st.sampled_from(["ext4", "xfs", "fuse.sshfs", "proc"]),
    source=names | paths | st.just(""),
    super_options=words,
)
optional = st.lists(
    st.sampled_from([b"shared:1", b"master:2", b"propagate_from:3", b"unbindable"]), max_size=3
).map(tuple)


def test_the_example_of_the_manual_is_understood() -> None:
    expected = Mount(
        36,
        35,
        (98, 0),
        "/mnt1",
        Path("/mnt2"),
        frozenset({"rw", "noatime"}),
        "ext3",
        "/dev/root",
        frozenset({"rw", "errors=continue"}),
    )
    assert (expected,) == parse(PROC_5)
    assert not expected.is_read_only


@given(st.lists(st.tuples(mounts, optional), max_size=5))
def test_every_mount_comes_back_as_it_is(table: list[tuple[Mount, tuple[bytes, ...]]]) -> None:
    text = b"".join(line(mount, fields) for mount, fields in table)
    assert tuple(mount for mount, _ in table) == parse(text)


@pytest.mark.parametrize(
    "target", ["/with space", "/with\ttab", "/with\nnewline", "/with\rreturn", "/back\\slash", "/-"]
)
def test_names_that_break_a_table_do_not(target: str) -> None:
    (mount,) = parse(PROC_5)
    odd = Mount(1, 2, (3, 4), "/", Path(target), mount.options, "xfs", "- -", mount.super_options)
    assert (mount, odd) == parse(PROC_5 + line(odd))


@pytest.mark.parametrize(
    "text",
    [
        b"36",
        PROC_5.replace(b" - ", b" "),
        PROC_5.replace(b"98:0", b"98"),
        PROC_5.replace(b"98:0", b"98:x"),
        PROC_5.replace(b"36", b"one"),
        PROC_5.partition(b" /dev/root")[0],
        b"\xff" * 100,
    ],
)
def test_a_table_that_cannot_be_understood_is_not_an_empty_one(text: bytes) -> None:
    with pytest.raises(HostUnready, match="mountinfo"):
        parse(ROOT + text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_an_error(text: bytes) -> None:
    try:
        parse(text)
    except HostUnready:
        return


def stacked(*levels: tuple[int, int, str]) -> list[Mount]:
    return [
        Mount(own, parent, (8, own), "/", Path(target), frozenset(), "ext4", "x", frozenset())
        for own, parent, target in levels
    ]


def test_the_mount_on_top_is_the_one_that_no_other_stands_on() -> None:
    table = stacked((2, 1, "/a"), (4, 3, "/a"), (3, 2, "/a"), (5, 4, "/a/b"), (6, 1, "/c"))
    top = top_at(table, Path("/a"))
    assert top is not None
    assert top.id == 4
    assert top_at(table, Path("/a/b/c")) is None


@pytest.mark.parametrize(
    ("own", "of_filesystem", "expected"),
    [("rw", "rw", False), ("ro", "rw", True), ("rw", "ro", True), ("ro", "ro", True)],
)
def test_a_mount_is_read_only_by_its_own_option_or_its_filesystems(
    own: str, of_filesystem: str, *, expected: bool
) -> None:
    text = PROC_5.replace(b" rw,noatime", b" " + own.encode()).replace(
        b"rw,errors", of_filesystem.encode() + b",errors"
    )
    assert expected is parse(text)[0].is_read_only
