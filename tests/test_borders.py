"""Flat borders of paintings: found and left out, and nothing else."""

import io

import pytest
import torch
from conftest import make_picture
from PIL import Image as PilImage

from impasto.images.borders import find_border, trim_border
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.write import to_pil
from impasto.painting.prepare import prepare
from impasto.settings.model import Settings

INSIDE = make_picture(200, 150)


def frame(value: float, top: int = 12, bottom: int = 20, left: int = 10, right: int = 30) -> Image:
    canvas = torch.full((1, 3, 150 + top + bottom, 200 + left + right), value)
    canvas[:, :, top : top + 150, left : left + 200] = INSIDE
    return Image(canvas)


def draw_marks(ground: float, mark: float) -> torch.Tensor:
    canvas = torch.full((1, 3, 200, 200), ground)
    places = torch.randint(30, 170, (40, 2), generator=torch.Generator().manual_seed(0))
    for y, x in places.tolist():
        canvas[:, :, y : y + 3, x : x + 3] = mark
    return canvas


@pytest.mark.parametrize("value", [1.0, 0.93, 0.05, 0.0])
def test_a_flat_border_is_found_on_all_sides(value: float) -> None:
    found = find_border(frame(value))
    for cut, width, side in zip(found, (12, 20, 10, 30), (182, 182, 240, 240), strict=True):
        assert width <= cut <= width + 2 + side // 200
    trimmed, note = trim_border(frame(value))
    assert note
    assert "left out: 13 pixels at the top" in note
    assert abs(trimmed.width - 200) <= 6
    assert torch.equal(trimmed.rgb, trim_border(trimmed)[0].rgb)


def test_a_border_that_was_compressed_is_found() -> None:
    file = io.BytesIO()
    to_pil(frame(0.98).rgb, None).save(file, "JPEG", quality=60)
    found = find_border(read_image(PilImage.open(file)))
    for cut, width in zip(found, (12, 20, 10, 30), strict=True):
        assert abs(cut - width) <= 3


@pytest.mark.parametrize(
    "painting",
    [
        Image(INSIDE),
        frame(0.5),  # gray
        frame(1.0, bottom=0, left=0, right=0),  # a white sky
        frame(1.0, top=1, bottom=1, left=1, right=1),  # a line
        Image(torch.cat([frame(1.0).rgb[:, :1], 0.8 * frame(1.0).rgb[:, 1:]], 1)),  # pink
        Image(frame(1.0).rgb, torch.ones(1, 1, 182, 240)),  # its alpha says what is seen
        frame(1.0, top=150, bottom=150, left=200, right=200),  # a small picture on a page
        Image(torch.ones(1, 3, 100, 100)),
        Image(draw_marks(0.0, 1.0)),  # stars
        Image(draw_marks(1.0, 0.0)),  # a drawing
        Image(torch.linspace(-1, 1, 200).square().mul(-1).add(1).clamp(0, 0.8).expand(1, 3, 150, 200)),  # a glow
    ],
)
def test_what_may_be_painted_stays(painting: Image) -> None:
    assert trim_border(painting) == (painting, None)


def test_a_border_is_left_out_and_said_unless_settings_say_what_is_used() -> None:
    base = {"network": "slim", "guard": 0.0, "views": "1"}
    photo, painting = Image(make_picture(64, 48)), frame(1.0)
    trimmed = prepare(Settings(**base), photo, [painting])
    assert trimmed.paintings[0].width < 210
    assert any("flat border" in note for note in trimmed.notes)
    kept = prepare(Settings(**base, trim="none"), photo, [painting])
    assert kept.paintings[0].width == painting.width
    assert not any("flat border" in note for note in kept.notes)
    masked = prepare(Settings(**base, style_mask="all"), photo, [painting])
    assert masked.paintings[0].width == painting.width
    assert Settings(preset="gatys2015").trim == "none"
