"""What unit tests share: a node in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.nodes import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a host with an empty ledger."""
    with Node(tmp_path) as node:
        yield node
