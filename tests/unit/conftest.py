"""What unit tests share: a node in a folder of its own, and each of the fake clouds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.clouds import CLOUDS, Cloud
from tests.unit.nodes import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a host with an empty ledger."""
    with Node(tmp_path) as node:
        yield node


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Return one fake cloud after the other, each empty."""
    made: Cloud = CLOUDS[request.param](request.getfixturevalue(f"fake_{request.param}"))
    return made
