import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import UsageError
from impasto.images.sizes import fit_size, list_scale_sizes, measure_side, resize, resize_wrapped

side = st.integers(1, 10_000)


@given(side, side, side)
def test_fit_size_keeps_the_aspect(width, height, longer):
    fitted_width, fitted_height = fit_size(width, height, longer)
    assert max(fitted_width, fitted_height) == longer
    scale = longer / max(width, height)
    assert abs(fitted_width - max(1, width * scale)) <= 0.5
    assert abs(fitted_height - max(1, height * scale)) <= 0.5


def test_fit_size_of_extreme_aspects():
    assert fit_size(4000, 3000, 512) == (512, 384)
    assert fit_size(3000, 4000, 512) == (384, 512)
    assert fit_size(10_000, 1, 100) == (100, 1)


@pytest.mark.parametrize(
    ("rule", "landscape", "portrait"),
    [
        ("longest", (500, 300), (300, 500)),
        ("shortest", (833, 500), (500, 833)),
        ("width", (500, 300), (500, 833)),
        ("height", (833, 500), (300, 500)),
        ("area", (645, 387), (387, 645)),
        ("shrink", (500, 300), (300, 500)),
    ],
)
def test_fit_size_by_each_rule(rule, landscape, portrait):
    assert fit_size(2000, 1200, 500, rule) == landscape
    assert fit_size(1200, 2000, 500, rule) == portrait
    small = (200, 120)
    assert fit_size(*small, 500, rule) == (small if rule == "shrink" else landscape)


@given(side, side, side, st.sampled_from(["longest", "shortest", "width", "height", "area"]))
def test_fit_size_gives_the_measured_side(width, height, side, rule):
    fitted = fit_size(width, height, side, rule)
    assert min(fitted) >= 1
    if min(fitted) > 100:
        assert measure_side(*fitted, rule) == pytest.approx(side, abs=3 if rule == "area" else 0)
        assert fitted[0] / fitted[1] == pytest.approx(width / height, rel=0.02)


def test_scale_sizes_of_the_default_settings():
    assert list_scale_sizes(512, 128, 2**0.5) == [128, 181, 256, 362, 512]


@given(side, side, st.floats(1.05, 4))
def test_scale_sizes_grow_evenly(size, start, step):
    sides = list_scale_sizes(size, start, step)
    assert sides[-1] == size
    assert all(below < above for below, above in itertools.pairwise(sides))
    assert min(sides) >= 1
    if start >= size:
        assert sides == [size]
    else:
        assert math.sqrt(1 / step) * start - 0.5 <= sides[0] <= math.sqrt(step) * start + 0.5
    for rung, longer in enumerate(reversed(sides)):
        if len(sides) == 1 + max(0, round(math.log(size / start, step))):  # no rungs fell together
            assert abs(longer - size / step**rung) <= 0.5


@pytest.mark.parametrize("step", [1, 0.5, math.inf, math.nan])
def test_scale_step_of_one_or_less_is_refused(step):
    with pytest.raises(UsageError, match=r"can't grow by .*: give a number above 1"):
        list_scale_sizes(512, 128, step)


@pytest.mark.parametrize(
    "call", [lambda: fit_size(0, 5, 9), lambda: list_scale_sizes(0, 1, 2), lambda: resize(torch.ones(1, 1, 2, 2), 0, 1)]
)
def test_side_below_one_is_refused(call):
    with pytest.raises(UsageError, match="a side of 0 pixels is no size"):
        call()


def test_resize_keeps_a_flat_picture_flat():
    flat = torch.full((2, 3, 37, 53), 0.25)
    for width, height in ((17, 11), (101, 80), (1, 1), (53, 1)):
        resized = resize(flat, width, height)
        assert resized.shape == (2, 3, height, width)
        torch.testing.assert_close(resized, torch.full_like(resized, 0.25))


def test_resize_to_the_same_size_returns_the_tensor():
    x = torch.rand(1, 3, 5, 7)
    assert resize(x, 7, 5) is x


def test_resize_is_antialiased():
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1  # finer than the small picture can show: it must turn gray, not black or white
    torch.testing.assert_close(resize(stripes, 16, 16)[..., 2:-2], torch.full((1, 1, 16, 12), 0.5), atol=0.01, rtol=0)


def test_resize_overshoots_and_is_differentiable():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    edge.requires_grad_()
    larger = resize(edge, 32, 32)
    assert larger.max() > 1
    assert larger.min() < 0
    larger.sum().backward()
    torch.testing.assert_close(edge.grad.sum(), torch.tensor(32.0 * 32))


@pytest.mark.parametrize(("width", "height"), [(48, 32), (30, 20), (7, 5), (24, 16), (90, 10)])
def test_resized_seamless_tile_stays_seamless(width, height):
    """As in the middle of nine of them, wherever they are cut apart."""
    x = torch.rand(1, 2, 16, 24, generator=torch.Generator().manual_seed(1))
    nine = resize(x.repeat(1, 1, 3, 3), 3 * width, 3 * height)
    middle = nine[..., height : 2 * height, width : 2 * width]
    found = resize_wrapped(x, width, height)
    torch.testing.assert_close(found, middle, rtol=1e-4, atol=1e-5)
    assert (found - resize(x, width, height)).abs().max() > 0.01 or (width, height) == (24, 16)
