"""Black and white photos and paintings give black and white pictures, however the canvas begins."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image as PilImage

import impasto
from impasto.images.color import is_gray, to_gray
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.write import to_pil

QUICK: dict[str, Any] = {"size": 48, "steps": 4, "later_steps": 4, "network": "slim", "views": (1.0,)}
COLOR_PHOTO, COLOR_PAINTING = to_pil(make_picture(64, 48, 1)), to_pil(make_picture(64, 48, 2))
PHOTO, PAINTING = COLOR_PHOTO.convert("L"), COLOR_PAINTING.convert("L")


def measure_spread(picture: PilImage.Image) -> int:
    """The largest difference between the channels of a pixel, 0 to 255."""
    return int(np.ptp(np.asarray(picture).astype(int), axis=-1).max())


@pytest.mark.parametrize("chosen", [{"init": "noise"}, {"init": "photo"}, {"init": "recolored"}, {"init": "painting"}])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_black_and_white_sources_give_black_and_white(chosen: dict[str, Any], optimizer: str) -> None:
    assert measure_spread(impasto.paint(PHOTO, PAINTING, optimizer=optimizer, **chosen, **QUICK)) == 0


@pytest.mark.parametrize("method", ["symmetric", "cholesky", "pca", "histogram"])
@pytest.mark.parametrize("init", ["noise", "photo"])
def test_matching_a_black_and_white_photo_gives_black_and_white(method: str, init: str) -> None:
    picture = impasto.paint(PHOTO, COLOR_PAINTING, color="match", color_match=method, init=init, **QUICK)
    assert measure_spread(picture) == 0


def test_texture_of_a_black_and_white_painting_is_black_and_white() -> None:
    assert measure_spread(impasto.texture(PAINTING, **{**QUICK, "size": 64})) == 0


@pytest.mark.parametrize("sources", [(PHOTO, COLOR_PAINTING), (COLOR_PHOTO, PAINTING)])
def test_one_colored_source_may_color_the_picture(sources: tuple[PilImage.Image, PilImage.Image]) -> None:
    assert measure_spread(impasto.paint(*sources, init="noise", **QUICK)) > 5


def test_steering_to_a_colored_painting_gives_color() -> None:
    run = impasto.start(PHOTO, [PAINTING, COLOR_PAINTING], init="noise", style_blend=(1, 0), **QUICK)
    next(run)
    assert measure_spread(run.picture()) == 0
    run.steer(style_blend=(0, 1))
    for _ in run:
        pass
    assert measure_spread(run.picture()) > 5


def test_gray_that_jpeg_has_rounded_is_gray(tmp_path: Any) -> None:
    PHOTO.convert("RGB").save(tmp_path / "a.jpg", quality=60)
    assert is_gray(read_image(tmp_path / "a.jpg"))
    assert not is_gray(read_image(COLOR_PHOTO))


def test_colors_that_are_transparent_do_not_count() -> None:
    rgb, alpha = to_gray(make_picture(8, 8)).clone(), torch.ones(1, 1, 8, 8)
    rgb[..., 0] = torch.tensor([1.0, 0, 0]).view(1, 3, 1)
    alpha[..., 0] = 0
    assert is_gray(Image(rgb, alpha))
    assert not is_gray(Image(rgb))
