"""Names, paths, URLs and numbers of resources."""

import itertools
import re
from collections.abc import Mapping
from typing import Final

import attrs

from cloudcrypt_testing.fake_gce import errors

BASE: Final = "https://www.googleapis.com/compute/v1/"
"""How the URLs begin that the API answers with."""

_BASES: Final = (BASE, "https://compute.googleapis.com/compute/v1/")
_ID: Final = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_NUMBERS: Final = itertools.count(1)
_FIRST_ID: Final = 3_141_592_653_589_793_238
_STEP: Final = 1_000_003


def new_id() -> str:
    """Return an id, 19 digits long, that no resource of any fake in this process has."""
    return str(_FIRST_ID + _STEP * next(_NUMBERS))


def is_id(text: str) -> bool:
    """Say whether ``text`` is the id of a resource, and not its name."""
    return _ID.fullmatch(text) is not None


@attrs.frozen
class Site:
    """The project, and the regions that there are."""

    project: str
    number: str
    """What the project is called where numbers are preferred."""
    regions: Mapping[str, tuple[str, ...]]
    """The zones of each."""

    @property
    def zones(self) -> Mapping[str, str]:
        """The region of each zone."""
        return {zone: region for region, zones in self.regions.items() for zone in zones}

    def full(self, path: str) -> str:
        """Return a path within the project as a path that names the project."""
        return f"projects/{self.project}/{path}"

    def url(self, path: str) -> str:
        """Return the URL of a path within the project."""
        return BASE + self.full(path)

    def region(self, scope: str) -> str:
        """Return the region of a zone or region."""
        kind, _, name = scope.partition("/")
        return self.zones[name] if kind == "zones" else name

    def path(self, field: str, url: str) -> str:
        """Return the path within the project of what ``url`` names, which may be partial.

        Raises:
            GceError: ``url`` is not one, or names another project.
        """
        rest = url
        for base in _BASES:
            rest = rest.removeprefix(base)
        if rest.startswith("projects/"):
            _, project, rest = [*rest.split("/", 2), ""][:3]
            self.check_project(project)
        if not rest.startswith(("zones/", "regions/", "global/")):
            raise errors.invalid(field, url, "The URL is malformed.")
        return rest

    def check_project(self, project: str) -> None:
        """Raise what the API says of a project that is not this one."""
        if project not in {self.project, self.number}:
            raise errors.not_found(f"projects/{project}")

    def check_scope(self, scope: str) -> None:
        """Raise what the API says of a zone or region that does not exist."""
        kind, _, name = scope.partition("/")
        if kind == "zones" and name not in self.zones:
            raise errors.invalid("zone", name, "Unknown zone.")
        if kind == "regions" and name not in self.regions:
            raise errors.invalid("region", name, "Unknown region.")
