"""`-` on the command line: a picture from stdin, or to stdout. And paths as a shell or file manager gives them."""

import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from impasto.cli.run_loop import can_be_resumed
from impasto.errors import ImpastoError, UsageError
from impasto.images.names import parse_file_address
from impasto.terminal.console import INTERRUPTED, mute_stdout, print_message

TO_STDOUT = re.compile(r"(-o|--output)=?-")
FOLDER_COMMANDS = ("batch", "film", "regions", "sheet", "style")  # whose output is no picture, or more than one


def run_with_pipes(tokens: Sequence[str], run: Callable[[list[str]], object]) -> object:
    """Call `run` with the words of a command in which pipes are replaced by temporary files; returns what it returns.

    These are kept where a picture could not be sent to stdout, or where `impasto resume` needs them.
    """
    words = [_expand_path(token) for token in tokens]
    for place, word in enumerate(words[:-1]):
        if word in ("-o", "--output") and words[place + 1] == "-":
            words[place : place + 2] = [f"{word}=-"]
    to_stdout = [place for place, word in enumerate(words) if TO_STDOUT.fullmatch(word)]
    from_stdin = [place for place, word in enumerate(words) if word == "-"]
    if not (to_stdout or from_stdin):
        return run(words)
    folder = Path(tempfile.mkdtemp(prefix="impasto-"))
    output, photo = folder / "stdout.png", folder / "stdin"
    is_kept = False

    def rename(text: str) -> str:
        return text.replace(str(output), "stdout").replace(str(photo), "stdin")

    try:
        for place in from_stdin:
            words[place] = str(photo)
        if from_stdin:
            _read_stdin(photo)
        if to_stdout:
            _check_stdout(words)
        for place in to_stdout:
            words[place] = f"--output={output}"
        code = _run_quietly(words, run, rename) if to_stdout else run(words)
        if output.is_file():
            _send_to_stdout(output)
        is_kept = code == INTERRUPTED
        return code
    except BaseException as error:
        if output.is_file():
            print_message(f"impasto: the picture is kept as {output}")
        is_kept = output.is_file() or can_be_resumed(error)
        if isinstance(error, ImpastoError):
            error.args = (rename(str(error)), *error.args[1:])
        raise
    finally:
        if not is_kept:
            shutil.rmtree(folder, ignore_errors=True)


def _run_quietly(words: list[str], run: Callable[[list[str]], object], rename: Callable[[str], str]) -> object:
    """Run a command whose messages must not mix with the picture on stdout."""
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            return run(words)
    finally:
        if lines := said.getvalue().rstrip():
            print_message(rename(lines))


def _send_to_stdout(picture: Path) -> None:
    """Copy a picture to stdout. Raises ImpastoError where the disk is full, or the reader has gone."""
    try:
        with picture.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    except OSError as error:
        mute_stdout()
        raise ImpastoError(f"The picture can't be sent to stdout: {error.strerror}") from None


def _expand_path(token: str) -> str:
    """Expand ~/ in a word such as ~/photo.jpg or --mask=~/mask.png, and take the path out of file:///home/photo.jpg."""
    option, path = re.fullmatch(r"(--?[a-z-]+=)?(.*)", token, re.DOTALL).groups("")  # type: ignore[union-attr]
    if path.startswith(("~/", "~\\")):
        return option + os.path.expanduser(path)  # noqa: PTH111
    return option + (parse_file_address(path) or path)


def _read_stdin(path: Path) -> None:
    if sys.stdin.isatty():
        raise UsageError("- reads a picture from stdin: pipe one into it, as in cat photo.jpg | impasto - painting.jpg")
    with path.open("xb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)


def _check_stdout(words: Sequence[str]) -> None:
    if words[0] in FOLDER_COMMANDS:
        raise UsageError(f"-o - writes a picture to stdout, and impasto {words[0]} writes something else: name a place")
    if "--json" in words:
        raise UsageError("-o - and --json would both write to stdout: give one of them")
    if sys.stdout.isatty():
        raise UsageError("-o - writes a PNG file to stdout: send it to a file or program, as in -o - > picture.png")
