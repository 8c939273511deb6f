"""Soft masks: read, divided, and carried to the grid of a tap, by hand and against what a network sees."""

from pathlib import Path

import pytest
import torch
from conftest import make_network, make_picture
from torch import Tensor

from impasto.errors import PictureError, UsageError
from impasto.images.image import Image
from impasto.images.masks import divide_canvas, propagate_mask, read_mask, soften_masks
from impasto.images.write import write_image

PHOTO = Image(make_picture(40, 30))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_gray(name: str, gray: Tensor, alpha: Tensor | None = None) -> None:
    write_image(gray.expand(1, 3, *gray.shape[-2:]), name, alpha=alpha)


def columns(*values: float, height: int = 4) -> Tensor:
    return torch.tensor(values).expand(1, 1, height, -1).contiguous()


# Reading


def test_white_is_one_and_transparent_is_zero() -> None:
    gray, alpha = columns(0.0, 0.2, 1.0, 1.0, height=3), columns(1.0, 1.0, 1.0, 0.0, height=3)
    write_gray("mask.png", gray, alpha)
    mask = read_mask("mask.png", "mask", PHOTO, "photo")
    torch.testing.assert_close(mask, columns(0.0, 0.2, 1.0, 0.0, height=3))


@pytest.mark.parametrize(("width", "height"), [(40, 30), (80, 60), (20, 15), (21, 16), (39, 30)])
def test_mask_of_the_same_aspect_is_read(width: int, height: int) -> None:
    write_gray("mask.png", torch.ones(1, 1, height, width))
    assert read_mask("mask.png", "mask", PHOTO, "photo").shape == (1, 1, height, width)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (torch.ones(1, 1, 40, 30), "`mask` m.png is 30 x 40 pixels, but the photo is 40 x 30: give it the same size"),
        (torch.ones(1, 1, 60, 60), "such as 60 x 45"),
        (torch.zeros(1, 1, 30, 40), "`mask` m.png is black all over"),
        (torch.full((1, 1, 30, 40), 15 / 255), "is nearly black all over: its brightest value is 15, and white"),
        (torch.tensor([1.0, 0.5, 0.5]).view(1, 3, 1, 1).expand(1, 3, 30, 40), "`mask` m.png has colors"),
    ],
)
def test_unsuitable_mask_is_refused(picture: Tensor, said: str) -> None:
    write_gray("m.png", picture)
    with pytest.raises(UsageError) as refused:
        read_mask("m.png", "mask", PHOTO, "photo")
    assert said in str(refused.value)
    assert refused.value.setting == "mask"


def test_missing_mask_error_names_the_setting() -> None:
    with pytest.raises(PictureError, match=r"`preserve_mask` gone\.png does not exist"):
        read_mask("gone.png", "preserve_mask", PHOTO, "photo")


# Dividing and softening


def test_overlapping_masks_are_divided() -> None:
    one, other = columns(1.0, 1.0, 0.4, 0.0), columns(0.0, 1.0, 0.2, 0.0)
    first, rest, second = divide_canvas([one, None, other])
    torch.testing.assert_close(first, columns(1.0, 0.5, 0.4, 0.0))
    torch.testing.assert_close(second, columns(0.0, 0.5, 0.2, 0.0))
    torch.testing.assert_close(rest, columns(0.0, 0.0, 0.4, 1.0))


def test_softened_masks_keep_their_sum() -> None:
    hard = torch.zeros(2, 1, 30, 400)
    hard[0, ..., :150], hard[1, ..., 150:] = 1, 1
    soft = soften_masks(hard)
    torch.testing.assert_close(soft.sum(0), torch.ones(1, 30, 400))
    assert bool((soft[0, ..., :145] > 0.999).all())
    assert bool((soft[0, 0, 0].diff() <= 1e-6).all())
    assert float(soft[0, 0, 0].diff().abs().max()) < 0.5


# Propagation


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # Cell i is columns 2i and 2i + 1, and sees from 2i - 2 to 2i + 3.
        ("simple", (1.0, 1.0, 1.0, 1.0, 0.3, 0.0, 0.0, 0.0)),
        ("inside", (1.0, 1.0, 1.0, 0.3, 0.0, 0.0, 0.0, 0.0)),
        ("all", (1.0, 1.0, 1.0, 1.0, 1.0, 0.3, 0.0, 0.0)),
    ],
)
def test_propagated_cells_equal_hand_counted_ones(how: str, expected: tuple[float, ...]) -> None:
    mask = columns(*[1.0] * 8, 0.3, 0.3, *[0.0] * 6, height=8)
    torch.testing.assert_close(propagate_mask(mask, None, how, 2, 2), columns(*expected))
    rows = propagate_mask(mask.mT.contiguous(), None, how, 2, 2)
    torch.testing.assert_close(rows.mT.contiguous(), columns(*expected))


def test_narrow_region_falls_back_to_simple() -> None:
    narrow = columns(*[0.0] * 6, 1.0, 1.0, 1.0, *[0.0] * 7)
    torch.testing.assert_close(
        propagate_mask(narrow, None, "inside", 2, 2), propagate_mask(narrow, None, "simple", 2, 2)
    )


def test_invisible_pixels_count_nowhere() -> None:
    mask, visible = columns(*[1.0] * 8, *[0.0] * 8), columns(*[0.0] * 4, *[1.0] * 12)
    for how in ("simple", "inside", "all"):
        cells = propagate_mask(mask, visible, how, 2, 2)
        assert not cells[..., :2].any()
        assert bool((cells[..., 2] == 1).all())
    torch.testing.assert_close(propagate_mask(None, visible, "inside", 2, 2), columns(0.0, 0.0, *[1.0] * 6, height=2))


@pytest.mark.parametrize("tap", ["relu1_1", "relu2_2", "relu3_1"])
def test_inside_and_all_equal_what_cells_see(tap: str) -> None:
    network, picture = make_network(padding="zero", pooling="average"), make_picture(61, 43, 3)
    mask = torch.zeros(1, 1, 43, 61)
    mask[..., 5:30, 8:40] = 1
    other = 1 - make_picture(61, 43, 4)

    def changed(where: Tensor) -> Tensor:
        """Which cells answer otherwise when the picture is another one there."""
        before, after = (network(rgb, [tap])[tap] for rgb in (picture, torch.where(where > 0, other, picture)))
        return (before - after).abs().amax(1, keepdim=True) > 1e-7

    inside, every = (
        propagate_mask(mask, None, how, network.stride[tap], network.reach[tap]) for how in ("inside", "all")
    )
    assert inside.shape == every.shape == changed(mask).shape
    assert inside.any()
    assert not (changed(1 - mask) & (inside > 0)).any()
    assert not (changed(mask) & (every == 0)).any()
    assert bool((every >= inside).all())
