import math

import pytest
import torch

from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import log_grid
from unsep_lib.solvers import DEFAULT_SOLVER, SOLVERS, Problem, reverse, solve
from unsep_lib.solvers.guidance import ReconstructionLoss
from unsep_lib.solvers.initialization import noise_augmented_mixture, noisy_mixture, pure_noise
from unsep_lib.solvers.loop import SeededNoise
from unsep_lib.solvers.mixture_consistency import share_by_power, share_equally
from unsep_lib.solvers.projection import Projection

LENGTH = 4000


@pytest.fixture(scope="module")
def priors(tiny_prior):
    return [tiny_prior(1), tiny_prior(2)]


@pytest.fixture(scope="module")
def mixtures():
    torch.manual_seed(0)
    return 0.1 * torch.randn(2, LENGTH)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_batch_equals_its_mixtures_one_at_a_time(solver, priors, mixtures):
    together = solve(mixtures, priors, solver=solver, steps=3, seeds=[5, 6])
    alone = torch.cat([solve(mixtures[i : i + 1], priors, solver=solver, steps=3, seeds=[5 + i]) for i in range(2)])
    assert together.shape == (2, 2, LENGTH)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_seeds_decide_everything(solver, priors, mixtures):
    first, again, other = (solve(mixtures[:1], priors, solver=solver, steps=3, seeds=[seed]) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-4


@pytest.mark.parametrize(
    "solver",
    [
        "projection",
        "dirac-wiener",
        "dirac-agreed",
        "dirac-restart",
        "projection-restart",
        "projection-mean",
        "dirac",
        "daps",
    ],
)
def test_projected_sources_add_up_to_the_mixture(solver, priors, mixtures):
    sources = solve(mixtures, priors, solver=solver, steps=4, seeds=[0, 1])
    torch.testing.assert_close(sources.sum(dim=1), mixtures, atol=1e-5, rtol=0)


def test_permuting_sources_with_their_streams_permutes_the_result(priors, mixtures):
    def run(order):
        noise = SeededNoise([(0,), (1,)], order, LENGTH, torch.device("cpu"))
        chosen = [priors[k] for k in order]
        problem, levels = Problem(mixtures, chosen, noise), log_grid(1.0, 0.01, 4)
        return reverse(problem, pure_noise(problem, levels[0]), levels, Projection())

    torch.testing.assert_close(run([1, 0]), run([0, 1]).flip(1), atol=1e-5, rtol=0)


def test_the_mean_over_seeds_approaches_the_gaussian_posterior_mean():
    torch.manual_seed(0)
    bins = LENGTH // 2 + 1
    low, high = torch.linspace(1, 0, bins) * 0.01, torch.linspace(0, 1, bins) * 0.01
    priors = [GaussianPrior(low), GaussianPrior(high)]
    white = torch.fft.rfft(torch.randn(2, LENGTH), norm="ortho")
    clean = torch.fft.irfft(white * torch.stack([low, high]).sqrt(), n=LENGTH, norm="ortho")
    mixture = clean.sum(dim=0, keepdim=True)
    wiener = torch.fft.rfft(mixture, norm="ortho") * torch.stack([low, high]) / (low + high)
    expected = torch.fft.irfft(wiener, n=LENGTH, norm="ortho")
    count = 64
    problem, levels = Problem.seeded(mixture.expand(count, -1), priors, range(count)), log_grid(1.0, 0.005, 60)
    sources = reverse(problem, noisy_mixture(problem, levels[0]), levels, Projection(share_equally))
    error = (sources.mean(dim=0) - expected).square().mean() / expected.square().mean()
    single = (sources[0] - expected).square().mean() / expected.square().mean()
    assert error < 0.05
    assert error < single / 3


def test_sharing_a_residual_by_power_favours_the_source_that_is_there():
    time = torch.arange(LENGTH) / 16_000
    low, high = torch.sin(6.2832 * 500 * time), torch.sin(6.2832 * 4000 * time)
    moved = share_by_power(torch.stack([0.5 * low, 0.5 * high])[None], (low + high)[None])[0]
    torch.testing.assert_close(moved.sum(dim=0), low + high, atol=1e-4, rtol=0)
    inner = slice(600, -600)
    torch.testing.assert_close(moved[0][inner], low[inner], atol=0.02, rtol=0)
    torch.testing.assert_close(moved[1][inner], high[inner], atol=0.02, rtol=0)


def test_the_papers_start_shares_one_draw_and_has_the_stated_moments():
    problem = Problem.seeded(torch.full((1, 100_000), 0.5), [GaussianPrior(torch.ones(1))] * 3, [0])
    state = noise_augmented_mixture(problem, 1.0)
    assert torch.equal(state[:, 0], state[:, 2])
    power = torch.prod(1 - torch.linspace(1e-4, 0.02, 200, dtype=torch.float64)[:150]).item()
    assert state.mean().item() == pytest.approx(0.5 * power**0.5, abs=0.01)
    assert state.std().item() == pytest.approx((1 - power) ** 0.5, abs=0.01)


def test_the_reconstruction_loss_follows_its_formula():
    torch.manual_seed(0)
    total, mixture = torch.randn(1, 5120), torch.randn(1, 5120)
    residual = (mixture - total)[0].double()
    chunks = residual.view(512, 10).norm(dim=1).sum()
    magnitudes = [
        torch.stft(x[0].double(), 512, 256, window=torch.hann_window(512).double(), return_complex=True).abs()
        for x in (total, mixture)
    ]
    spectral = (magnitudes[0] - magnitudes[1]).square().sum().sqrt()
    expected = residual.norm() + 0.05 * chunks + 0.1 * spectral
    torch.testing.assert_close(ReconstructionLoss()(total, mixture)[0].double(), expected, rtol=1e-5, atol=0)


def test_the_hybrid_moves_each_source_by_the_step_size(priors, mixtures):
    seen = []
    solve(mixtures[:1], priors, solver="hybrid", steps=3, seeds=[0], on_step=seen.append)
    assert [snapshot.step for snapshot in seen] == [1, 2, 3]
    assert all(snapshot.guidance.shape == (1, 2) for snapshot in seen)
    torch.testing.assert_close(seen[-1].residual, mixtures[:1] - seen[-1].clean.sum(dim=1))
    moved = (seen[-1].state - seen[-1].clean).norm(dim=-1)
    last_step_size = math.log(1 + math.exp(1000 * 0.002)) / 1000
    torch.testing.assert_close(moved, torch.full((1, 2), last_step_size * LENGTH**0.5), rtol=1e-3, atol=0)


def test_one_sample_one_source_and_many_sources_work(priors):
    for sources, length in ((1, 1), (1, 700), (5, 300)):
        mixture = 0.1 * torch.ones(1, length)
        assert solve(mixture, [priors[0]] * sources, seeds=[0], steps=2).shape == (1, sources, length)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": "magic"}, "unknown solver 'magic': known are .*" + DEFAULT_SOLVER),
        ({"priors": []}, "at least one source"),
        ({"seeds": [0]}, "a seed each"),
        ({"seeds": [0, -1]}, "seeds of 0 or above"),
        ({"steps": 0}, "got 0"),
    ],
)
def test_impossible_requests_are_refused(change, message, priors, mixtures):
    arguments = {"priors": priors, "seeds": [0, 1], "steps": 2} | change
    with pytest.raises(ValueError, match=message):
        solve(mixtures, **arguments)


def test_the_callers_mixture_is_left_alone(priors, mixtures):
    before = mixtures.clone()
    for solver in SOLVERS:
        solve(mixtures, priors, solver=solver, steps=2, seeds=[0, 1])
    assert torch.equal(mixtures, before)
