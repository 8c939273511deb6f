"""Total variation in its forms, against sums worked out by hand, and what it must not depend on."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from impasto.painting.variation import measure_variation, total_variation
from impasto.settings.types import Variation

FORMS = get_args(Variation)

# down 2, 0, -3; right 1, 2, -1, -1; both together at (0, 0) 2, 1 and (0, 1) 0, 2
PICTURE = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]]], dtype=torch.float64)


def draw(height: int = 5, width: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("form", "exponent", "expected"),
    [
        ("mean", 2, 13 / 3 + 7 / 4),
        ("mean", 1, 5 / 3 + 5 / 4),
        ("mean", 3, (8 + 27) / 3 + (1 + 8 + 1 + 1) / 4),
        ("sum", 2, 20),
        ("sum", 1, 10),
        ("isotropic", 2, (5 + 4) / 2),
        ("isotropic", 1, (5**0.5 + 2) / 2),
        ("isotropic_sum", 2, 9),
        ("isotropic_sum", 1, 5**0.5 + 2),
        # With the border repeated: right 1, 2, 0, -1, -1, 0; down 2, 0, -3, 0, 0, 0; falling 0, 1, 2, 0, 2, 1, -1, -3,
        # 0, -1, -1, 0; rising 0, -1, -2, 0, 2, 1, -2, -3, 0, 1, 1, 0
        ("nine_point", 2, 2 * ((7 / 6 + 13 / 6) / 3 + (22 / 12 + 25 / 12) / 12)),
        ("nine_point", 1, 2 * ((5 / 6 + 5 / 6) / 3 + (12 / 12 + 13 / 12) / 12)),
    ],
)
def test_worked_out_by_hand(form: Variation, exponent: float, expected: float) -> None:
    assert float(measure_variation(PICTURE, form, exponent)) == pytest.approx(expected, rel=1e-12)


def test_the_default_is_the_mean_with_exponent_2() -> None:
    x = draw()
    assert torch.equal(measure_variation(x, "mean", 2), total_variation(x))
    torch.testing.assert_close(measure_variation(x, "mean", 2 + 1e-12), total_variation(x))


@given(st.integers(2, 9), st.integers(2, 9), st.floats(-1, 1), st.floats(-1, 1), st.floats(1, 4))
def test_mean_variation_ignores_size_sum_does_not(
    height: int, width: int, down: float, right: float, exponent: float
) -> None:
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in (height, width))
    x = (down * rows[:, None] + right * columns).expand(1, 3, height, width)
    apart, together = (abs(down) ** exponent, abs(right) ** exponent), (down**2 + right**2) ** (exponent / 2)
    steps = 3 * height * width - 3 * width, 3 * height * width - 3 * height, 3 * (height - 1) * (width - 1)
    expected = {
        "mean": sum(apart),
        "isotropic": together,
        "sum": apart[0] * steps[0] + apart[1] * steps[1],
        "isotropic_sum": together * steps[2],
    }
    for form, value in expected.items():
        assert float(measure_variation(x, form, exponent)) == pytest.approx(value, rel=1e-6, abs=1e-9)


@given(st.sampled_from(FORMS), st.floats(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_variation_is_zero_if_flat_and_rotation_invariant(
    form: Variation, exponent: float, height: int, width: int, seed: int
) -> None:
    x = draw(height, width, seed)
    assert float(measure_variation(torch.full_like(x, 0.3), form, exponent)) == 0
    value = float(measure_variation(x, form, exponent))
    assert value >= 0
    assert float(measure_variation(x.mT, form, exponent)) == pytest.approx(value)
    assert float(measure_variation(x + 0.1, form, exponent)) == pytest.approx(value)
    assert float(measure_variation(2 * x, form, exponent)) == pytest.approx(2**exponent * value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exponent", [1, 1.5, 2, 3])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(form: Variation, exponent: float, *, masked: bool) -> None:
    mask = draw(seed=1)[:, :1].round(decimals=1) if masked else None
    assert gradcheck(lambda x: measure_variation(x, form, exponent, mask), draw().requires_grad_())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("exponent", [1, 1.5, 2])
def test_flat_picture_has_zero_gradient(form: Variation, exponent: float) -> None:
    x = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    measure_variation(x, form, exponent).backward()
    assert x.grad is not None
    assert not bool(x.grad.any())


@pytest.mark.parametrize("form", FORMS)
def test_masked_pixels_do_not_vary(form: Variation) -> None:
    mask = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    mask[..., 3:] = 0
    x, other = draw(), draw(seed=1)
    mixed = torch.where(mask > 0, x, other)
    assert float(measure_variation(mixed, form, 1.5, mask)) == pytest.approx(
        float(measure_variation(x, form, 1.5, mask))
    )
    assert float(measure_variation(mixed, form, 1.5)) != pytest.approx(float(measure_variation(x, form, 1.5)))


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_of_ones_changes_nothing(form: Variation) -> None:
    x = draw()
    torch.testing.assert_close(
        measure_variation(x, form, 1.3, torch.ones_like(x[:, :1])), measure_variation(x, form, 1.3)
    )


def test_total_variation_matches_hand_calculation() -> None:
    picture = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]]])
    # down 2, 0, -3; right 1, 2, -1, -1
    assert float(total_variation(picture)) == pytest.approx(13 / 3 + 7 / 4)
    mask = torch.tensor([[[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]]])
    # Without the corner: down 2, 0; right 1, -1, -1. The means are still over all steps.
    assert float(total_variation(picture, mask)) == pytest.approx(4 / 3 + 3 / 4)


def test_total_variation_is_independent_of_size() -> None:
    small, large = (torch.linspace(0, 1, 5).tile(1, 3, height, 1) for height in (4, 9))
    assert float(total_variation(small)) == pytest.approx(1 / 16)
    assert float(total_variation(large)) == pytest.approx(1 / 16)


def test_single_row_or_column_varies_in_one_direction() -> None:
    row = torch.tensor([[[[0.0, 1.0, 3.0]]]])
    assert float(total_variation(row)) == pytest.approx(5 / 2)
    assert float(total_variation(row.mT, torch.ones(1, 1, 3, 1))) == pytest.approx(5 / 2)
    assert float(total_variation(row[..., :1])) == 0
