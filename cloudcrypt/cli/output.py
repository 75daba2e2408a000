"""What a command prints: one result, for people or as JSON; errors likewise; progress on stderr."""

import json
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from cloudcrypt.errors import (
    CloudcryptError,
    DeviceError,
    HeaderError,
    HeaderRefused,
    HostError,
    IntegrityError,
    KeyServiceError,
    ProviderError,
    RequestError,
    StateError,
)

EXIT_CODES: Mapping[type[CloudcryptError], int] = {
    RequestError: 2,
    HeaderError: 3,
    KeyServiceError: 4,
    DeviceError: 5,
    ProviderError: 6,
    StateError: 7,
    HostError: 8,
    IntegrityError: 9,
}
"""The exit code of each family of errors."""

INTERRUPTED = 130
"""The exit code after SIGINT, as shells have it."""

BROKEN_PIPE = 141
"""The exit code after nobody reads the output any more, as shells have it for SIGPIPE."""

_JSON = "cloudcrypt.json"
_STEP = 10  # percent between two lines of progress without a terminal


def exit_code(error: CloudcryptError) -> int:
    """Return the exit code of the family of ``error``."""
    return next((code for family, code in EXIT_CODES.items() if isinstance(error, family)), 1)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --json, which it does not see itself."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
        context.meta[_JSON] = value

    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Print one JSON document.",
    )(command)


def wants_json() -> bool:
    """Say whether the running command prints JSON."""
    context = click.get_current_context(silent=True)
    return bool(context is not None and context.meta.get(_JSON))


class Group(click.Group):
    """A group whose commands report errors of cloudcrypt as values, with an exit code each."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's own signature
        """Run the command, and turn an error of the one tree into its report and exit code."""
        try:
            return super().invoke(ctx)
        except CloudcryptError as error:
            report(error, as_json=bool(ctx.meta.get(_JSON)))
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # for the flush at exit
            ctx.exit(BROKEN_PIPE)


def report(error: CloudcryptError, *, as_json: bool) -> None:
    """Print ``error`` on standard error."""
    if as_json:
        document: dict[str, object] = {
            "type": type(error).__name__,
            "message": error.message,
            "remedy": error.remedy,
            "retryable": error.retryable,
            "grpc_code": error.grpc_code,
        }
        if isinstance(error, HeaderRefused):
            document |= {"step": error.step, "step_name": error.step_name}
        if error.answer is not None:
            document["cloud"] = attrs.asdict(error.answer)
        click.echo(json.dumps({"error": document}), err=True)
        return
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(error.message))
    console.print(Text("remedy: ", style="bold") + Text(error.remedy))


def show(document: Mapping[str, object]) -> None:
    """Print one result: its fields a line each, or as JSON."""
    if wants_json():
        click.echo(json.dumps(document))
        return
    width = max(map(len, document), default=0)
    for name, value in document.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_plain(value)}")


def show_rows(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print a list of results: a table, or as JSON under ``name``."""
    if wants_json():
        click.echo(json.dumps({name: list(rows)}))
        return
    if not rows:
        click.echo(f"no {name}")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = dict.fromkeys(column for row in rows for column in row)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(row.get(column))) for column in columns))
    # Without a terminal nothing is folded or cut: a line is a row.
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def say(text: str) -> None:
    """Print a line for people; silent with --json."""
    if not wants_json():
        click.echo(text)


@contextmanager
def progress(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Yield a function that is told of every so many bytes done, and shows it on standard error.

    A bar on a terminal; else a line for each tenth, or nothing if ``total`` is 0, for unknown;
    nothing with --json.
    """
    console = Console(stderr=True)
    if wants_json() or not (total or console.is_terminal):
        yield lambda _: None
    elif console.is_terminal:
        columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total or None)
            yield lambda count: bar.advance(task, count)
    else:
        yield _lines(what, total)


@contextmanager
def working(what: str) -> Generator[None]:
    """Show on a terminal that something of unknown length is under way; else nothing."""
    console = Console(stderr=True)
    if wants_json() or not console.is_terminal:
        yield
    else:
        with console.status(what):
            yield


class Steps:
    """Turns "so many of so many" into the "so many more" that `progress` is told."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        """Tell ``advance``."""
        self._advance = advance
        self._done = 0

    def __call__(self, done: int, _: int) -> None:
        """Say how much has been done in all."""
        self._advance(done - self._done)
        self._done = done


def _lines(what: str, total: int) -> Callable[[int], None]:
    done, printed = 0, 0

    def advance(count: int) -> None:
        nonlocal done, printed
        done += count
        percent = done * 100 // total
        if percent >= printed + _STEP:
            printed = percent - percent % _STEP
            click.echo(f"{what}: {printed} %", err=True)

    return advance


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return ", ".join(f"{key}={_plain(item)}" for key, item in items) or "-"
    if isinstance(value, list):
        return ", ".join(map(_plain, cast("list[object]", value))) or "-"
    return str(value)
