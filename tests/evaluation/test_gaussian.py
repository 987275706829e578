import math
from itertools import pairwise

import pytest
import torch

from unsep_lib.evaluation.gaussian import (
    EXACT,
    AffineStep,
    Moments,
    deviations,
    equal_shares,
    exact_posterior,
    exact_shares,
    gaussian_example,
    posterior,
    projected_moments,
    propagate,
    sample_moments,
)
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import log_grid, paper_grid
from unsep_lib.solvers import SOLVERS, Problem, reverse
from unsep_lib.solvers.initialization import gaussian_noise, noisy_mixture
from unsep_lib.solvers.mixture_consistency import share_equally
from unsep_lib.solvers.projection import Projection
from unsep_lib.solvers.undiff import undiff

SEEDS, LENGTH = 4000, 48
HIGH, LOW = 1.5, 0.005


class Draws:
    """Independent standard normal draws from one generator."""

    def __init__(self, sources):
        self.shape, self.generator = (SEEDS, sources, LENGTH), torch.Generator().manual_seed(0)

    def draw(self):
        return torch.randn(self.shape, generator=self.generator)


def dense(power, length):
    """The circulant covariance [time, time] of a Gaussian prior, by transforming white noise's."""
    columns = torch.fft.rfft(torch.eye(length, dtype=torch.float64))
    return torch.fft.irfft(columns * power.double(), n=length)


def covariance_error(found, truth):
    return ((found.covariance - truth.covariance).norm() / truth.covariance.norm()).item()


def mean_error(found, truth):
    return ((found.waveforms() - truth.waveforms()).norm() / truth.waveforms().norm()).item()


@pytest.mark.parametrize("length", [12, 13])
def test_the_posterior_is_that_of_dense_gaussian_conditioning(length):
    example = gaussian_example(sources=3, length=length)
    blocks = torch.stack([dense(prior.power, length) for prior in example.priors])
    gains = blocks @ torch.linalg.inv(blocks.sum(dim=0))
    truth = posterior(example.priors, example.mixture)
    torch.testing.assert_close(truth.waveforms(), gains @ example.mixture.double(), atol=1e-6, rtol=0)
    variances = torch.stack([(block - gain @ block).diagonal() for gain, block in zip(gains, blocks, strict=True)])
    torch.testing.assert_close(truth.variance()[:, None].expand(-1, length), variances, atol=1e-9, rtol=1e-5)
    torch.testing.assert_close(truth.covariance.sum(dim=1), torch.zeros_like(truth.covariance[:, 0]), atol=1e-9, rtol=0)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 1.5])
def test_the_exact_denoiser_is_that_of_dense_gaussian_conditioning(sigma):
    length, example = 12, gaussian_example(sources=2, length=12)
    priors = [GaussianPrior(prior.power.double()) for prior in example.priors]
    joint = torch.block_diag(*(dense(prior.power, length) for prior in priors))
    summing = torch.eye(length, dtype=torch.float64).repeat(1, 2)
    observing = torch.cat([torch.eye(2 * length, dtype=torch.float64), summing])
    noise = torch.zeros(3 * length, dtype=torch.float64)
    noise[: 2 * length] = sigma**2
    gain = joint @ observing.T @ torch.linalg.inv(observing @ joint @ observing.T + torch.diag(noise))
    state = torch.randn(1, 2, length, generator=torch.Generator().manual_seed(1)).double()
    mixture = example.mixture.double()
    expected = (gain @ torch.cat([state.flatten(), mixture])).view(1, 2, length)
    found = exact_posterior(Problem(mixture[None], priors, None), state, sigma, 0).clean
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-6)


def test_the_exact_loop_converges_to_the_posterior_as_steps_grow():
    example = gaussian_example()
    truth = posterior(example.priors, example.mixture)
    found = [projected_moments(example.priors, example.mixture, log_grid(HIGH, LOW, n), exact_shares) for n in
             (10, 40, 160, 640)]  # fmt: skip
    errors = [covariance_error(moments, truth) for moments in found]
    assert all(mean_error(moments, truth) < 0.002 for moments in found)
    assert all(after < before / 2.5 for before, after in pairwise(errors))
    assert errors[-1] < 0.02


@pytest.mark.parametrize("sources", [2, 3])
@pytest.mark.parametrize(
    ("rule", "shares"), [(exact_posterior, exact_shares), (Projection(share_equally), equal_shares)]
)
def test_samples_of_the_loop_have_the_propagated_mean_and_covariance(rule, shares, sources):
    example, grid = gaussian_example(sources, LENGTH), log_grid(HIGH, LOW, 30)
    batch = example.mixture.expand(SEEDS, -1)
    problem = Problem(batch, example.priors, Draws(sources))
    samples = reverse(problem, noisy_mixture(problem, grid[0]), grid, rule)
    assert_moments(samples, projected_moments(example.priors, example.mixture, grid, shares))


def test_samples_of_the_exact_loop_have_the_posteriors_mean_and_covariance():
    example, grid = gaussian_example(2, LENGTH), log_grid(HIGH, LOW, 150)
    batch = example.mixture.expand(SEEDS, -1)
    problem = Problem(batch, example.priors, Draws(2))
    samples = reverse(problem, noisy_mixture(problem, grid[0]), grid, exact_posterior)
    truth = posterior(example.priors, example.mixture)
    assert mean_error(sample_moments(samples), truth) < 2 / math.sqrt(SEEDS)
    assert covariance_error(sample_moments(samples), truth) < 0.08


def assert_moments(samples, expected):
    """Within what 4000 samples can tell."""
    found = sample_moments(samples)
    floor = (expected.variance().sum() * expected.length / SEEDS).sqrt() / expected.waveforms().norm()
    assert mean_error(found, expected) < 1.5 * floor
    assert covariance_error(found, expected) < 3 / math.sqrt(SEEDS)
    torch.testing.assert_close(found.variance(), expected.variance(), rtol=0.02, atol=0)


def undiff_steps(priors, mixture, grid):
    """The baseline without its Langevin step (its noise is below 1e-4), for K sources in each bin."""
    powers = torch.stack([prior.power for prior in priors], dim=1).double()
    count = len(priors)
    moved = 0.5 + 0.5 * (1 - count / 2)  # of the residual, to each source, for two or three
    kept = torch.eye(count, dtype=torch.float64) - moved
    offset = moved * torch.fft.rfft(mixture.double(), norm="ortho")[:, None].expand(-1, count)
    for sigma, after in pairwise(grid):
        power, power_after = 1 / (1 + sigma**2), 1 / (1 + after**2)
        alpha = power / power_after
        to_clean = power_after**0.5 * (1 - alpha) / (1 - power)
        to_state = (1 - power_after) * alpha**0.5 / (1 - power)
        denoiser = torch.diag_embed(powers / (powers + sigma**2)) / power**0.5
        step = to_clean * denoiser + to_state * torch.eye(count, dtype=torch.float64)
        variance = (1 - alpha) * (1 - power_after) / (1 - power)
        yield AffineStep(kept @ step, offset, variance * kept @ kept.T)


@pytest.mark.parametrize("sources", [2, 3])
def test_samples_of_the_gradient_free_baseline_have_the_propagated_mean_and_covariance(sources):
    example, grid = gaussian_example(sources, LENGTH), paper_grid(25)
    mean = torch.zeros(LENGTH // 2 + 1, sources, dtype=torch.complex128)
    moments = Moments(LENGTH, mean, torch.eye(sources, dtype=torch.float64).expand(len(mean), -1, -1))
    moments = propagate(moments, undiff_steps(example.priors, example.mixture, grid))
    batch = example.mixture.expand(SEEDS, -1)
    problem = Problem(batch, example.priors, Draws(sources))
    assert_moments(reverse(problem, gaussian_noise(problem, grid[0]), grid, undiff), moments)


def test_the_shares_are_equal_for_little_noise_and_wieners_for_much():
    powers = torch.tensor([[0.04, 0.01]], dtype=torch.float64)
    torch.testing.assert_close(exact_shares(powers, 1e-4), equal_shares(powers, 1e-4), atol=1e-5, rtol=0)
    torch.testing.assert_close(exact_shares(powers, 100.0), powers / 0.05, atol=1e-5, rtol=0)


def test_a_bin_without_power_has_a_posterior_of_zeros():
    priors = [GaussianPrior(torch.tensor([0.0, 0.01, 0.01])), GaussianPrior(torch.tensor([0.0, 0.01, 0.02]))]
    truth = posterior(priors, torch.ones(4))
    assert torch.isfinite(truth.mean.real).all()
    assert truth.covariance[0].abs().max() == 0
    problem = Problem(torch.zeros(1, 4), priors, NoNoise())
    sources = reverse(problem, noisy_mixture(problem, 1.0), [1.0, 0.1, 0.0], exact_posterior)
    assert torch.equal(sources, torch.zeros(1, 2, 4))


class NoNoise:
    def draw(self):
        return torch.zeros(1, 2, 4)


@pytest.mark.parametrize("sources", [1, 2, 5])
def test_the_example_has_its_stated_level_and_never_meets_the_clamp(sources):
    example = gaussian_example(sources, 4096)
    assert example.sources.abs().max() < 0.6
    assert example.sources.std(dim=1).tolist() == pytest.approx([0.08] * sources, rel=0.1)
    torch.testing.assert_close(example.sources.sum(dim=0), example.mixture)


def test_the_table_has_a_row_for_every_registered_solver_and_number_of_steps():
    rows = deviations([EXACT, *SOLVERS.values()], gaussian_example(2, 40), steps=(2, 5), seeds=3)
    assert [(row.solver, row.steps) for row in rows] == [(name, n) for name in ("exact", *SOLVERS) for n in (2, 5)]
    assert all(math.isfinite(row.bias) and row.bias > 0 and row.spread > 0 for row in rows)


def test_more_steps_of_the_exact_loop_bring_its_spread_to_one_and_its_bias_to_the_floor():
    few, some, many = deviations([EXACT], gaussian_example(2, 256), steps=(5, 20, 80), seeds=48)
    assert few.spread < some.spread < many.spread
    assert many.spread == pytest.approx(1, abs=0.06)
    assert many.bias < 1.3 * many.bias_floor


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_example(0), "at least one source and one sample, got 0 and 512"),
        (lambda: deviations([EXACT], gaussian_example(2, 8), [2], seeds=1), "at least 2 seeds"),
        (lambda: posterior([object()], torch.zeros(8)), "expected Gaussian priors alone"),
    ],
)
def test_impossible_examples_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
