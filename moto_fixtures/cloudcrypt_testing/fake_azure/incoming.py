"""One request to Azure Resource Manager: what it asks for, and whether ARM lets it in."""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs

import attrs

from cloudcrypt_testing.fake_azure import errors, routes, schema
from cloudcrypt_testing.fake_azure.names import Site, same
from cloudcrypt_testing.fake_azure.routes import Route
from cloudcrypt_testing.fake_azure.schema import Problem
from cloudcrypt_testing.world.faults import Call

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_VERSION: Final = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(?:-preview)?", re.ASCII)


@attrs.frozen
class Incoming:
    """A request as it was sent; call `checked` before anything else is made of it."""

    method: str
    path: str
    base: str
    """The URL that the path is below."""
    route: Route | None
    """None: the API has no such operation."""
    in_path: Mapping[str, str]
    in_query: Mapping[str, str]
    body: Mapping[str, Any]
    """The JSON object that was sent; empty if none was."""
    is_garbled: bool
    """Whether the body was no JSON object."""
    is_authorized: bool
    """Whether there was an Authorization header, whatever it says."""
    if_match: str | None = None
    if_none_match: str | None = None
    client_request_id: str | None = None

    @classmethod
    def of(cls, environ: "WSGIEnvironment", body: bytes) -> "Incoming":
        """Read a request."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        route, in_path = routes.found(method, path)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        document = _parsed(body)
        return cls(
            method,
            path,
            f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}",
            route,
            in_path,
            {name: values[-1] for name, values in query.items()},
            document or {},
            is_garbled=document is None,
            is_authorized=bool(environ.get("HTTP_AUTHORIZATION")),
            if_match=environ.get("HTTP_IF_MATCH"),
            if_none_match=environ.get("HTTP_IF_NONE_MATCH"),
            client_request_id=environ.get("HTTP_X_MS_CLIENT_REQUEST_ID"),
        )

    @property
    def call(self) -> Call:
        """The request as rules look at it."""
        return Call("compute", self.action, {**self.in_query, **self.in_path})

    @property
    def action(self) -> str:
        """The name of the operation, or nothing."""
        return self.route.action if self.route is not None else ""

    @property
    def version(self) -> str:
        """The API version."""
        return self.in_query["api-version"]

    @property
    def group(self) -> str:
        """The resource group, as the client wrote it."""
        return self.in_path["resourceGroupName"]

    @property
    def name(self) -> str:
        """The name of the disk, snapshot or virtual machine, as the client wrote it."""
        names = ("diskName", "snapshotName", "vmName", "instanceId")
        return next(self.in_path[name] for name in names if name in self.in_path)

    @property
    def machine(self) -> str | None:
        """The virtual machine as ``group/name`` or ``group/scale set/number``, in lower case."""
        if "vmName" not in self.in_path and "instanceId" not in self.in_path:
            return None
        parts = (self.group, self.in_path.get("vmScaleSetName"), self.name)
        return "/".join(part for part in parts if part is not None).lower()

    def checked(self, site: Site, groups: list[str]) -> "Incoming":
        """Return the request without what the service ignores.

        Raises:
            ArmError: ARM does not let it in, or the operation takes no such thing.
        """
        if not self.is_authorized:
            raise errors.unauthenticated()
        version = self.in_query.get("api-version")
        if not version:
            raise errors.missing_version()
        if not _VERSION.fullmatch(version):
            raise errors.bad_version(version)
        if self.route is None:
            raise errors.not_implemented(f"{self.method} {self.path}")
        self._check_place(site, groups)
        if version < self.route.since:
            raise errors.no_action(self.path.rpartition("/")[2])
        return attrs.evolve(self, body=self._checked_body(self.route))

    def _check_place(self, site: Site, groups: list[str]) -> None:
        subscription = self.in_path["subscriptionId"]
        if not same(subscription, site.subscription):
            raise errors.no_subscription(subscription)
        group = self.in_path.get("resourceGroupName")
        if group is not None and group.lower() not in map(str.lower, groups):
            raise errors.no_group(group)

    def _checked_body(self, route: Route) -> Mapping[str, Any]:
        if route.request is None:
            return {}
        if self.is_garbled:
            raise errors.bad_content("Unexpected character encountered while parsing value.")
        for problem in schema.problems(self.body, route.request):
            raise _refusal(problem)
        return schema.writable(self.body, route.request)


def _parsed(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in ``body``, which may be empty; None if it is something else."""
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _refusal(problem: Problem) -> errors.ArmError:
    match problem.what:
        case "unknown":
            return errors.unknown_field(problem.where, problem.model)
        case "missing":
            message = f"Required parameter '{problem.where}' is missing (null)."
            return errors.ArmError(400, "InvalidParameter", message, problem.where)
        case "choice" if problem.where == "sku.name":
            return errors.bad_account_type(str(problem.value))
        case "choice":
            why = f"'{problem.value}' is none of: {problem.expected}."
            return errors.invalid(problem.where, why)
        case _:
            return errors.bad_content(
                f"Error converting value {problem.value!r} to {problem.expected}. "
                f"Path '{problem.where}'."
            )
