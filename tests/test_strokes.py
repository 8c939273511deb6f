"""The size of a painting's strokes, and `style_size` auto."""

from pathlib import Path

import PIL.Image
import pytest
import torch

import impasto
from impasto.images.image import Image
from impasto.images.sizes import resize_clamped
from impasto.images.strokes import choose_style_size
from impasto.painting.prepare import prepare
from impasto.settings.lengths import AUTO, AUTO_RANGE, Length
from impasto.settings.model import Settings


def make_spots(side: int, count: int) -> Image:
    """Make a painting of soft spots, `count` along each side."""
    spots = torch.rand(1, 3, count, count, generator=torch.Generator().manual_seed(0))
    return Image(resize_clamped(spots, side, side))


def test_finer_strokes_are_taken_larger() -> None:
    sizes = [choose_style_size(make_spots(512, count)) for count in (8, 24, 64, 256)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1 < sizes[-1]


@pytest.mark.parametrize("count", [1, 4, 512])
def test_size_stays_within_its_range(count: int) -> None:
    assert AUTO_RANGE[0] <= choose_style_size(make_spots(512, count)) <= AUTO_RANGE[1]


def test_size_of_a_larger_scan_is_about_the_same() -> None:
    assert choose_style_size(make_spots(1024, 32)) == pytest.approx(choose_style_size(make_spots(512, 32)), rel=0.1)


def test_auto_is_chosen_for_each_painting_and_said() -> None:
    paintings = [make_spots(128, 8), make_spots(128, 64), make_spots(128, 64)]
    settings = Settings(preset="draft", size=64, style_size="auto,auto,1")
    prepared = prepare(settings, Image(torch.rand(1, 3, 48, 64)), paintings)
    broad, fine, fixed = (painting.size or Length(0) for painting in prepared.paintings)
    assert broad.value < fine.value
    assert fixed == Length(1)
    assert sum("`style_size` auto" in note for note in prepared.notes) == 2


def test_auto_stays_auto_in_the_recipe(tmp_path: Path) -> None:
    painting = tmp_path / "painting.png"
    PIL.Image.effect_noise((64, 64), 80).convert("RGB").save(painting)
    run = impasto.start(painting, painting, preset="draft", size=64, style_size="auto")
    assert run.recipe().settings.style_size == (AUTO,)
    assert '"auto"' in run.recipe().settings.model_dump_json(include={"style_size"})
