"""The objective against the paper's sums written out once more, its blends, and what it must not see."""

from collections.abc import Mapping

import pytest
import torch
from conftest import make_network, make_objective, make_picture, make_settings
from torch import Tensor
from torch.nn import functional

from impasto.images.masks import shrink_mask
from impasto.network.moments import Moments, measure_moments
from impasto.network.vgg import Network, plan_layers
from impasto.painting import losses, variation
from impasto.painting.objective import Objective
from impasto.painting.style_regions import StyleRegion
from impasto.painting.styles import StyleInput, capture_style
from impasto.settings.model import Settings

DOUBLE = torch.float64
TAPS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


def paper_maps(network: Network, rgb: Tensor) -> dict[str, Tensor]:
    """The paper's network, written out: zeros beyond the border, average pooling, each conv's raw answer kept."""
    mean, std = (rgb.new_tensor(rows).view(3, 1, 1) for rows in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (rgb - mean) / std
    weights, maps = network.state_dict(), {}
    for layer in plan_layers((2, 2, 4, 4, 4)):
        if layer.startswith("conv"):
            kernel, bias = weights[f"convs.{layer}.weight"], weights[f"convs.{layer}.bias"]
            maps[layer] = x = functional.conv2d(x, kernel, bias, padding=1)
        else:
            x = torch.relu(x) if layer.startswith("relu") else functional.avg_pool2d(x, 2)
    return maps


def paper_loss(network: Network, canvas: Tensor, photo: Tensor, painting: Tensor, alpha: float, beta: float) -> Tensor:
    ours, photos, theirs = (paper_maps(network, rgb) for rgb in (canvas, photo, painting))
    total = alpha * 0.5 * ((ours["conv4_2"] - photos["conv4_2"]) ** 2).sum()
    for tap in TAPS:
        f, s = ours[tap][0].flatten(1), theirs[tap][0].flatten(1)  # (N, M)
        n, m = f.shape
        total = total + beta * 0.2 * ((f @ f.T - s @ s.T) ** 2).sum() / (4 * n**2 * m**2)
    return total


def share_lost(seen: Tensor, photo: Tensor) -> Tensor:
    return losses.squared_distance(seen, photo) / losses.content_variance(photo)


def look(objective: Objective, canvas: Tensor) -> tuple[dict[str, float], Tensor]:
    canvas = canvas.clone().requires_grad_()
    values = objective.backward(canvas)
    assert canvas.grad is not None
    return values, canvas.grad


def content_only(**chosen: object) -> Settings:
    return make_settings(style_weight=0.0, **chosen)


def style_only(**chosen: object) -> Settings:
    return make_settings(content_weight=0.0, **chosen)


def test_gatys2015_is_the_papers_loss_and_gradient() -> None:
    settings = Settings(preset="gatys2015")
    network = make_network(
        DOUBLE, pooling=settings.pooling, padding=settings.padding, keep_activation_size=settings.pooling_gain
    )
    canvas, photo, painting = (make_picture(40, 33, seed, DOUBLE) for seed in (1, 2, 3))
    values, gradient = look(make_objective(network, settings, StyleInput(photo), [StyleInput(painting)]), canvas)

    canvas.requires_grad_()
    expected = paper_loss(network, canvas, photo, painting, settings.content_weight, settings.style_weight)
    (slope,) = torch.autograd.grad(expected, canvas)
    assert values["total"] == pytest.approx(float(expected.detach()), rel=1e-9)
    assert float((gradient - slope).norm() / slope.norm()) <= 1e-9


def test_weighted_terms_sum_to_total() -> None:
    network, photo, painting = make_network(DOUBLE), make_picture(24, 20, 2, DOUBLE), make_picture(28, 16, 3, DOUBLE)
    canvas = make_picture(24, 20, 1, DOUBLE)
    taps = {"content_taps": {"relu2_1": 2.0, "relu3_1": 0.5}, "style_taps": {"relu1_1": 3.0, "relu2_2": 0.25}}
    settings = make_settings(content_weight=5.0, style_weight=7.0, tv_weight=11.0, **taps)
    values, _ = look(make_objective(network, settings, StyleInput(photo), [StyleInput(painting)]), canvas)

    ours, photos = (network(rgb, ["relu1_1", "relu2_1", "relu2_2", "relu3_1"]) for rgb in (canvas, photo))
    theirs = network(painting, ["relu1_1", "relu2_2"])
    content = {tap: share_lost(ours[tap], photos[tap]) for tap in ("relu2_1", "relu3_1")}
    style = {
        tap: losses.style_gram(measure_moments(ours[tap]), measure_moments(theirs[tap]))
        for tap in ("relu1_1", "relu2_2")
    }
    assert values["content"] == pytest.approx(5 * float(2 * content["relu2_1"] + 0.5 * content["relu3_1"]))
    assert values["style"] == pytest.approx(7 * float(3 * style["relu1_1"] + 0.25 * style["relu2_2"]))
    assert values["tv"] == pytest.approx(11 * float(variation.total_variation(canvas)))
    assert values["total"] == pytest.approx(values["content"] + values["style"] + values["tv"])


def test_total_variation_is_no_term_without_a_weight() -> None:
    picture = StyleInput(make_picture(16, 16))
    values, _ = look(make_objective(make_network(), make_settings(), picture, [picture]), picture.rgb)
    assert set(values) == {"content", "style", "total"}


@pytest.mark.parametrize("style_loss", ["gatys", "gram", "wasserstein"])
@pytest.mark.parametrize("content_loss", ["sum", "relative"])
def test_backward_replaces_the_gradient_of_the_total(style_loss: str, content_loss: str) -> None:
    settings = make_settings(style_loss=style_loss, content_loss=content_loss, tv_weight=1.0)
    photo, painting = (StyleInput(make_picture(20, 16, seed, DOUBLE)) for seed in (2, 3))
    objective = make_objective(make_network(DOUBLE), settings, photo, [painting])
    canvas = make_picture(20, 16, 1, DOUBLE).requires_grad_()
    objective.backward(canvas)
    objective.backward(canvas)  # must not add to the first
    gradient = canvas.grad
    assert gradient is not None
    canvas = canvas.detach()
    direction = torch.randn(canvas.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(4))
    ahead, behind = (look(objective, canvas + step * direction)[0]["total"] for step in (1e-6, -1e-6))
    assert float((gradient * direction).sum()) == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def test_losses_are_zero_at_their_targets() -> None:
    photo, painting = (StyleInput(make_picture(24, 24, seed, DOUBLE)) for seed in (1, 2))
    objective = make_objective(make_network(DOUBLE), make_settings(), photo, [painting])
    assert look(objective, photo.rgb)[0]["content"] == 0
    assert look(objective, photo.rgb)[0]["style"] > 0.01
    assert look(objective, painting.rgb)[0]["style"] == pytest.approx(0, abs=1e-12)
    assert look(objective, painting.rgb)[0]["content"] > 0.01


def test_a_canvas_is_evaluated_without_a_gradient() -> None:
    photo, painting = (StyleInput(make_picture(24, 24, seed)) for seed in (1, 2))
    objective = make_objective(make_network(), make_settings(tv_weight=1.0), photo, [painting])
    canvas = make_picture(24, 24, 3).requires_grad_()
    values = objective.evaluate(canvas)
    assert canvas.grad is None
    assert values == pytest.approx(objective.backward(canvas), rel=1e-5)


@pytest.mark.parametrize("style_loss", ["gram", "wasserstein"])
def test_flat_pictures_weigh_with_bounds(style_loss: str) -> None:
    network, settings = make_network(padding="replicate"), make_settings(style_loss=style_loss)
    flat, varied = torch.full((1, 3, 20, 24), 0.5), make_picture(24, 20, 2)
    for photo, painting in ((flat, varied), (varied, flat), (flat, flat)):
        values, gradient = look(make_objective(network, settings, StyleInput(photo), [StyleInput(painting)]), varied)
        assert values["total"] < 1e5
        assert bool(gradient.isfinite().all())


# Several paintings


def test_a_blend_mixes_the_gram_matrices() -> None:
    network, settings = make_network(DOUBLE), style_only(style_loss="gatys", style_taps={"conv2_1": 1.0})
    photo, canvas = make_picture(24, 20, 1, DOUBLE), make_picture(24, 20, 4, DOUBLE)
    first, second = make_picture(24, 20, 2, DOUBLE), make_picture(16, 32, 3, DOUBLE)
    objective = make_objective(
        network, settings, StyleInput(photo), [StyleInput(first, weight=0.25), StyleInput(second, weight=0.75)]
    )
    found, _ = look(objective, canvas)

    def gram(rgb: Tensor) -> Tensor:
        f = network(rgb, ["conv2_1"])["conv2_1"][0].flatten(1)
        return f @ f.T / f.shape[1]

    target = 0.25 * gram(first) + 0.75 * gram(second)
    expected = (gram(canvas) - target).square().sum() / (4 * 6**2)
    assert found["style"] == pytest.approx(float(expected), rel=1e-12)


def assert_moments_close(found: Mapping[str, Moments], expected: Mapping[str, Moments]) -> None:
    assert set(found) == set(expected)
    for tap, moments in expected.items():
        torch.testing.assert_close(found[tap].mean, moments.mean)
        torch.testing.assert_close(found[tap].second_moment, moments.second_moment)


def test_trivial_blends_equal_the_painting() -> None:
    network, settings, photo = make_network(), style_only(), StyleInput(make_picture(16, 16))
    painting, other = make_picture(20, 20, 2), make_picture(20, 20, 3)
    alone = make_objective(network, settings, photo, [StyleInput(painting)]).regions[0].style
    for blend in (
        [StyleInput(painting, weight=0.5), StyleInput(painting, weight=0.5)],
        [StyleInput(other, weight=0.0), StyleInput(painting, weight=1.0)],
    ):
        assert_moments_close(make_objective(network, settings, photo, blend).regions[0].style, alone)


# Regions


def halves(stride: int) -> list[Tensor]:
    """Masks of the left and the right half of a map of 48 x 16 pixels."""
    left = torch.zeros(1, 1, 16 // stride, 48 // stride, dtype=DOUBLE)
    left[..., : 24 // stride] = 1
    return [left, 1 - left]


def make_regions(network: Network, taps: Mapping[str, float], shares: tuple[float, float]) -> list[StyleRegion]:
    return [
        StyleRegion(
            capture_style(network, StyleInput(make_picture(24, 24, 7 + number, DOUBLE)), list(taps)),
            {tap: halves(network.stride[tap])[number] for tap in taps},
            share,
        )
        for number, share in enumerate(shares)
    ]


REGIONAL = {"content_taps": {"relu1_1": 1.0}, "style_taps": {"relu1_1": 1.0, "relu2_1": 0.5}}


def test_regions_compare_with_their_own_styles() -> None:
    network, settings = make_network(DOUBLE), style_only(style_loss="wasserstein", **REGIONAL)
    photo, canvas = StyleInput(make_picture(48, 16, 1, DOUBLE)), make_picture(48, 16, 2, DOUBLE)
    regions = make_regions(network, REGIONAL["style_taps"], (0.25, 0.75))
    found = Objective(network, settings, photo, regions).evaluate(canvas)

    seen, expected = network(canvas, ["relu1_1", "relu2_1"]), 0.0
    for number, region in enumerate(regions):
        for tap, weight in REGIONAL["style_taps"].items():
            ours = measure_moments(seen[tap], halves(network.stride[tap])[number])
            expected += region.weight * weight * float(losses.style_wasserstein(ours, region.style[tap]))
    assert found["style"] == pytest.approx(expected, rel=1e-9)


def test_a_region_without_a_share_is_no_term() -> None:
    network, settings = make_network(DOUBLE), style_only(**REGIONAL)
    photo, canvas = StyleInput(make_picture(48, 16, 1, DOUBLE)), make_picture(48, 16, 2, DOUBLE)
    regions = make_regions(network, REGIONAL["style_taps"], (0.5, 0.0))
    both, one = (Objective(network, settings, photo, its) for its in (regions, regions[:1]))
    assert look(both, canvas)[0] == look(one, canvas)[0]
    assert not look(both, canvas)[1][..., 30:].any()


def test_sums_of_tiles_add_up() -> None:
    network, settings = make_network(DOUBLE), make_settings(style_loss="wasserstein", **REGIONAL)
    photo, canvas = make_picture(48, 16, 1, DOUBLE), make_picture(48, 16, 2, DOUBLE)
    regions = make_regions(network, REGIONAL["style_taps"], (0.25, 0.75))
    objective = Objective(network, settings, StyleInput(photo), regions)
    whole = objective.measure_features(canvas)
    parts = []
    for mask in halves(1):  # each window sees all of the canvas, and counts its half
        inside = [
            StyleRegion(
                region.style, {tap: region.masks[tap] * _shrunk(network, mask, tap) for tap in region.masks}, 1.0
            )
            for region in regions
            if region.masks
        ]
        parts.append(Objective(network, settings, StyleInput(photo, mask), inside).measure_features(canvas))
    added = parts[0] + parts[1]
    for tap, distance in whole.content.items():
        torch.testing.assert_close(added.content[tap], distance)
    for its, own in zip(added.style, whole.style, strict=True):
        assert_moments_close(its, own)
    torch.testing.assert_close(objective.compare_features(added), objective.compare_features(whole))


def _shrunk(network: Network, mask: Tensor, tap: str) -> Tensor:
    shrunk = shrink_mask(mask, network.stride[tap])
    assert shrunk is not None
    return shrunk


# Transparency


def half(width: int, height: int) -> Tensor:
    """An alpha that hides the right half."""
    alpha = torch.ones(1, 1, height, width)
    alpha[..., width // 2 :] = 0
    return alpha


def beyond_reach(picture: Tensor, seed: int = 9) -> Tensor:
    """Paint over what no visible cell of relu2_1 sees: the right half without its first 8 columns."""
    changed, first = picture.clone(), picture.shape[3] // 2 + 8
    changed[..., first:] = make_picture(picture.shape[3] - first, picture.shape[2], seed)
    return changed


SHALLOW = {"content_taps": {"relu2_1": 1.0}, "style_taps": {"relu1_1": 1.0, "relu2_1": 1.0}}


@pytest.mark.parametrize("content_loss", ["sum", "relative"])
def test_transparent_parts_of_the_photo_are_ignored(content_loss: str) -> None:
    network, settings = make_network(), make_settings(content_loss=content_loss, **SHALLOW)
    photo, canvas, painting = make_picture(40, 16), make_picture(40, 16, 2), StyleInput(make_picture(24, 24, 3))
    objective = make_objective(network, settings, StyleInput(photo, half(40, 16)), [painting])
    values, gradient = look(objective, canvas)
    assert not gradient[..., 28:].any()
    assert gradient[..., :20].any()

    elsewhere = make_objective(network, settings, StyleInput(beyond_reach(photo), half(40, 16)), [painting])
    assert look(elsewhere, canvas)[0] == pytest.approx(values, rel=1e-6)
    repainted, its_gradient = look(objective, beyond_reach(canvas))
    assert repainted == pytest.approx(values, rel=1e-6)
    torch.testing.assert_close(its_gradient, gradient)

    opaque = make_objective(network, settings, StyleInput(photo), [painting])
    assert look(opaque, beyond_reach(canvas))[0] != pytest.approx(look(opaque, canvas)[0], rel=1e-3)


def test_mask_counts_the_rim_that_pooling_crops() -> None:
    mask = torch.arange(15.0).view(1, 1, 3, 5)
    assert shrink_mask(None, 2) is None
    torch.testing.assert_close(shrink_mask(mask, 1), mask)
    torch.testing.assert_close(shrink_mask(mask, 2), torch.tensor([[[[5.5, 8.0]]]]))  # of 3 x 2 and 3 x 3 pixels
    torch.testing.assert_close(shrink_mask(mask[..., :2, :4], 2), torch.tensor([[[[3.0, 5.0]]]]))


@pytest.mark.parametrize("number", [0, 1], ids=["photo", "painting"])
def test_visibility_only_in_the_cropped_rim_counts(number: int) -> None:
    sources = [StyleInput(make_picture(27, 19, seed)) for seed in (1, 2)]
    rim = torch.zeros(1, 1, 19, 27)
    rim[..., 24:] = 1  # relu3_1 has cells of 4 x 4 pixels
    sources[number] = StyleInput(sources[number].rgb, rim)
    values, gradient = look(
        make_objective(make_network(), make_settings(), sources[0], sources[1:]), make_picture(27, 19, 3)
    )
    assert 0 < values["content"] < 100
    assert 0 < values["style"] < 100
    assert bool(gradient.isfinite().all())


def test_total_variation_leaves_out_the_transparent() -> None:
    settings = make_settings(content_weight=0.0, style_weight=0.0, tv_weight=1.0)
    picture = make_picture(24, 16)
    objective = make_objective(make_network(), settings, StyleInput(picture, half(24, 16)), [StyleInput(picture)])
    _, gradient = look(objective, picture)
    assert not gradient[..., 12:].any()
    assert gradient[..., :12].any()


def test_transparent_parts_of_a_painting_are_ignored() -> None:
    network, settings, photo = make_network(), style_only(**SHALLOW), StyleInput(make_picture(16, 16))
    painting = make_picture(40, 24, 2)

    def style(rgb: Tensor, alpha: Tensor | None) -> dict[str, Moments]:
        return make_objective(network, settings, photo, [StyleInput(rgb, alpha)]).regions[0].style

    assert_moments_close(style(beyond_reach(painting), half(40, 24)), style(painting, half(40, 24)))
    with pytest.raises(AssertionError):
        assert_moments_close(style(beyond_reach(painting), None), style(painting, None))


def test_an_opaque_alpha_changes_nothing() -> None:
    network, settings = make_network(DOUBLE), make_settings(tv_weight=1.0)
    photo, painting, canvas = (make_picture(24, 20, seed, DOUBLE) for seed in (1, 2, 3))
    ones = torch.ones(1, 1, 20, 24, dtype=DOUBLE)
    plain, plain_gradient = look(make_objective(network, settings, StyleInput(photo), [StyleInput(painting)]), canvas)
    masked, masked_gradient = look(
        make_objective(network, settings, StyleInput(photo, ones), [StyleInput(painting, ones)]), canvas
    )
    assert masked == pytest.approx(plain, rel=1e-12)
    torch.testing.assert_close(masked_gradient, plain_gradient)


def test_bfloat16_network_gives_close_float32_gradient() -> None:
    photo, painting, canvas = (make_picture(24, 20, seed) for seed in (1, 2, 3))
    settings = make_settings()
    exact, slope = look(make_objective(make_network(), settings, StyleInput(photo), [StyleInput(painting)]), canvas)
    rough, rough_slope = look(
        make_objective(make_network(torch.bfloat16), settings, StyleInput(photo), [StyleInput(painting)]), canvas
    )
    assert rough == pytest.approx(exact, rel=0.05)
    assert rough_slope.dtype is torch.float32
    assert float(torch.cosine_similarity(rough_slope.flatten(), slope.flatten(), dim=0)) > 0.95


def test_bfloat16_features_are_compared_in_float32() -> None:
    network, settings = make_network(torch.bfloat16), content_only()
    photo, canvas = make_picture(24, 20, 1), make_picture(24, 20, 2)
    seen, target = (network(rgb, ["relu3_1"])["relu3_1"].float() for rgb in (canvas, photo))
    found = make_objective(network, settings, StyleInput(photo), [StyleInput(photo)]).evaluate(canvas)["content"]
    # Differences are rounded once more, their squares and sums are not.
    assert found == pytest.approx(float(share_lost(seen, target)), rel=1e-3)
