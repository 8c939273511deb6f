"""impasto repaints photographs in the style of paintings: neural style transfer.

Example: impasto.paint("photo.jpg", "painting.jpg").save("picture.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from impasto.api import paint, paint_fast, rerun, save_style, start, texture
    from impasto.errors import (
        CheckpointError,
        DivergedError,
        ImpastoError,
        NetworkError,
        PictureError,
        RecipeError,
        UsageError,
    )
    from impasto.films.film_job import FilmJob
    from impasto.films.film_options import FilmOptions
    from impasto.films.film_run import FilmRun
    from impasto.films.sequence import FrameStep
    from impasto.films.start_film import film, resume_film, start_film
    from impasto.painting.painter import Step
    from impasto.recipes.files import read_recipe, write_recipe
    from impasto.recipes.recipe import Recipe
    from impasto.runs.job import Job
    from impasto.runs.resume import resume
    from impasto.runs.run import Run
    from impasto.runs.start import start_job
    from impasto.settings.model import Settings
    from impasto.terminal.notebook import show

__all__ = [
    "CheckpointError",
    "DivergedError",
    "FilmJob",
    "FilmOptions",
    "FilmRun",
    "FrameStep",
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
    "film",
    "paint",
    "paint_fast",
    "read_recipe",
    "rerun",
    "resume",
    "resume_film",
    "save_style",
    "show",
    "start",
    "start_film",
    "start_job",
    "texture",
    "write_recipe",
]

_HOMES = {
    "api": ("paint", "paint_fast", "rerun", "save_style", "start", "texture"),
    "errors": (
        "CheckpointError",
        "DivergedError",
        "ImpastoError",
        "NetworkError",
        "PictureError",
        "RecipeError",
        "UsageError",
    ),
    "films.start_film": ("film", "resume_film", "start_film"),
    "runs.job": ("Job",),
    "runs.run": ("Run",),
    "runs.start": ("start_job",),
    "painting.painter": ("Step",),
    "recipes.recipe": ("Recipe",),
    "recipes.files": ("read_recipe", "write_recipe"),
    "settings.model": ("Settings",),
    "runs.resume": ("resume",),
    "films.film_job": ("FilmJob",),
    "films.film_options": ("FilmOptions",),
    "films.film_run": ("FilmRun",),
    "films.sequence": ("FrameStep",),
    "terminal.notebook": ("show",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import impasto` itself loads nothing."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"impasto.{home}"), name)
    raise AttributeError(f"module 'impasto' has no attribute {name!r}")
