"""`impasto texture`: a picture in a painting's style without a photo."""

from pathlib import Path
from typing import Annotated, Any

from impasto.cli.arguments import (
    DEFAULT_OUTPUT_OPTIONS,
    FlatOutputOptions,
    PaintingArguments,
    find_free_name,
    make_output_option,
)
from impasto.cli.options import with_settings
from impasto.cli.paint import make_job, start_picture
from impasto.cli.run_loop import paint_run
from impasto.settings.parsing import parse_settings
from impasto.settings.texture import TEXTURE_DEFAULTS, check_texture, merge_texture_size, unmark_defaults


@with_settings(TEXTURE_DEFAULTS)
def texture(
    *paintings: PaintingArguments,
    output: Annotated[Path | None, make_output_option("PAINTING_texture.png, numbered if that exists")] = None,
    options: FlatOutputOptions = DEFAULT_OUTPUT_OPTIONS,
    **given: Any,
) -> int:
    """Paint a texture in the style of one or more PAINTINGs, without a photo.

    It starts from noise in the paintings' colors, and tiles without a seam as long as --padding is
    circular. --size may also be both sides, such as 1024x512. rerun, diff and recipe work with
    textures as with pictures.
    """
    chosen = merge_texture_size({name: value for name, value in given.items() if value is not None})
    settings = unmark_defaults(parse_settings(chosen, TEXTURE_DEFAULTS), chosen)
    check_texture(settings, chosen)
    output = output or find_free_name(paintings[0], "texture")
    job = make_job(None, paintings, output, settings, options)
    return paint_run(lambda fetch: start_picture(job, fetch), job.settings.network, options.quiet, options.as_json)
