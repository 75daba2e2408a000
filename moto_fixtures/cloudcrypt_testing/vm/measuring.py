"""The coverage of Python code that runs in a guest, brought home to that of the tests."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, cast

import attrs


@attrs.frozen
class Measurement:
    """What of a guest's code is measured, and where the results go."""

    data_file: Path
    """That of the tests: results go beside it, and are combined with it by coverage.py."""
    include: tuple[str, ...]
    """Patterns of files."""
    omit: tuple[str, ...]
    """Patterns of files that are left out all the same."""
    has_branches: bool

    @classmethod
    def current(cls) -> Self | None:
        """Return what coverage.py measures in this process; None if it measures nothing.

        What it measures is taken from its settings ``source_pkgs`` and ``omit``.
        """
        try:
            import coverage  # noqa: PLC0415 - the user may lack it
        except ImportError:
            return None
        current = coverage.Coverage.current()
        if current is None:
            return None
        packages, omitted = (
            _listed(current.get_option(f"run:{n}")) for n in ("source_pkgs", "omit")
        )
        return cls(
            Path(str(current.get_option("run:data_file"))).absolute(),
            tuple(pattern for package in packages for pattern in _patterns(package)),
            tuple(each if each.startswith("*") else str(Path(each).absolute()) for each in omitted),
            bool(current.get_option("run:branch")),
        )

    def request(self) -> dict[str, Any]:
        """Return what the agent is told."""
        return attrs.asdict(self, filter=attrs.filters.exclude(attrs.fields(Measurement).data_file))

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


def _listed(option: object) -> list[str]:
    return cast("list[str]", option) if isinstance(option, list) else []


def _patterns(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or []:
        yield f"{folder}/*"
