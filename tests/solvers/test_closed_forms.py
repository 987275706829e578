"""Affine solvers against their own mean and covariance, propagated bin by bin for Gaussian sources."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from unsep_lib.evaluation.gaussian import (
    AffineStep,
    Moments,
    equal_shares,
    gaussian_example,
    noisy_mixture_moments,
    projected_moments,
    propagate,
    sample_moments,
)
from unsep_lib.priors.paper_schedule import log_grid
from unsep_lib.solvers import SOLVERS, Sampler
from unsep_lib.solvers.dirac import Dirac
from unsep_lib.solvers.loop import SeededNoise
from unsep_lib.solvers.mixture_consistency import share_equally
from unsep_lib.solvers.projection import Projection

SEEDS, LENGTH, STEPS = 1500, 48, 12
GRID = log_grid(0.7, 0.005, STEPS)
SIGNIFICANT = 2.0  # what an estimate from the samples may be off, in its own standard deviations


def pseudoinverse_shares(powers, sigma):
    jacobian = powers / (powers + sigma**2)
    return jacobian * (1 + sigma**2) / powers.shape[1]


def powers_of(priors):
    return torch.stack([prior.power for prior in priors], dim=1).double()


def affine(matrix, mixture, column, noise):
    spectrum = torch.fft.rfft(mixture.double(), norm="ortho")
    return AffineStep(matrix, column * spectrum[:, None], noise)


def held_step(free, ratio):
    """A⁻¹(ratio^A − 1) for A = 1 + (all ones)."""
    rates = torch.eye(free, dtype=torch.float64) + 1
    reached = torch.linalg.matrix_exp(rates * math.log(ratio)) if ratio else torch.zeros_like(rates)
    return torch.linalg.solve(rates, reached - torch.eye(free, dtype=torch.float64))


def dirac_moments(priors, mixture, eliminated=-1):
    """The K−1 free sources u of x = E u + f y, in steps of σ_n/(1 + γ) and back up, then all K of them.

    With the denoisers held, `σ du/dσ = A u + …`, A = 1 + (all ones): Euler's step for two sources, but its solution for
    three or more and in the last step.
    """
    powers, count = powers_of(priors), len(priors)
    free = torch.ones(count, dtype=torch.bool)
    free[eliminated] = False
    embed = torch.zeros(count, count - 1, dtype=torch.float64)
    embed[free] = torch.eye(count - 1, dtype=torch.float64)
    embed[eliminated] = -1
    rest = (~free).double()
    difference = embed.T
    churn = 1 + min(20 / STEPS, math.sqrt(2) - 1)
    steps, identity = [], torch.eye(count - 1, dtype=torch.float64)
    for sigma, after in pairwise(GRID):
        gap, ratio = torch.diag_embed(sigma**2 / (powers + sigma**2)), after / churn / sigma
        drift = (held_step(count - 1, ratio) if count > 2 or not after else (ratio - 1) * identity) @ difference @ gap
        added = (after**2 - (after / churn) ** 2) * identity
        steps.append(affine(identity + drift @ embed, mixture, drift @ rest, added))
    start = noisy_mixture_moments(mixture, count, GRID[0])
    start = Moments(LENGTH, start.mean[:, free], start.covariance[:, free][:, :, free])
    whole = affine(embed, mixture, rest, torch.zeros(count, count, dtype=torch.float64))
    return propagate(start, [*steps, whole])


def mean_of_four(priors, mixture):
    single = dirac_moments(priors, mixture)
    return Moments(LENGTH, single.mean, single.covariance / 4)


def daps_moments(priors, mixture):
    """Flow through at most five of the levels left, condition on the sum, draw, add the next level's noise."""
    powers, count = powers_of(priors), len(priors)
    identity = torch.eye(count, dtype=torch.float64)
    common = torch.full_like(identity, 1 / count)
    steps = []
    for index, after in enumerate(GRID[1:]):
        left = GRID[index:]
        chosen = [left[round(position)] for position in torch.linspace(0, len(left) - 1, min(6, len(left))).tolist()]
        flow = torch.ones_like(powers)
        for sigma, lower in pairwise(chosen):
            kept = powers / (powers + sigma**2)
            flow = flow * (kept + lower / sigma * (1 - kept))
        width = 1 / (1 / GRID[index] ** 2 + 1 / 0.08**2)
        noise = (width * (identity - common) + after**2 * identity) * (after > 0)
        steps.append(affine((identity - common) @ torch.diag_embed(flow), mixture, common[0], noise))
    return propagate(noisy_mixture_moments(mixture, count, GRID[0]), steps)


def shared(shares):
    return lambda priors, mixture: projected_moments(priors, mixture, GRID, shares)


CASES = {
    "projection-equal": (Sampler("", Projection(share_equally)).run, shared(equal_shares)),
    "pigdm": (SOLVERS["pigdm"].run, shared(pseudoinverse_shares)),
    "dirac": (SOLVERS["dirac"].run, dirac_moments),
    "dirac, first eliminated": (Sampler("", Dirac(eliminated=0)).run, partial(dirac_moments, eliminated=0)),
    "mean of four": (Sampler("", Dirac(eliminated=-1), samples=4).run, mean_of_four),
    "daps": (SOLVERS["daps"].run, daps_moments),
}


@pytest.mark.parametrize("sources", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_without_noise_an_affine_solver_gives_its_mean(case, sources, monkeypatch):
    monkeypatch.setattr(SeededNoise, "draw", lambda self: torch.zeros(len(self._sources), sources, LENGTH))
    run, moments = CASES[case]
    example = gaussian_example(sources, LENGTH)
    found = run(example.mixture[None], example.priors, STEPS, [0])
    expected = moments(example.priors, example.mixture).waveforms()
    torch.testing.assert_close(found[0].double(), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("sources", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_samples_of_an_affine_solver_have_the_propagated_mean_and_covariance(case, sources):
    run, moments = CASES[case]
    example = gaussian_example(sources, LENGTH)
    batch = example.mixture.expand(SEEDS, -1)
    found = sample_moments(run(batch, example.priors, STEPS, range(SEEDS)))
    expected = moments(example.priors, example.mixture)
    floor = (expected.variance().sum() * LENGTH / SEEDS).sqrt()
    assert (found.waveforms() - expected.waveforms()).norm() < SIGNIFICANT * floor
    error = (found.covariance - expected.covariance).norm() / expected.covariance.norm()
    assert error < SIGNIFICANT / math.sqrt(SEEDS)
    torch.testing.assert_close(found.variance(), expected.variance(), rtol=0.02, atol=0)


def test_which_source_is_eliminated_changes_the_closed_form():
    example = gaussian_example(3, LENGTH)
    last, first = (dirac_moments(example.priors, example.mixture, eliminated) for eliminated in (-1, 0))
    assert (last.waveforms() - first.waveforms()).norm() > 0.01 * last.waveforms().norm()
    assert (last.covariance - first.covariance).norm() > 0.01 * last.covariance.norm()


@pytest.mark.parametrize("eliminated", [2, -3])
def test_only_a_source_can_be_eliminated(eliminated):
    example = gaussian_example(2, LENGTH)
    with pytest.raises(ValueError, match=f"index of one of 2 sources to eliminate, got {eliminated}"):
        Sampler("", Dirac(eliminated)).run(example.mixture[None], example.priors, 2, [0])
