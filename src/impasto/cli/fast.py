"""`impasto fast`: a picture in one pass."""

from pathlib import Path
from typing import Annotated, Any

from impasto.cli.arguments import (
    DEFAULT_OUTPUT_OPTIONS,
    FlatOutputOptions,
    PaintingArguments,
    PhotoArgument,
    find_free_name,
    make_output_option,
)
from impasto.cli.options import with_settings
from impasto.cli.paint import make_job, start_picture
from impasto.cli.run_loop import paint_run
from impasto.settings.dependencies import check_one_pass
from impasto.settings.parsing import parse_settings
from impasto.settings.presets import FAST_DEFAULTS, PRESETS


@with_settings({**FAST_DEFAULTS, **PRESETS["instant"]})
def fast(
    photo: PhotoArgument,
    /,
    *paintings: PaintingArguments,
    output: Annotated[Path | None, make_output_option("PHOTO_PAINTING.png, numbered if that exists")] = None,
    options: FlatOutputOptions = DEFAULT_OUTPUT_OPTIONS,
    **given: Any,
) -> int:
    """Repaint PHOTO in the style of one or more PAINTINGs at once, in one pass.

    It is impasto with --preset instant: nearer to the photo than a picture that is painted in
    steps, and without the painting's large forms. --fast-strength says how far it goes. What
    impasto style saved can stand for a painting.
    """
    settings = parse_settings(given, FAST_DEFAULTS)
    check_one_pass(settings)
    output = output or find_free_name(photo, paintings[0])
    job = make_job(photo, paintings, output, settings, options)
    return paint_run(lambda fetch: start_picture(job, fetch), job.settings.network, options.quiet, options.as_json)
