"""Exit codes, and lines on stdout and stderr that are printed literally: a file named [red].png is no markup."""

import os
import sys
from contextlib import suppress

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def print_result(text: str) -> None:
    """Print a line on stdout, literally; nobody reading on, as after `| head`, is no reason to fail."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute_stdout()


def mute_stdout() -> None:
    """Send what is still to be flushed to stdout nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_message(text: str) -> None:
    """Print a line on stderr; nobody listening is no reason to fail."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
