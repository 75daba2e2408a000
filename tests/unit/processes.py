"""Several processes that do the same at once."""

import subprocess
import sys
from contextlib import ExitStack

START = "import sys; sys.stdin.readline()  # all start together\n"


def in_processes(workers: int, script: str, *arguments: str) -> list[str]:
    """Run ``script`` in so many processes at once; return what each printed, stripped.

    Each gets ``arguments`` and its number, as texts. A script that is not to wait for the others'
    imports makes its own and ends them with `START`.
    """
    command = [sys.executable, "-c", script, *arguments]
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(workers)
        ]
        for worker in running:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        printed = [worker.communicate(timeout=120)[0].strip() for worker in running]
    assert [worker.returncode for worker in running] == [0] * workers
    return printed
