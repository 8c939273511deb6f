"""What `import impasto` promises, as docs/reference/python.md says: names, parameters and members, held by a table."""

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import impasto

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "python.md"
OUTPUT = "output=None, overwrite=False, recipe='embed', checkpoint='auto'"
BASE_JOB = "settings=..., save_every=0, overwrite=False, recipe='embed', recipe_file=None, notes=..."
SIGNATURES = {
    "paint": f"(photo, paintings, *, {OUTPUT}, settings=None, **overrides)",
    "paint_fast": "(photo, paintings, *, output=None, overwrite=False, recipe='embed', settings=None, **overrides)",
    "save_style": "(painting, output, *, size=512, trim='auto', credit=None, overwrite=False)",
    "texture": f"(paintings, *, {OUTPUT}, settings=None, **overrides)",
    "rerun": f"(source, *, {OUTPUT}, search=(), **overrides)",
    "resume": "(checkpoint, *, overwrite=False, fetch_progress=None)",
    "start": "(photo, paintings, *, settings=None, fetch_progress=None, **overrides)",
    "show": "(run)",
    "start_job": "(job, fetch_progress=None, cache=None, may_replace=...)",
    "film": "(source, paintings, *, output, overwrite=False, recipe='embed', settings=None, options=None, **overrides)",
    "start_film": "(job, fetch_progress=None)",
    "resume_film": "(path, fetch_progress=None)",
    "read_recipe": "(path)",
    "write_recipe": "(recipe, path, *, overwrite=False)",
    "Job": f"(*, paintings, output, {BASE_JOB}, photo, bits=8, quality=95, checkpoint='auto', first=None)",
    "FilmJob": f"(*, paintings, output, {BASE_JOB}, source, options=...)",
    "UsageError": "(message, *, setting='')",
    "Run.steer": "(self, **changes)",
    "Run.picture": "(self)",
    "Run.recipe": "(self)",
    "Run.write": "(self, path=None, *, recipe=None)",
    "Run.save_checkpoint": "(self)",
    "FilmRun.picture": "(self)",
    "FilmRun.recipe": "(self)",
    "FilmRun.save_checkpoint": "(self)",
    "FilmRun.close": "(self)",
    "Recipe.to_dict": "(self)",
    "Recipe.to_json": "(self, indent=None)",
}
PROPERTIES = {
    "Run": "is_finished notes plan seconds settings total_steps",
    "FilmRun": "frame_count notes output painted_frames seconds",
}
STEP = "scale scales step width height losses seconds progress notes"
FIELDS = {"Step": STEP, "FrameStep": f"{STEP} frame frames pass_number passes"}
SETTINGS = """
    preset size fit max_pixels seed aspect init fast_strength init_noise init_blur noise noise_strength content_weight
    style_weight style_size style_blend gram_shift tv_weight tv_loss tv_exponent range_weight content_taps
    coarse_taps content_colors structure_weight style_taps content_loss views style_loss normalize_gradients mask
    style_mask
    trim preserve_mask guard guard_mask
    labels style_labels regions mask_propagation color color_space color_match color_strength network large_view_network
    large_view_size layout pooling pooling_gain pooling_ceil_mode input_scaling padding device precision memory
    optimizer start_size scale_step steps later_steps final_steps learning_rate adam_beta1 adam_beta2 adam_epsilon
    lbfgs_history lbfgs_max_step lbfgs_range lbfgs_preconditioner clamp min_improvement ema_decay
"""
FILM_OPTIONS = """
    start end every rate codec quality sound temporal_weight look_back frame_init cuts passes frame_steps
    frame_tolerance
"""
MODEL_FIELDS = {
    "Settings": SETTINGS,
    "FilmOptions": FILM_OPTIONS,
    "Recipe": "recipe photo paintings files network settings given overridden result painted_with",
}
PLAIN = (str, int, float, tuple, type(None))


def find(name: str) -> Any:
    owner, _, member = name.partition(".")
    found = getattr(impasto, owner)
    return getattr(found, member) if member else found


def write_signature(name: str) -> str:
    """Write names, kinds and defaults of parameters; a default that is made anew, or no plain value, is `...`."""
    promised = inspect.signature(find(name)).parameters.values()
    plain = [
        one.replace(annotation=one.empty, default=one.default if is_plain(one.default) else ...) for one in promised
    ]
    return str(inspect.Signature(plain)).replace("Ellipsis", "...")


def is_plain(default: object) -> bool:
    return default is inspect.Parameter.empty or isinstance(default, PLAIN)


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items(), ids=SIGNATURES)
def test_signature_is_the_promised_one(name, signature):
    assert write_signature(name) == signature


@pytest.mark.parametrize(("name", "members"), PROPERTIES.items(), ids=PROPERTIES)
def test_promised_properties_exist(name, members):
    assert [
        member for member in members.split() if not isinstance(inspect.getattr_static(find(name), member), property)
    ] == []


@pytest.mark.parametrize(("name", "members"), FIELDS.items(), ids=FIELDS)
def test_steps_have_the_promised_fields(name, members):
    assert [field.name for field in fields(find(name))] == members.split()


@pytest.mark.parametrize(("name", "members"), MODEL_FIELDS.items(), ids=MODEL_FIELDS)
def test_settings_and_recipes_have_the_promised_fields(name, members):
    assert set(find(name).model_fields) == set(members.split())


def test_errors_are_of_one_family():
    errors = [name for name in impasto.__all__ if name.endswith("Error")]
    assert len(errors) == 7
    assert all(issubclass(find(name), impasto.ImpastoError) for name in errors)


def test_the_page_lists_all_names_and_no_other():
    page = PAGE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: impasto\.(\w+)$", page, re.MULTILINE)) == sorted(impasto.__all__)


def test_the_page_lists_all_members():
    page = PAGE.read_text(encoding="utf-8")
    members = [member for listed in PROPERTIES.values() for member in listed.split()]
    members += [name.partition(".")[2] for name in SIGNATURES if "." in name]
    assert [member for member in members if f"`{member}`" not in page] == []
