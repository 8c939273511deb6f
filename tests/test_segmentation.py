"""Regions found by color and place: planted ones come back, and a photo's find their likes in a painting."""

import shlex
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_picture
from torch import Tensor

from impasto.cli.app import main
from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.labels import read_labels
from impasto.images.masks import read_mask
from impasto.images.read import read_image
from impasto.images.segmentation import find_regions
from impasto.images.write import write_image

pytest.importorskip("skimage")
pytest.importorskip("scipy")

SKY, LAND, SUN = (0.5, 0.7, 0.9), (0.2, 0.4, 0.1), (1.0, 0.9, 0.2)


def scene(sky: tuple[float, ...] = SKY, land: tuple[float, ...] = LAND, horizon: int = 40, seed: int = 1) -> Tensor:
    """Sky above land, and a sun, with grain (1, 3, 90, 120)."""
    rgb = torch.tensor(land).view(1, 3, 1, 1).repeat(1, 1, 90, 120)
    rgb[..., :horizon, :] = torch.tensor(sky).view(1, 3, 1, 1)
    rgb[..., 5:25, 80:105] = torch.tensor(SUN).view(1, 3, 1, 1)
    grain = torch.rand(1, 3, 90, 120, generator=torch.Generator().manual_seed(seed))
    return (rgb + 0.08 * (grain - 0.5)).clamp(0, 1)


def where(row: slice, column: slice) -> Tensor:
    mask = torch.zeros(90, 120, dtype=torch.bool)
    mask[row, column] = True
    return mask


SUNNY = where(slice(5, 25), slice(80, 105))
BELOW = where(slice(40, 90), slice(0, 120))


def overlap(mask: Tensor, planted: Tensor) -> float:
    """Common area over joint area."""
    found = mask[0] > 0.5
    return float((found & planted).sum() / (found | planted).sum())


def picture(rgb: Tensor, alpha: Tensor | None = None) -> Image:
    return Image(rgb, alpha)


def test_planted_regions_are_found() -> None:
    found = find_regions(picture(scene()), 3, "the photo")
    torch.testing.assert_close(found.masks.sum(0), torch.ones(1, 90, 120))
    for planted in (SUNNY, BELOW, ~SUNNY & ~BELOW):
        assert max(overlap(mask, planted) for mask in found.masks) > 0.9
    again = find_regions(picture(scene()), 3, "the photo")
    assert torch.equal(again.masks, found.masks)


def test_regions_are_reordered_like_the_photo() -> None:
    photo = find_regions(picture(scene()), 3, "the photo")
    dusk = scene((0.3, 0.2, 0.5), (0.1, 0.05, 0.1), horizon=60, seed=2)
    painting = find_regions(picture(dusk), 3, "the painting").reordered_like(photo)
    below = where(slice(60, 90), slice(0, 120))
    for ours, theirs in ((SUNNY, SUNNY), (BELOW, below)):
        number = max(range(3), key=lambda it: overlap(photo.masks[it], ours))
        assert overlap(painting.masks[number], theirs) > 0.85


def test_transparent_pixels_are_in_no_region() -> None:
    alpha = torch.ones(1, 1, 90, 120)
    alpha[..., :60] = 0
    found = find_regions(picture(scene(), alpha), 2, "the photo")
    assert not found.masks[..., :50].any()
    assert float(found.masks[..., 70:].sum(0).min()) > 0.99


def test_too_few_different_parts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"the photo does not have that many different parts; ask for fewer"):
        find_regions(picture(torch.full((1, 3, 1, 2), 0.5)), 3, "the photo")


def test_missing_scikit_image_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(UsageError, match=r"scikit-image.* is not installed: pip install '\.\[regions\]'"):
        find_regions(picture(scene()), 2, "the photo")


# On the command line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    write_image(scene(), "view.png")
    write_image(scene((0.3, 0.2, 0.5), seed=2), "dusk.png")
    write_image(scene(horizon=60, seed=3), "other/view.png")
    return tmp_path


def test_written_regions_are_read_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regions", "view.png", "dusk.png", "other/view.png", "-o", "found", "-n", "3"]) == 0
    said = capsys.readouterr().out.splitlines()
    written = sorted(path.name for path in (folder / "found").iterdir())
    kinds = ["labels", "region_1", "region_2", "region_3"]
    assert written == sorted(f"{name}_{kind}.png" for name in ("view", "dusk", "view_2") for kind in kinds)
    words = shlex.split(said[-1])
    assert words[:4] == ["impasto", "view.png", "dusk.png", "other/view.png"]
    assert words[-1] == "found/dusk_labels.png,found/view_2_labels.png"
    photo = read_image("view.png")
    masks = torch.cat([read_mask(f"found/view_region_{it}.png", "mask", photo, "photo") for it in (1, 2, 3)])
    torch.testing.assert_close(masks.sum(0), torch.ones(1, 90, 120), atol=0.01, rtol=0)
    labels = read_labels("found/view_labels.png", "labels", photo, "photo")
    assert len(labels.colors) == 3


def test_existing_region_files_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "found").mkdir()
    kept = folder / "found" / "dusk_region_2.png"
    kept.write_bytes(b"mine")
    assert main(["regions", "view.png", "dusk.png", "-o", "found", "-n", "2"]) == 1
    assert "dusk_region_2.png already exists" in capsys.readouterr().err
    assert [path.name for path in (folder / "found").iterdir()] == [kept.name]
    assert main(["regions", "view.png", "dusk.png", "-o", "found", "-n", "2", "--overwrite", "-q"]) == 0
    assert kept.read_bytes() != b"mine"
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["view.png", "dusk.png", "-o", "view.png"], 2, "--output view.png is a file: name a folder"),
        (["view.png", "dusk.png", "-o", "found", "--count", "1"], 2, "--count"),
        (["view.png", "gone.png", "-o", "found"], 1, "gone.png does not exist"),
        (["view.png", "dusk.png"], 2, "--output"),
    ],
)
def test_wrong_arguments_are_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert main(["regions", *words]) == code
    assert said in capsys.readouterr().err
    assert not (folder / "found").exists()


def test_any_aspect_is_segmented() -> None:
    for size in ((400, 20), (20, 400), (500, 300)):
        assert find_regions(picture(make_picture(*size)), 2, "it").masks.shape[0] == 2
