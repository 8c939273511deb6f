"""The style's statistics add: parts to wholes, masks to subsets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impasto.network.moments import Moments, measure_moments, solve_symmetric


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same(found: Moments, expected: Moments) -> None:
    torch.testing.assert_close(found.count, expected.count)
    torch.testing.assert_close(found.total, expected.total)
    torch.testing.assert_close(found.outer, expected.outer)


def test_sums_of_a_known_map() -> None:
    moments = measure_moments(torch.tensor([[[[1.0, 2.0]], [[3.0, 1.0]]]]))
    assert moments.count.item() == 2
    assert moments.total.tolist() == [3, 4]
    assert moments.outer.tolist() == [[5, 5], [5, 10]]
    assert moments.mean.tolist() == [1.5, 2]
    assert moments.second_moment.tolist() == [[2.5, 2.5], [2.5, 5]]
    assert moments.covariance.tolist() == [[0.25, -0.5], [-0.5, 1]]


def test_covariance_equals_numpy() -> None:
    features = draw(1, 4, 5, 6)
    expected = np.cov(features.flatten(2)[0].numpy(), bias=True)
    np.testing.assert_allclose(measure_moments(features).covariance.numpy(), expected, rtol=1e-12)


@given(
    channels=st.integers(1, 4),
    height=st.integers(1, 5),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_moments_of_parts_add_up(channels: int, height: int, widths: list[int], seed: int) -> None:
    whole = draw(1, channels, height, sum(widths), seed=seed)
    first, *others = (measure_moments(part) for part in whole.split(widths, dim=3))
    assert_same(sum(others, start=first), measure_moments(whole))


@given(chosen=st.lists(st.booleans(), min_size=12, max_size=12), seed=st.integers(0, 99))
def test_mask_selects_positions(chosen: list[bool], seed: int) -> None:
    features, choice = draw(1, 3, 3, 4, seed=seed), torch.tensor(chosen).view(3, 4)
    assert_same(
        measure_moments(features, choice[None, None].float()), measure_moments(features[..., choice].unsqueeze(2))
    )


@given(weight=st.floats(0.125, 8))
def test_soft_mask_scales_a_part(weight: float) -> None:
    features = draw(1, 3, 2, 4)
    mask = torch.full((1, 1, 2, 4), weight, dtype=torch.float64)
    assert_same(measure_moments(features, mask), measure_moments(features).scaled(weight))
    torch.testing.assert_close(
        measure_moments(features).scaled(weight).covariance, measure_moments(features).covariance
    )


def test_sums_are_float32_or_better() -> None:
    features = torch.ones(1, 1, 65, 65, dtype=torch.bfloat16)  # bfloat16 itself rounds 4225 to 4224
    for moments in (measure_moments(features), measure_moments(features, torch.ones(1, 1, 65, 65))):
        for value in (moments.count, moments.total, moments.outer):
            assert value.dtype is torch.float32
            assert value.item() == 4225
    assert measure_moments(features.double()).outer.dtype is torch.float64


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 2, 2)], ids=["whole", "masked"])
def test_sums_are_differentiable(mask: Tensor | None) -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    measure_moments(features, mask).outer.sum().backward()
    assert features.grad is not None
    assert features.grad.flatten().tolist() == [2, 4, 6, 8]


def test_masks_of_few_rows_and_none() -> None:
    features = draw(1, 3, 8, 6)
    mask = torch.zeros(1, 1, 8, 6, dtype=torch.float64)
    mask[..., 2:5, 1:4] = torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = measure_moments(features, mask)
    f, weights = features[0].flatten(1), mask.flatten()
    assert_same(found, Moments(weights.sum(), f @ weights, (f * weights) @ f.T))
    nothing = measure_moments(features, torch.zeros_like(mask))
    assert not nothing.count
    assert not nothing.total.any()
    assert not nothing.outer.any()
    half = measure_moments(features.bfloat16(), torch.zeros(1, 1, 8, 6))
    assert not half.outer.any()


@pytest.mark.parametrize("fault", ["error", "nan"])
def test_solver_that_fails_in_float32_runs_in_float64(fault: str) -> None:
    def solve(matrix: Tensor) -> Tensor:
        if matrix.dtype == torch.float32 and fault == "error":
            raise torch.linalg.LinAlgError  # type: ignore[attr-defined]
        if matrix.dtype == torch.float32:
            return torch.full((3,), torch.nan)
        values: Tensor = torch.linalg.eigvalsh(matrix)
        return values

    matrix = torch.diag(torch.tensor([3.0, 1.0, 2.0])).requires_grad_()
    values = solve_symmetric(solve, matrix)
    values.sum().backward()
    assert (values.dtype, values.tolist()) == (torch.float32, [1.0, 2.0, 3.0])
    assert matrix.grad is not None
    torch.testing.assert_close(matrix.grad, torch.eye(3))
