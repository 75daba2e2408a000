"""The program ``cloudcrypt``: the command line, and what surrounds it.

Whatever ends a command, it unwinds: files that are half written are removed, volumes are closed,
keys are wiped. Nothing but a defect of cloudcrypt shows a traceback, and that only on request
(CLOUDCRYPT_DEBUG=1).
"""

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
BROKEN_PIPE = 141


class _Stopped(BaseException):
    """A signal asked the program to end."""


def run() -> None:
    """Run the command line with the arguments of this process, and exit."""
    _prepare_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        sys.exit(_guarded(_command_line))
    except _Stopped as stopped:
        sys.exit(128 + int(stopped.args[0]))


def _command_line() -> int:
    import click  # noqa: PLC0415  # imported within the handlers of _guarded

    from cloudcrypt.cli import main  # noqa: PLC0415  # likewise

    try:
        code = main.main(prog_name="cloudcrypt", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        if "--json" not in sys.argv:
            error.show()
        else:
            _report_json("UsageError", error.format_message(), "see --help")
        return error.exit_code
    return code if isinstance(code, int) else 0


def _guarded(command_line: Callable[[], int]) -> int:
    try:
        return command_line()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201  # the last word of a program
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # for the flush at exit
        return BROKEN_PIPE
    except OSError as error:
        reason = error.strerror or "unknown error"
        print(f"error: {error.filename or 'output'}: {reason}", file=sys.stderr)  # noqa: T201
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # for the flush at exit
        return 1
    except Exception as error:  # noqa: BLE001  # the last handler of all
        if os.environ.get("CLOUDCRYPT_DEBUG"):
            traceback.print_exc()
        advice = "this is a defect of cloudcrypt: please report it, with CLOUDCRYPT_DEBUG=1"
        print(f"error: {type(error).__name__}; {advice}", file=sys.stderr)  # noqa: T201
        return 1


def _prepare_streams() -> None:
    """Have all three streams, and let none of them fail for a character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115  # until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _report_json(kind: str, message: str, remedy: str) -> None:
    document = {
        "type": kind,
        "message": message,
        "remedy": remedy,
        "retryable": False,
        "grpc_code": "INVALID_ARGUMENT",
    }
    print(json.dumps({"error": document}), file=sys.stderr)  # noqa: T201


def _stop(number: int, _: FrameType | None) -> None:
    raise _Stopped(number)


if __name__ == "__main__":
    run()
