"""The command line: `impasto PHOTO PAINTING` and the other commands.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import difflib
import os
import sys
import traceback

from cyclopts import App, CycloptsError, Parameter
from cyclopts.exceptions import MissingArgumentError, UnknownOptionError

from impasto.cli.batch import batch
from impasto.cli.fast import fast
from impasto.cli.film import film
from impasto.cli.help import format_short_help, make_console, print_full_help
from impasto.cli.live import live
from impasto.cli.networks import networks
from impasto.cli.other_programs import explain_foreign_options
from impasto.cli.paint import paint
from impasto.cli.paintings import paintings
from impasto.cli.pipes import run_with_pipes
from impasto.cli.plan import plan
from impasto.cli.recipes import diff, rerun, show_recipe
from impasto.cli.regions import regions
from impasto.cli.resume import resume
from impasto.cli.sheet import sheet
from impasto.cli.studio import studio
from impasto.cli.style import style
from impasto.cli.texture import texture
from impasto.errors import ImpastoError, UsageError, is_out_of_memory
from impasto.images.collection import COLLECTION
from impasto.terminal.console import (
    DONE,
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    mute_stdout,
    prepare_streams,
    print_message,
    print_result,
)
from impasto.workers.openmp import configure_openmp

MIN_LIKENESS, LIKENESS_STEP = 0.6, 0.05  # of options to a word that is none: those as near as the nearest are named

# impasto.api brings torch, which takes seconds: it is imported where it is used, never by --help.


def _version() -> str:
    from importlib.metadata import version

    return f"impasto {version('impasto')}"


app: App = App(
    name="impasto",
    help="Repaint a photograph in the style of a painting.",
    usage="Usage: impasto [paint] PHOTO PAINTING... [OPTIONS]\n       impasto COMMAND ...",
    version=_version,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=(), json_list=False),  # a file may be called [1].jpg
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.default(paint)
app.command(paint)
for _command in (
    batch,
    diff,
    fast,
    film,
    live,
    networks,
    paintings,
    plan,
    regions,
    rerun,
    resume,
    sheet,
    studio,
    style,
    texture,
):
    app.command(_command)
app.command(show_recipe, name="recipe")


def explain_error(error: BaseException, tokens: list[str]) -> tuple[int, str]:
    """Turn what went wrong into an exit code and words for a person."""
    if isinstance(error, CycloptsError):
        error.verbose = False  # no class names and no file names of ours
        command = f"{tokens[0]} " if tokens and tokens[0] in app else ""
        said, hint = str(error), f"impasto {command}--help shows the options"
        if explained := [*explain_foreign_options(tokens)]:
            said = "\n".join(explained)
        elif isinstance(error, MissingArgumentError):
            if error.argument:
                name = error.argument.name
                said = f"{name} needs a value" if name in tokens else f"{name} is missing"
            hint = _suggest_command(tokens) + hint
            if error.argument and "PAINTING" in error.argument.names:
                hint = f"name a painting, such as {next(iter(COLLECTION))}: impasto paintings lists them; {hint}"
        elif isinstance(error, UnknownOptionError):
            said = _explain_unknown_option(error)
        if said.startswith("Unknown option: --dpi"):
            said = said.partition(".")[0]
            hint = f"give --size in pixels; --size 20cm tells how many that is at 300 dots per inch; {hint}"
        if dashed := next((it for it in tokens if it.startswith("-") and os.path.lexists(it)), ""):
            hint = f"the file is named by ./{dashed}; {hint}"
        return WRONG_USAGE, f"{said}\n{hint}"
    if isinstance(error, UsageError):
        return WRONG_USAGE, str(error)
    if isinstance(error, ImpastoError):
        of_photo = bool(tokens) and str(error).startswith(f"{tokens[0]} does not exist")  # perhaps a command, mistyped
        return FAILED, f"{error}\n{_suggest_command(tokens) if of_photo else ''}".rstrip()
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if is_out_of_memory(error):
        return FAILED, "not enough memory; a smaller `size`, a lighter `network`, or adam as `optimizer` needs less"
    if isinstance(error, OSError):
        return FAILED, f"the system refused: {error}"
    where = "" if os.environ.get("IMPASTO_TRACEBACK") else "; IMPASTO_TRACEBACK=1 shows where"
    return FAILED, f"this is a bug in impasto: {type(error).__name__}: {error}{where}"


def _suggest_command(tokens: list[str]) -> str:
    near = difflib.get_close_matches(tokens[0], [*app], 1) if tokens else []
    return f"did you mean the command {near[0]}? " if near and near[0] != tokens[0] else ""


def _explain_unknown_option(error: UnknownOptionError) -> str:
    word = (error.token.keyword or error.token.value).partition("=")[0]
    names = [name for argument in error.argument_collection if argument.parse for name in argument.names]
    likeness = {name: difflib.SequenceMatcher(None, word, name).ratio() for name in names}
    best = max(likeness.values(), default=0)
    near = [name for name in names if likeness[name] >= max(MIN_LIKENESS, best - LIKENESS_STEP)]
    return f"Unknown option: {word}." + (f" Did you mean {' or '.join(near)}?" if near else "")


def run_command(words: list[str]) -> object:
    """Run a command, or print its help; returns its exit code."""
    if words in ([], ["-h"], ["--help"]):
        print_result(format_short_help())
    elif "--help-all" in words:
        print_full_help(app, [word for word in words if word != "--help-all"], make_console())
    else:
        return app(words, console=make_console())
    return DONE


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    tokens = sys.argv[1:] if argv is None else argv
    if tokens[:1] == ["help"]:
        tokens = [*tokens[1:], "--help"]
    configure_openmp()
    prepare_streams()
    try:
        code = run_with_pipes(tokens, run_command)
        sys.stdout.flush()
    except BrokenPipeError:
        mute_stdout()
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        code, words = explain_error(error, tokens)
        if os.environ.get("IMPASTO_TRACEBACK"):
            traceback.print_exception(error)
        print_message(f"impasto: {words}")
        if isinstance(error, OSError):
            mute_stdout()  # it is perhaps full, and Python would fail at the end too
    return code if isinstance(code, int) else DONE
