"""`impasto texture`: a picture in a painting's style without a photo."""

from pathlib import Path
from typing import Annotated, Any

from impasto.cli.arguments import (
    BitsOption,
    CheckpointOption,
    OverwriteOption,
    PaintingArguments,
    QualityOption,
    QuietOutputOption,
    RecipeFileOption,
    RecipeModeOption,
    SaveEveryOption,
    find_free_name,
    get_stem,
    make_output_option,
)
from impasto.cli.options import parse_settings, with_settings
from impasto.cli.paint import paint_files
from impasto.settings.texture import TEXTURE_DEFAULTS, check_texture, merge_texture_size, unmark_defaults


@with_settings(TEXTURE_DEFAULTS)
def texture(
    *paintings: PaintingArguments,
    output: Annotated[Path | None, make_output_option("PAINTING_texture.png, numbered if that exists")] = None,
    overwrite: OverwriteOption = False,
    bits: BitsOption = 8,
    quality: QualityOption = 95,
    save_every: SaveEveryOption = 0,
    recipe: RecipeModeOption = "embed",
    recipe_file: RecipeFileOption = None,
    checkpoint: CheckpointOption = "auto",
    quiet: QuietOutputOption = False,
    **given: Any,
) -> int:
    """Paint a texture in the style of one or more PAINTINGs, without a photo.

    It begins as noise in the paintings' colours and tiles without a seam, unless --padding is
    another than circular. --size may also be both sides, such as 1024x512. rerun, diff and recipe
    take it like any picture.
    """
    chosen = merge_texture_size({name: value for name, value in given.items() if value is not None})
    settings = unmark_defaults(parse_settings(chosen, TEXTURE_DEFAULTS), chosen)
    check_texture(settings, chosen)
    return paint_files(
        None,
        paintings,
        output or find_free_name(f"{get_stem(paintings[0])}_texture"),
        settings,
        overwrite=overwrite,
        bits=bits,
        quality=quality,
        save_every=save_every,
        recipe=recipe,
        recipe_file=recipe_file,
        checkpoint=checkpoint,
        quiet=quiet,
    )
