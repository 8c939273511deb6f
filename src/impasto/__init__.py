"""impasto repaints photographs in the style of paintings: neural style transfer.

Example: impasto.paint("photo.jpg", "painting.jpg").save("picture.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.api import paint, rerun, start, start_job, texture
    from impasto.errors import DivergedError, ImpastoError, NetworkError, PictureError, RecipeError, UsageError
    from impasto.jobs import Job, Run
    from impasto.painting.painter import Step
    from impasto.recipes.recipe import Recipe
    from impasto.recipes.storage import read_recipe, write_recipe
    from impasto.settings import Settings

__all__ = [
    "DivergedError",
    "ImpastoError",
    "Job",
    "NetworkError",
    "PictureError",
    "Recipe",
    "RecipeError",
    "Run",
    "Settings",
    "Step",
    "UsageError",
    "paint",
    "read_recipe",
    "rerun",
    "start",
    "start_job",
    "texture",
    "write_recipe",
]

_HOMES = {
    "api": ("paint", "rerun", "start", "start_job", "texture"),
    "errors": ("DivergedError", "ImpastoError", "NetworkError", "PictureError", "RecipeError", "UsageError"),
    "jobs": ("Job", "Run"),
    "painting.painter": ("Step",),
    "recipes.recipe": ("Recipe",),
    "recipes.storage": ("read_recipe", "write_recipe"),
    "settings": ("Settings",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import impasto` itself loads nothing."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"impasto.{home}"), name)
    raise AttributeError(f"module 'impasto' has no attribute {name!r}")
