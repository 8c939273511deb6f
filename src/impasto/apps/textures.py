"""`impasto texture`: a picture in a painting's style without a photo."""

from pathlib import Path
from typing import Annotated, Any

from impasto.apps.arguments import (
    Bits,
    Keeping,
    KeptIn,
    Overwrite,
    Paintings,
    Quality,
    RecipeFile,
    SaveEvery,
    Silent,
    free_name,
    output_option,
    stem_of,
)
from impasto.apps.options import read_settings, with_settings
from impasto.apps.painting import paint_files
from impasto.settings import Settings
from impasto.textures import TEXTURE, check_texture, forget_defaults, merge_size


@with_settings(Settings(**TEXTURE))
def texture(
    *paintings: Paintings,
    output: Annotated[Path | None, output_option("PAINTING_texture.png, numbered if that exists")] = None,
    overwrite: Overwrite = False,
    bits: Bits = 8,
    quality: Quality = 95,
    save_every: SaveEvery = 0,
    recipe: Keeping = "embed",
    recipe_file: RecipeFile = None,
    checkpoint: KeptIn = "auto",
    quiet: Silent = False,
    **given: Any,
) -> int:
    """Paint a texture in the style of one or more PAINTINGs, without a photo.

    It begins as noise in the paintings' colours and tiles without a seam, unless --padding is
    another than circular. --size may also be both sides, such as 1024x512. rerun, diff and recipe
    take it like any picture.
    """
    chosen = merge_size({name: value for name, value in given.items() if value is not None})
    settings = forget_defaults(read_settings(chosen, TEXTURE), chosen)
    check_texture(settings, chosen)
    return paint_files(
        None,
        paintings,
        output or free_name(f"{stem_of(paintings[0])}_texture"),
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
