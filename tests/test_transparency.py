"""Transparent pixels: what lies hidden in them changes nothing that is seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image as PilImage

import impasto
from impasto.errors import UsageError
from impasto.images.read import read_image
from impasto.images.transparency import fill_hidden

SETTINGS = {"network": "slim", "views": "1", "guard": 0.0, "size": 64, "start_size": 64, "steps": 2}


def cut_out(hidden: int, size: tuple[int, int] = (64, 48)) -> PilImage.Image:
    rgb = (255 * make_picture(*size)[0]).round().byte().permute(1, 2, 0).numpy().copy()
    alpha = np.zeros(rgb.shape[:2], np.uint8)
    alpha[10:40, 8:50] = 255
    alpha[10:12, 8:50] = 90
    rgb[alpha == 0] = hidden
    return PilImage.fromarray(np.dstack([rgb, alpha]))


def test_hidden_colors_become_those_around_them_and_visible_ones_stay() -> None:
    white, black = (read_image(cut_out(hidden)).with_hidden_filled() for hidden in (255, 0))
    assert torch.equal(white.rgb, black.rgb)
    assert white.alpha is not None
    raw = torch.from_numpy(np.asarray(cut_out(255)).copy()).permute(2, 0, 1)[None, :3] / 255
    is_visible = (white.alpha > 0).expand_as(raw)
    torch.testing.assert_close(white.rgb[is_visible], raw[is_visible], atol=1e-6, rtol=0)
    lowest, highest = float(raw[is_visible].min()), float(raw[is_visible].max())
    assert lowest - 1e-6 <= float(white.rgb.min()) <= float(white.rgb.max()) <= highest + 1e-6
    beside = (white.rgb[:, :, 20:30, 7] - white.rgb[:, :, 20:30, 8]).abs().mean()
    assert float(beside) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (5, 3), (64, 48)])
def test_any_size_is_filled(size: tuple[int, int]) -> None:
    rgb = torch.rand(1, 3, *size)
    for alpha in (torch.zeros(1, 1, *size), torch.ones(1, 1, *size), (torch.rand(1, 1, *size) > 0.9).float()):
        filled = fill_hidden(rgb, alpha)
        assert bool(filled.isfinite().all())
        assert torch.equal(filled.where(alpha > 0, rgb), rgb)


@pytest.mark.parametrize("settings", [SETTINGS, {"preset": "instant", "size": 64}])
def test_a_cut_out_is_painted_the_same_whatever_it_hides(settings: dict[str, object], tmp_path: Path) -> None:
    PilImage.fromarray(np.asarray(cut_out(200, (80, 70)))[..., :3]).save(tmp_path / "painting.png")
    painting = tmp_path / "painting.png"
    pictures = [np.asarray(impasto.paint(cut_out(hidden), painting, **settings)) for hidden in (255, 0)]
    is_visible = np.asarray(cut_out(0))[..., 3] > 0
    assert np.array_equal(*(picture[is_visible] for picture in pictures))
    assert np.array_equal(pictures[0][..., 3], np.asarray(cut_out(0))[..., 3])
    for picture, hidden in zip(pictures, (255, 0), strict=True):  # which are kept
        assert (picture[~is_visible][:, :3] == hidden).all()


@pytest.mark.parametrize("chosen", [{"color": "keep"}, {"color": "only"}, {"preserve_mask": "mask.png"}])
def test_hidden_colors_are_seen_at_no_edge_of_a_reduced_photo(
    chosen: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PilImage.fromarray(np.asarray(cut_out(200, (80, 70)))[..., :3]).save("painting.png")
    PilImage.new("L", (256, 192), 128).save("mask.png")
    photos = [cut_out(hidden, (256, 192)) for hidden in (255, 0)]
    pictures = [np.asarray(impasto.paint(photo, "painting.png", **SETTINGS, **chosen)) for photo in photos]
    is_visible = pictures[0][..., 3] > 0
    assert is_visible.any()
    assert np.array_equal(*(picture[is_visible] for picture in pictures))


def test_one_pass_paints_up_to_transparent_edges_and_what_is_half_transparent(tmp_path: Path) -> None:
    """The photo must not show through: what is seen there is as far from the photo as without any transparency."""
    PilImage.fromarray(np.asarray(cut_out(200, (80, 70)))[..., :3]).save(tmp_path / "painting.png")
    photo = np.asarray(cut_out(0, (256, 200)))[..., :3].copy()
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, 128:] = 0
    alpha[:100] //= 3
    cut = PilImage.fromarray(np.dstack([photo, alpha]))
    whole = np.asarray(impasto.paint_fast(PilImage.fromarray(photo), tmp_path / "painting.png", size=256))
    painted = np.asarray(impasto.paint_fast(cut, tmp_path / "painting.png", size=256))[..., :3]
    for part in (np.s_[110:, 122:128], np.s_[10:90, 10:100]):
        far, usual = (np.abs(picture[part] - photo[part].astype(float)).mean() for picture in (painted, whole))
        assert far > 0.8 * usual, part


def test_what_is_no_picture_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"not ndarray: PIL\.Image\.fromarray"):
        impasto.paint_fast(np.zeros((8, 8, 3), np.uint8), "starry_night")  # type: ignore[arg-type]


def test_one_pass_is_no_step_for_another_canvas() -> None:
    with pytest.raises(UsageError, match="leave `init` out") as caught:
        impasto.paint(cut_out(0), "starry_night", preset="instant", init="noise", size=64)
    assert caught.value.setting == "init"
