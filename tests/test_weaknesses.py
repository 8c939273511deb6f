"""A painting that will disappoint is told beforehand, in one line, with what to do."""

import math
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from torch import Tensor

import impasto
from impasto.cli.app import main
from impasto.fast.style_file import measure_painting
from impasto.images.collection import COLLECTION
from impasto.images.image import Image
from impasto.images.read import read_image
from impasto.images.weaknesses import find_weaknesses
from impasto.images.write import write_image

RATED = Path(__file__).parents[2] / "shared" / "rated" / "paintings"
QUICK = {"network": "slim", "size": 64, "start_size": 64, "steps": 1, "views": "1"}


def noise(width: int, height: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def find(rgb: Tensor, side: int = 256, *, needs_color: bool = True) -> list[str]:
    return find_weaknesses(Image(rgb), side, needs_color=needs_color)


def test_nothing_is_said_of_a_good_painting() -> None:
    assert find(noise(300, 200)) == []


def test_of_the_paintings_that_come_along_only_the_golden_one_has_a_weakness() -> None:
    said = {name: find_weaknesses(read_image(each.path), 512, needs_color=True) for name, each in COLLECTION.items()}
    (note,) = said.pop("adele_bloch_bauer")
    assert "all of one hue" in note
    assert not any(said.values()), said


@pytest.mark.skipif(not RATED.is_dir(), reason="rated paintings are not at hand")
def test_the_worst_rated_paintings_are_found_and_hardly_one_of_the_best() -> None:
    files = sorted(RATED.glob("*.jpg"))
    weak = [bool(find_weaknesses(read_image(file), 512, needs_color=True)) for file in files]
    assert all(weak[:10])
    assert sum(weak[-10:]) == 1


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_stripes_run_one_way_and_rings_do_not(angle: int) -> None:
    down, right = torch.meshgrid(torch.linspace(-1, 1, 240), torch.linspace(-1, 1, 240), indexing="ij")
    turn = math.radians(angle)
    across = right * math.cos(turn) + down * math.sin(turn)
    colors = noise(240, 240) * 0.5
    stripes = colors + (12 * across).sin()[None, None] * 0.25 + 0.25
    (note,) = find(stripes)
    assert "runs mostly one way" in note
    assert find_weaknesses(Image(stripes), 240, needs_color=False, is_texture=True) == []
    assert find(colors + (12 * torch.hypot(down, right)).sin()[None, None] * 0.25 + 0.25) == []


def test_one_vivid_hue() -> None:
    light = noise(200, 150)[:, :1]
    blue = light * torch.tensor([0.2, 0.5, 1.0]).view(1, 3, 1, 1)
    (note,) = find(blue)
    assert note == (
        "The painting is nearly all of one hue, and so will the picture be: `color` keep gives it the photo's."
    )
    assert find(blue, needs_color=False) == []
    assert find(blue * 0.3 + 0.5 * light) == []  # a pale one is not called so
    assert not any("hue" in note for note in find(torch.cat([blue, blue.flip(1)], dim=-1)))


def test_hardly_any_light_and_dark() -> None:
    (note,) = find(0.7 + 0.2 * noise(300, 200))
    assert "hardly any light and dark" in note


def test_a_drawing_without_color() -> None:
    gray = noise(300, 200).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    (note,) = find(gray)
    assert note == "The painting has hardly any color, nor will the picture: `color` keep gives it the photo's."
    assert find(gray, needs_color=False) == []


def test_a_sheet_of_paper_with_little_on_it() -> None:
    sheet = torch.ones(1, 3, 200, 300)
    sheet[..., 60:140, 60:180] = noise(120, 80)
    (note,) = find(sheet)
    assert "is empty over large parts" in note


def test_a_style_files_weaknesses_are_those_without_the_border() -> None:
    scan = torch.ones(1, 3, 200, 300)
    scan[..., 50:150, 60:240] = noise(180, 100)
    (note,) = measure_painting(Image(scan), 64, "auto", "").notes
    assert "is left out" in note
    assert any("is empty over large parts" in note for note in measure_painting(Image(scan), 64, "none", "").notes)


def test_a_thumbnail_is_too_small_for_a_large_picture() -> None:
    assert find(noise(100, 80), 200) == []
    (note,) = find(noise(100, 80), 201)
    assert "has only 100 pixels and is enlarged to 201" in note
    assert not any("enlarged" in note for note in find(noise(3, 2), 4))


def test_it_is_said_by_a_run_and_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, drawing = tmp_path / "photo.png", tmp_path / "drawing.png"
    write_image(make_picture(96, 64), photo)
    write_image(noise(96, 64)[:, :1].expand(-1, 3, -1, -1), drawing)
    run = impasto.start(photo, drawing, **QUICK)
    for _ in run:
        pass
    assert [note for note in run.notes if "hardly any color" in note] == [
        f"The painting {drawing} has hardly any color, nor will the picture: `color` keep gives it the photo's."
    ]
    kept = impasto.start(photo, drawing, color="keep", **QUICK)
    assert not [note for note in kept.notes if "hardly any color" in note]
    options = [word for name, value in QUICK.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["paint", str(photo), str(drawing), "-o", str(tmp_path / "out.png"), *options]) == 0
    assert "has hardly any color" in " ".join(capsys.readouterr().err.split())
