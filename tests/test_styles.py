"""The style of paintings: what is captured, how it blends, and what a palette keeps."""

import gc

import pytest
import torch
from conftest import make_network, make_picture
from torch import Tensor

from impasto.network.moments import measure_moments
from impasto.network.vgg import Network
from impasto.painting.styles import StyleCache, StyleInput, blend_styles, capture_style

TAPS = ["relu1_1", "relu3_1"]
DOUBLE = torch.float64


def with_mixes(network: Network) -> Network:
    weights = {name.removeprefix("convs."): value for name, value in network.state_dict().items()}
    chance = torch.Generator().manual_seed(6)
    mix = torch.randn(5, 8, generator=chance, dtype=DOUBLE), torch.randn(5, generator=chance, dtype=DOUBLE)
    return Network.from_weights({**weights, "relu3_1_mix.weight": mix[0], "relu3_1_mix.bias": mix[1]})


def test_a_style_is_the_moments_after_mixes_with_a_count_of_one() -> None:
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


def ask(palette: StyleCache, network: Network, rgb: Tensor, alpha: Tensor | None = None, width: int = 20) -> object:
    return palette.get(network, StyleInput(rgb, alpha, weight=torch.rand(()).item()), width, 16, TAPS)


def test_a_palette_knows_paintings_by_their_pixels() -> None:
    palette, network, rgb = StyleCache(), make_network(), make_picture(40, 32)
    first = ask(palette, network, rgb)
    assert ask(palette, network, rgb.clone()) is first
    changed = rgb.clone()
    changed[0, 0, 0, 0] += 0.01
    alpha = torch.ones_like(rgb[:, :1])
    alpha[..., :9] = 0
    others = [
        ask(palette, network, changed),
        ask(palette, network, rgb, alpha),
        ask(palette, network, rgb, width=24),
        ask(palette, make_network(), rgb),
        palette.get(network, StyleInput(rgb), 20, 16, TAPS[:1]),
    ]
    assert all(other is not first for other in others)
    assert ask(palette, network, rgb) is first


def test_a_palette_lets_go_what_was_not_asked_for_longest() -> None:
    palette, network = StyleCache(kept=2), make_network()
    first, second, third = (make_picture(24, 24, seed) for seed in (1, 2, 3))
    styles = [ask(palette, network, rgb) for rgb in (first, second)]
    assert ask(palette, network, first) is styles[0]
    ask(palette, network, third)
    assert ask(palette, network, first) is styles[0]
    assert ask(palette, network, second) is not styles[1]


def test_a_palette_keeps_no_network_alive() -> None:
    palette, network = StyleCache(), make_network()
    ask(palette, network, make_picture(24, 24))
    del network
    gc.collect()
    assert not palette._styles
