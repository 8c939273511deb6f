"""Which picture a recipe is of: two recipes with one identity paint the same."""

import hashlib
import json

from impasto.recipes.recipe import Recipe


def identify_recipe(recipe: Recipe) -> str:
    """Return a digest of what makes the picture: its files by their contents, whatever they are called, and settings.

    What came of it, on what machine, and which settings were given or left to the preset, has no part in it.

    Example: identify(read_recipe("picture.png")) == identify(read_recipe("copy.png"))
    """
    files = {role: it.sha256 for role, it in recipe.iterate_files()}
    settings = recipe.settings.model_dump(mode="json", exclude={"network", *recipe.files})  # which are in files
    return hashlib.sha256(json.dumps([files, settings], sort_keys=True).encode()).hexdigest()
