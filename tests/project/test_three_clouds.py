"""The lines of README.md that are the same on every cloud are run on each of them."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import cloudcrypt
from cloudcrypt.device import locate
from cloudcrypt.model import Attachment
from cloudcrypt.registry import OfflineCloud, offline_clouds, open_offline
from cloudcrypt.sizes import GIB

ROOT = Path(__file__).parents[2]


def lines() -> str:
    """Return the function of README.md, with its imports and without its call."""
    blocks: list[str] = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    block = next(each for each in blocks if "def attached_disk(" in each)
    return block[: block.index("\n\n\ndocument = ")]


def test_all_three_clouds_are_simulated() -> None:
    assert offline_clouds() == ("aws", "azure", "gcp")


@pytest.mark.parametrize("name", offline_clouds())
def test_only_the_url_differs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    with ExitStack() as stack:
        cloud: OfflineCloud = stack.enter_context(open_offline(name, tmp_path / name))

        def open_provider(url: str) -> object:
            opened.append(url)
            return cloud.provider

        names: dict[str, Any] = {"open_provider": open_provider, "GIB": GIB}
        exec(lines(), names)  # noqa: S102 - the README of this project
        attached_disk: Callable[[str, str], Attachment] = names["attached_disk"]
        instance = next(iter(cloud.roots))
        attachment = attached_disk(cloud.provider.url, instance)
        device = locate(attachment, root=cloud.roots[instance])
    assert opened[0].startswith(f"{name}://")
    assert (attachment.instance, device.size) == (instance, 20 * GIB)


def test_what_the_readme_imports_is_there() -> None:
    assert {"SqliteJournal", "VolumeRequest", "open_provider"} <= set(cloudcrypt.__all__)
