"""The style of paintings: what is captured, how it blends, and what a cache keeps."""

import gc

import pytest
import torch
from conftest import make_network, make_picture
from torch import Tensor

from impasto.network.moments import measure_moments
from impasto.network.vgg import Network
from impasto.painting.styles import Style, StyleCache, StyleInput, blend_styles, capture_style

TAPS = ["relu1_1", "relu3_1"]
DOUBLE = torch.float64


def with_mixes(network: Network) -> Network:
    weights = {name.removeprefix("convs."): value for name, value in network.state_dict().items()}
    chance = torch.Generator().manual_seed(6)
    mix = torch.randn(5, 8, generator=chance, dtype=DOUBLE), torch.randn(5, generator=chance, dtype=DOUBLE)
    return Network.from_weights({**weights, "relu3_1_mix.weight": mix[0], "relu3_1_mix.bias": mix[1]})


def test_style_is_mixed_moments_with_count_one() -> None:
    network, rgb = with_mixes(make_network(DOUBLE)), make_picture(28, 20, 1, DOUBLE)
    style = capture_style(network, StyleInput(rgb), TAPS)
    assert list(style) == TAPS
    for tap, features in network(rgb, TAPS).items():
        expected = measure_moments(features)
        assert float(style[tap].count) == pytest.approx(1, rel=1e-12)
        torch.testing.assert_close(style[tap].total, expected.mean)
        torch.testing.assert_close(style[tap].outer, expected.second_moment)


def test_paintings_of_any_size_blend_by_their_shares() -> None:
    network = make_network(DOUBLE)
    one, other = (
        capture_style(network, StyleInput(make_picture(*size, 1, DOUBLE)), TAPS) for size in ((28, 20), (48, 48))
    )
    blended = blend_styles([one, other], [1, 3])
    for tap in TAPS:
        torch.testing.assert_close(blended[tap].mean, 0.25 * one[tap].mean + 0.75 * other[tap].mean)
    assert blend_styles([one, other], [0, 2]) is other


def get_style(cache: StyleCache, network: Network, rgb: Tensor, alpha: Tensor | None = None, width: int = 20) -> Style:
    return cache.get(network, StyleInput(rgb, alpha, weight=torch.rand(()).item()), width, 16, TAPS)


def test_a_palette_knows_paintings_by_their_pixels() -> None:
    cache, network, rgb = StyleCache(), make_network(), make_picture(40, 32)
    first = get_style(cache, network, rgb)
    assert get_style(cache, network, rgb.clone()) is first
    changed = rgb.clone()
    changed[0, 0, 0, 0] += 0.01
    alpha = torch.ones_like(rgb[:, :1])
    alpha[..., :9] = 0
    others = [
        get_style(cache, network, changed),
        get_style(cache, network, rgb, alpha),
        get_style(cache, network, rgb, width=24),
        get_style(cache, make_network(), rgb),
        cache.get(network, StyleInput(rgb), 20, 16, TAPS[:1]),
    ]
    assert all(other is not first for other in others)
    assert get_style(cache, network, rgb) is first


def test_style_cache_drops_the_least_recently_used() -> None:
    network = make_network()
    bytes_of_one = sum(4 * (1 + width + width**2) for width in (4, 8))  # the channels at TAPS
    cache = StyleCache(2 * bytes_of_one)
    first, second, third = (make_picture(24, 24, seed) for seed in (1, 2, 3))
    styles = [get_style(cache, network, rgb) for rgb in (first, second)]
    assert get_style(cache, network, first) is styles[0]
    get_style(cache, network, third)
    assert get_style(cache, network, first) is styles[0]
    assert get_style(cache, network, second) is not styles[1]


def test_what_is_derived_from_a_style_counts_too() -> None:
    cache, network = StyleCache(900), make_network()  # two as they are captured, with 376 each
    first, second = (make_picture(24, 24, seed) for seed in (1, 2))
    style = get_style(cache, network, first)
    get_style(cache, network, second)
    assert get_style(cache, network, first) is style
    assert all(moments.eigen for moments in style.values())
    get_style(cache, network, second)
    assert get_style(cache, network, first) is not style


def test_a_palette_keeps_no_network_alive() -> None:
    cache, network = StyleCache(), make_network()
    get_style(cache, network, make_picture(24, 24))
    del network
    gc.collect()
    assert not cache._styles
