"""Write docs/reference/errors.md: every error, its remedy, and the machine codes that lead to it.

It is read off the code: the tree of `cloudcrypt.errors`, and the tables by which each adapter
translates what its cloud answers. A test compares; `python tools/error_table.py` writes anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudcrypt_aws._errors as aws
import cloudcrypt_azure._errors as azure
import cloudcrypt_gcp._errors as gcp
from cloudcrypt import errors
from cloudcrypt.errors import Answer, CloudcryptError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors.md"
BY_MESSAGE = " (by its message)"
CLOUDS = {"AWS": "aws", "GCP": "gcp", "Azure": "azure"}

HEAD = """\
# Errors

There is one tree, and each error has one remedy. Programs decide by the class, by `retryable`
(the same request may succeed later) and by `grpc_code`; what a cloud said last is in `answer`.

The machine codes are those by which the adapters translate; `tools/error_table.py` reads them off
the code. A code that means several things is told by its message. A code that no table has becomes
`CloudRefused` (or `ProviderUnavailable`, from HTTP status 500 on) and keeps what the cloud said. An
adapter also raises these errors by itself, where it sees the reason before the cloud does: an error
without codes is always such a one.
"""


def classes(root: type[CloudcryptError]) -> Iterator[type[CloudcryptError]]:
    """Yield the classes below ``root``, each parent before its children."""
    for child in root.__subclasses__():
        if child.__module__.startswith("cloudcrypt.errors"):
            yield child
            yield from classes(child)


Codes = Mapping[type[CloudcryptError], Mapping[str, list[str]]]


def made(table: Mapping[str, Callable[..., Any]], request: object) -> Iterator[tuple[str, Any]]:
    """Yield each code of ``table`` with the class that it becomes."""
    for code, make in table.items():
        yield code, type(make(request, Answer(code, "")))


def all_codes() -> Codes:
    """Return the machine codes by error and cloud."""
    found: dict[type[CloudcryptError], dict[str, list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )

    def add(cloud: str, pairs: Iterable[tuple[str, type[CloudcryptError]]]) -> None:
        for code, kind in pairs:
            if code not in found[kind][cloud]:
                found[kind][cloud].append(code)

    add("aws", made(aws.TABLE, aws.Request("Action", "aws://")))
    add("gcp", made(gcp.REASONS, gcp.Request("action", "gcp://")))
    add("gcp", made(gcp.OPERATION_CODES, gcp.Request("action", "gcp://")))
    add("azure", made(azure.TABLE, azure.Request("action", "azure://")))
    for code, patterns in azure.MESSAGES.items():
        for _, make in patterns:
            kind = type(make(azure.Request("action", "azure://"), Answer(code, "")))
            add("azure", [(f"{code}{BY_MESSAGE}", kind)])
    return found


def page() -> str:
    """Return the whole page."""
    codes = all_codes()
    parts = [HEAD]
    for family in CloudcryptError.__subclasses__():
        members = [family, *classes(family)]
        raised = [each for each in members if each.text]
        parts.append(f"\n## {family.__name__}\n\n{_summary(family)}\n")
        parts.extend(_entry(each, codes.get(each, {})) for each in raised)
    return "".join(parts)


def _entry(kind: type[CloudcryptError], codes: Mapping[str, list[str]]) -> str:
    is_final = "retryable" if kind.retryable else "final"
    lines = [
        f"\n### {kind.__name__}\n",
        f"{_summary(kind)}",
        f"\n- {is_final}, `{kind.grpc_code}`",
        f"- remedy: {_remedy(kind)}",
    ]
    for title, cloud in CLOUDS.items():
        if codes.get(cloud):
            lines.append(f"- {title}: {', '.join(map(_shown, sorted(codes[cloud])))}")
    return "\n".join(lines) + "\n"


def _remedy(kind: type[CloudcryptError]) -> str:
    return "in the message: it depends" if "remedy" in vars(kind) else kind.advice


def _shown(code: str) -> str:
    name = code.removesuffix(BY_MESSAGE)
    return f"`{name}`{code.removeprefix(name)}"


def _summary(kind: type[CloudcryptError]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name}: {len(list(classes(errors.CloudcryptError)))} errors")
