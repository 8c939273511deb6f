"""Label pictures: colors read in spite of edges and noise, matched between a photo and paintings."""

from pathlib import Path

import pytest
import torch
from conftest import make_picture
from torch import Tensor

from impasto.errors import UsageError
from impasto.images.image import Image
from impasto.images.labels import (
    LABEL_COLORS,
    MAX_SAME_COLOR_DISTANCE,
    LabelMap,
    draw_labels,
    format_color,
    list_unused_colors,
    match_label_colors,
    read_labels,
)
from impasto.images.sizes import resize
from impasto.images.write import write_image

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stripes(*colors: tuple[float, ...]) -> Tensor:
    """A picture (1, 3, 60, 80) of upright stripes."""
    return torch.cat([torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 60, 80 // len(colors)) for color in colors], 3)


def read(picture: Tensor, name: str = "labels.png", **options: int) -> LabelMap:
    write_image(picture, name, overwrite=True, **options)
    return read_labels(name, "labels", Image(make_picture(80, 60)), "photo")


def test_each_plain_color_is_a_label() -> None:
    labels = read(stripes(RED, GREEN, BLUE, GREEN))
    assert {format_color(color) for color in labels.colors} == {"#ff0000", "#00ff00", "#0000ff"}
    green = labels.find_label(torch.tensor([0, 255, 0]))
    mask = labels.make_mask(green)
    assert mask.shape == (1, 1, 60, 80)
    torch.testing.assert_close(mask[0, 0, 0, [10, 30, 50, 70]], torch.tensor([0.0, 1.0, 0.0, 1.0]))


def test_smooth_edges_and_jpeg_noise_are_no_labels() -> None:
    smooth = resize(resize(stripes(RED, GREEN, BLUE, RED), 320, 240), 80, 60).clamp(0, 1)
    assert len(read(smooth).colors) == 3
    assert len(read(stripes(RED, GREEN, BLUE, RED), "labels.jpg", quality=80).colors) == 3


def test_photograph_is_refused_as_label_picture() -> None:
    with pytest.raises(UsageError, match=r"`labels` labels\.png has too many colors: it takes a label picture"):
        read(torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(1)))


def test_label_colors_are_matched() -> None:
    photo, one, other = read(stripes(RED, GREEN)), read(stripes(GREEN, BLUE)), read(stripes((0.9, 0.05, 0.0), BLUE))
    found = {
        format_color(color): match
        for color, match in zip(photo.colors, match_label_colors(photo, [one, other]), strict=True)
    }
    assert found["#ff0000"] == [None, other.find_label(torch.tensor([255, 0, 0]))]
    assert found["#00ff00"] == [one.find_label(torch.tensor([0, 255, 0])), None]
    assert list_unused_colors(photo, one) == ["#0000ff"]
    assert list_unused_colors(photo, photo) == []


def test_unmatched_color_is_refused() -> None:
    photo, painting = read(stripes(RED, GREEN), "photo.png"), read(stripes(GREEN, BLUE), "painting.png")
    with pytest.raises(UsageError) as refused:
        match_label_colors(photo, [painting])
    assert refused.value.setting == "labels"
    assert "photo.png has the color #ff0000, which no `style_labels` picture of painting.png" in str(refused.value)
    assert "#00ff00" in str(refused.value)
    assert "#0000ff" in str(refused.value)


def test_drawn_colors_are_told_apart() -> None:
    rows = torch.tensor([list(bytes.fromhex(color)) for color in LABEL_COLORS])
    distances = (rows[:, None] - rows[None]).abs().amax(2) + 1000 * torch.eye(len(rows))
    assert int(distances.min()) > MAX_SAME_COLOR_DISTANCE


def test_drawn_labels_round_trip() -> None:
    masks = torch.zeros(3, 1, 60, 80)
    for number in range(3):
        masks[number, ..., 20 * number :] = number + 1
    labels = read(draw_labels(masks))
    assert len(labels.colors) == 3
    for number in range(3):
        color = torch.tensor(list(bytes.fromhex(LABEL_COLORS[number])))
        assert torch.equal(labels.numbers == labels.find_label(color), (masks.argmax(0) == number)[0])


def grays(*values: int) -> Tensor:
    return stripes(*((value / 255,) * 3 for value in values))


def test_class_numbers_are_labels_of_their_own() -> None:
    photo, painting = read(grays(0, 1, 2, 1)), read(grays(2, 1, 0, 0))
    assert photo.colors[:, 0].sort().values.tolist() == [0, 1, 2]
    for color, (match,) in zip(photo.colors, match_label_colors(photo, [painting]), strict=True):
        assert torch.equal(painting.colors[match], color)


def test_close_colors_of_a_palette_are_labels_of_their_own() -> None:
    sky, river = ((6, 230, 230), (11, 200, 200))
    labels = read(stripes(*(tuple(value / 255 for value in color) for color in (sky, river))))
    assert {format_color(color) for color in labels.colors} == {"#06e6e6", "#0bc8c8"}


def test_class_number_that_paintings_lack_is_refused() -> None:
    photo = read(grays(0, 1, 2, 1))
    with pytest.raises(UsageError, match=r"has the color #020202, which no `style_labels`.*there are #\d+, #\d+"):
        match_label_colors(photo, [read(grays(0, 1), "painting.png")])
    assert list_unused_colors(read(grays(0, 1)), photo) == ["#020202"]


def test_more_class_numbers_than_labels_are_refused() -> None:
    numbers = torch.arange(40.0).view(1, 1, 5, 8) / 255
    with pytest.raises(UsageError, match="has too many colors: it takes a label picture"):
        read(numbers.repeat_interleave(12, 2).repeat_interleave(10, 3).expand(1, 3, 60, 80))


def test_noise_of_jpeg_fits_plain_labels() -> None:
    photo = read(grays(0, 255, 0, 0), "photo.jpg", quality=85)
    assert match_label_colors(photo, [read(grays(255, 0))]) in ([[0], [1]], [[1], [0]])
