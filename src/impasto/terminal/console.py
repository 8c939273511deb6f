"""Exit codes, and lines on stdout and stderr, with settings written as options: `style_size` as --style-size."""

import io
import os
import sys
from contextlib import suppress

from impasto.errors import ImpastoError, rename_settings

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def prepare_streams() -> None:
    """Open stdin, stdout and stderr where they are closed, and have stdout take any file's name.

    The files opened next would take the places of closed ones, and receive what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115, PTH123
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        is_utf8 = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="surrogateescape" if is_utf8 else "replace")


def print_result(text: str) -> None:
    """Print a line on stdout as it is; a reader that has gone, as after `| head`, is no failure.

    Raises ImpastoError where the disk is full.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute_stdout()
    except OSError as error:
        mute_stdout()
        raise ImpastoError(f"The result can't be printed: {error.strerror}") from None


def mute_stdout() -> None:
    """Discard everything that stdout has not flushed yet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_message(text: str) -> None:
    """Print a line on stderr, with settings written as options; a reader that has gone is no failure."""
    with suppress(OSError):
        print(format_flags(text), file=sys.stderr, flush=True)


def format_flags(text: str) -> str:
    """Write each setting in backticks as its option: "`style_size` is too large" as "--style-size is too large"."""
    return rename_settings(text, format_flag)


def format_flag(name: str) -> str:
    """Return the option of a setting: --style-size for style_size."""
    return "--" + name.replace("_", "-")
