"""The coverage of Python code that runs in a guest, brought home to that of the tests."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import attrs


@attrs.frozen
class Measurement:
    """What of a guest's code is measured, and where the results go."""

    data_file: Path
    """That of the tests: results go beside it, and are combined with it by coverage.py."""
    include: tuple[str, ...]
    """Patterns of files."""
    has_branches: bool

    @classmethod
    def current(cls) -> Self | None:
        """Return what coverage.py measures in this process; None if it measures nothing.

        What it measures is taken from its settings ``source_pkgs``.
        """
        try:
            import coverage  # noqa: PLC0415 - the user may lack it
        except ImportError:
            return None
        current = coverage.Coverage.current()
        if current is None:
            return None
        packages = current.get_option("run:source_pkgs")
        include = tuple(_patterns(packages if isinstance(packages, list) else []))
        data_file = Path(str(current.get_option("run:data_file"))).absolute()
        return cls(data_file, include, bool(current.get_option("run:branch")))

    def request(self) -> dict[str, Any]:
        """Return what the agent is told."""
        return {"include": self.include, "has_branches": self.has_branches}

    def save(self, name: str, results: list[bytes]) -> None:
        """Write what calls have sent home."""
        import coverage  # noqa: PLC0415 - is there: it measures this process

        everything = coverage.CoverageData(basename=f"{self.data_file}.{name}")
        for result in results:
            one = coverage.CoverageData(no_disk=True)
            one.loads(result)
            everything.update(one)
            one.close(force=True)
        everything.write()
        everything.close()


def _patterns(packages: list[str]) -> Iterator[str]:
    for package in packages:
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or []:
            yield f"{folder}/*"
