"""The command line: `impasto PHOTO PAINTING` and `impasto networks`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import difflib
import io
import itertools
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import MissingArgumentError
from cyclopts.validators import Number

from impasto.apps.interrupts import Interrupts
from impasto.apps.networks import networks
from impasto.apps.options import Quiet, read_settings, with_settings
from impasto.apps.progress import Reporter, download, reporter
from impasto.apps.terminal import DONE, FAILED, INTERRUPTED, WRONG_USAGE, answer, hush, say
from impasto.errors import ImpastoError, UsageError
from impasto.pictures.targets import check_target

# api and weights bring torch, which takes seconds: they are imported where they are used, never by --help.
if TYPE_CHECKING:
    from impasto.api import Job, Run
    from impasto.painting.painter import Step

OUTPUT = Group("Output", sort_key=1)


def _version() -> str:
    from importlib.metadata import version

    return f"impasto {version('impasto')}"


app = App(
    name="impasto",
    help="Repaint a photograph in the style of a painting.",
    usage="Usage: impasto [paint] PHOTO PAINTING... [OPTIONS]\n       impasto networks list|fetch|verify [NAME]",
    version=_version,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(networks)


Photo = Annotated[Path, Parameter(help="the photograph")]
Paintings = Annotated[Path, Parameter(name="PAINTING", required=True, help="one or more paintings, for their style")]
Output = Annotated[
    Path | None,
    Parameter(
        alias="-o",
        group=OUTPUT,
        help="where the picture goes: .png, .jpg, .webp, .tif",
        show_default="PHOTO_PAINTING.png, numbered if that exists",
    ),
]
Overwrite = Annotated[
    bool,
    Parameter(group=OUTPUT, negative=(), show_default=False, help="replace the output, and its preview, if they exist"),
]
Bits = Annotated[Literal[8, 16], Parameter(group=OUTPUT, help="per channel; 16 for PNG and TIFF")]
Quality = Annotated[int, Parameter(group=OUTPUT, validator=Number(gte=1, lte=100), help="of JPEG and WebP [1 to 100]")]
SaveEvery = Annotated[
    int,
    Parameter(
        group=OUTPUT, validator=Number(gte=0), help="steps between previews, OUTPUT.preview.png; 0: none [0 or more]"
    ),
]


@app.default
@app.command
@with_settings
def paint(
    photo: Photo,
    /,
    *paintings: Paintings,
    output: Output = None,
    overwrite: Overwrite = False,
    bits: Bits = 8,
    quality: Quality = 95,
    save_every: SaveEvery = 0,
    quiet: Annotated[Quiet, Parameter(group=OUTPUT)] = False,
    **given: Any,
) -> int:
    """Repaint PHOTO in the style of one or more PAINTINGs."""
    settings = read_settings(given)
    if output is None:
        output = free_name(photo, paintings[0])
    # start_job checks this too, but seconds later: torch comes first there.
    check_target(output, inputs=(photo, *paintings), overwrite=overwrite, bits=bits, size=settings.size)
    notice = "" if quiet else "finishing this step; Ctrl-C again stops at once"
    with Interrupts(notice) as interrupts:
        from impasto.api import Job

        job = Job(
            photo=photo,
            paintings=paintings,
            output=output,
            settings=settings,
            save_every=save_every,
            overwrite=overwrite,
            bits=bits,
            quality=quality,
        )
        return paint_job(job, interrupts, quiet)


def free_name(photo: Path, painting: Path) -> Path:
    """Find a name in the current folder that nothing has: photo_painting.png, photo_painting_2.png, ..."""
    stem = f"{photo.stem}_{painting.stem}"
    names = (Path(f"{stem}{suffix}.png") for suffix in itertools.chain([""], (f"_{n}" for n in itertools.count(2))))
    return next(name for name in names if not os.path.lexists(name))


def paint_job(job: "Job", interrupts: Interrupts, quiet: bool) -> int:
    """Paint, show it, write the picture, or what there is of it after a failure or an interrupt."""
    from impasto.api import start_job

    run: Run | None = None
    last: Step | None = None
    finished = False
    failure: BaseException | None = None
    try:
        with download(job.settings.network, quiet) as fetching:
            run = start_job(job, fetch_progress=fetching)
        with reporter(quiet, job.settings) as shown:
            for step in watch(run, shown):
                last = step
                interrupts.mode = "ask"
                if interrupts.asked and step.step < run.total:
                    break
            else:
                finished = True
    except (Exception, KeyboardInterrupt) as error:
        failure = error
    interrupts.mode = "hold"
    if run and last:
        deliver(run, last, quiet, finished)
    if interrupts.asked and not finished:
        say("impasto: interrupted" if last else "impasto: interrupted before the first step; no picture was written")
        return INTERRUPTED
    if failure:
        raise failure
    return DONE


def watch(run: "Run", shown: Reporter) -> Iterator["Step"]:
    """Pass on the steps of a run, and show each with the notes that came with it."""
    told = 0
    try:
        for step in run:
            shown.step(step, run.total)
            for note in run.notes[told:]:
                shown.note(note)
            told = len(run.notes)
            yield step
    finally:
        for note in run.notes[told:]:
            shown.note(note)


def deliver(run: "Run", last: "Step", quiet: bool, finished: bool) -> None:
    """Write the picture and say on stdout where it is."""
    path = run.write()
    size = f"{last.width} x {last.height}, {last.seconds:.1f} s"
    state = "" if finished else f", unfinished: scale {last.scale} of {last.scales}, step {last.step} of {run.total}"
    answer(str(path) if quiet else f"{path}: {size}{state}")


def explain(error: BaseException, tokens: list[str]) -> tuple[int, str]:
    """Turn what went wrong into an exit code and words for a person."""
    if isinstance(error, CycloptsError):
        error.verbose = False  # no class names and no file names of ours
        hint = "impasto --help shows the options"
        near = difflib.get_close_matches(tokens[0], ["paint", "networks"], 1) if tokens else []
        if near and near[0] != tokens[0] and isinstance(error, MissingArgumentError):
            hint = f"did you mean the command {near[0]}? {hint}"
        return WRONG_USAGE, f"{error}\n{hint}"
    if isinstance(error, UsageError):
        return WRONG_USAGE, str(error)
    if isinstance(error, ImpastoError):
        return FAILED, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if _out_of_memory(error):
        return FAILED, "not enough memory; a smaller --size, a lighter --network or --optimizer adam needs less"
    where = "" if os.environ.get("IMPASTO_TRACEBACK") else "; IMPASTO_TRACEBACK=1 shows where"
    return FAILED, f"this is a bug in impasto: {type(error).__name__}: {error}{where}"


def _out_of_memory(error: BaseException) -> bool:
    # torch's own error is not imported for this; its CPU allocator raises a plain RuntimeError.
    name = type(error).__name__
    return isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in str(error)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    tokens = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file name may hold bytes that are no text
    try:
        code = app(tokens)
        sys.stdout.flush()
    except BrokenPipeError:
        hush()
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        code, words = explain(error, tokens)
        if os.environ.get("IMPASTO_TRACEBACK"):
            traceback.print_exception(error)
        say(f"impasto: {words}")
    return code if isinstance(code, int) else DONE
