import math

import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import log_grid
from unsep_lib.solvers import SOLVERS
from unsep_lib.solvers.daps import draw_given_sum, mean_given_sum, probability_flow, respaced


def conditioned(sources, width, noise_level):
    """Gain and covariance of N(·, s²I) given a noisy sum, by dense conditioning of one joint Gaussian."""
    prior = width**2 * torch.eye(sources, dtype=torch.float64)
    summing = torch.ones(1, sources, dtype=torch.float64)
    gain = prior @ summing.T @ torch.linalg.inv(summing @ prior @ summing.T + noise_level**2)
    return gain, prior - gain @ summing @ prior


@pytest.mark.parametrize("sources", [1, 2, 3, 5])
@pytest.mark.parametrize(("width", "noise_level"), [(0.08, 0.0), (0.08, 0.01), (0.005, 0.1), (1.0, 1.0)])
def test_the_draw_has_the_mean_and_covariance_of_dense_conditioning(sources, width, noise_level):
    gain, covariance = conditioned(sources, width, noise_level)
    clean = torch.randn(1, sources, 1, generator=torch.Generator().manual_seed(0)).double()
    mixture = torch.full((1, 1), 0.3, dtype=torch.float64)
    mean = mean_given_sum(clean, mixture, width, noise_level)
    expected = clean[0] + gain * (0.3 - clean.sum())
    torch.testing.assert_close(mean[0], expected)
    white = torch.eye(sources, dtype=torch.float64)[None]
    root = draw_given_sum(mean.expand(-1, -1, sources), width, noise_level, white)[0] - mean[0]
    torch.testing.assert_close(root @ root.T, covariance, atol=1e-12, rtol=1e-9)


def test_draws_are_correlated_so_that_they_keep_the_sum():
    white = torch.randn(1, 3, 1000, generator=torch.Generator().manual_seed(1)).double()
    drawn = draw_given_sum(torch.zeros(1, 3, 1000).double(), 0.5, 0.0, white)
    assert drawn.sum(dim=1).abs().max() < 1e-12
    assert torch.corrcoef(drawn[0])[0, 1].item() == pytest.approx(-0.5, abs=0.06)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([3, 0], [3, 0]),
        ([4, 3, 2, 0], [4, 3, 2, 0]),
        ([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], [10, 8, 6, 4, 2, 0]),
    ],
)
def test_the_flow_takes_at_most_five_of_the_levels_left(levels, expected):
    assert respaced(levels, 5) == expected


def test_the_flow_converges_to_the_known_solution_for_gaussian_sources():
    """dx/dσ = σ x/(C + σ²), so x shrinks by √(C/(C + σ²)) on its way down from σ."""
    powers = [0.002, 0.03]
    priors = [GaussianPrior(torch.full((33,), power, dtype=torch.float64)) for power in powers]
    state = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(2)).double()
    shrunk = torch.tensor([math.sqrt(power / (power + 0.49)) for power in powers]).double()[None, :, None]
    errors = [(probability_flow(priors, state, log_grid(0.7, 0.001, steps)) - shrunk * state).abs().max() for steps in
              (50, 500, 5000)]  # fmt: skip
    assert errors[1] < errors[0] / 5
    assert errors[2] < 1e-3


def test_the_answer_is_the_mean_of_the_last_draw():
    example, seen = gaussian_example(2, 100), []
    sources = SOLVERS["daps"].run(example.mixture[None], example.priors, 4, [0], seen.append)
    assert torch.equal(sources, seen[-1].clean)
    assert all((snapshot.state - snapshot.clean).std() > snapshot.sigma / 20 for snapshot in seen[:-1])
