import math

import pytest
import torch

from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import paper_grid
from unsep_lib.solvers import Problem, reverse, solve
from unsep_lib.solvers.guidance import (
    Guided,
    ReconstructionLoss,
    cqt_diff_guidance,
    dps_guidance,
    dsg_guidance,
    hybrid_guidance,
    loss_gradient,
    posterior_sample,
)
from unsep_lib.solvers.initialization import gaussian_noise, noise_augmented_mixture, plain_mixture
from unsep_lib.solvers.loop import denoise_all
from unsep_lib.solvers.undiff import corrected, undiff

GRID = paper_grid()
BETA = torch.linspace(1e-4, 0.02, 200, dtype=torch.float64)
POWER = torch.cumprod(1 - BETA, dim=0)
LENGTH = 1000
GUIDED = [Guided(dps_guidance), Guided(dsg_guidance), Guided(cqt_diff_guidance), Guided(hybrid_guidance)]


class Loud:
    """A prior that answers twice the noisy signal: the clamp acts on everything above 0.5."""

    grid, sigma_min, sigma_max = None, 0.0, math.inf

    def denoise(self, noisy, sigma):
        return 2 * noisy


class Counted:
    """Noise of a seed that counts its draws."""

    def __init__(self, *shape):
        self.generator, self.shape, self.draws = torch.Generator().manual_seed(0), shape, []

    def draw(self):
        self.draws.append(torch.randn(self.shape, generator=self.generator))
        return self.draws[-1]

    shared = draw


def variance(t):
    before = POWER[t - 1] if t else 1.0
    return (BETA[t] * (1 - before) / (1 - POWER[t])).item()


def levels_of(t):
    return GRID[199 - t], GRID[200 - t]


def two_priors(length=LENGTH, scale=0.01):
    bins = length // 2 + 1
    return [GaussianPrior(scale * torch.linspace(1, 0.1, bins)), GaussianPrior(scale * torch.linspace(0.1, 1, bins))]


@pytest.mark.parametrize("t", [199, 57, 6, 1, 0])
def test_each_guidance_follows_its_formula(t):
    gradient = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(t)).double()
    unit = gradient / gradient.square().sum(dim=-1, keepdim=True).sqrt()
    norm = gradient.square().sum(dim=-1, keepdim=True).sqrt()
    sphere = 0.09 * variance(t) ** 0.5
    smooth = math.log(math.exp(1000 * sphere) + math.exp(1000 * 0.002)) / 1000
    expected = {
        dps_guidance: 1.5 * gradient,
        dsg_guidance: 50**0.5 * sphere * unit,
        cqt_diff_guidance: 0.001 * 50**0.5 / (norm * (1 - POWER[t]) ** 0.5 + 1e-6) * gradient,
        hybrid_guidance: 50**0.5 * smooth * unit,
    }
    for guidance, value in expected.items():
        torch.testing.assert_close(guidance(gradient, *levels_of(t)), value, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("guidance", [dps_guidance, dsg_guidance, cqt_diff_guidance, hybrid_guidance])
def test_a_vanishing_gradient_moves_nothing(guidance):
    assert torch.equal(guidance(torch.zeros(1, 2, 9), *levels_of(10)), torch.zeros(1, 2, 9))


@pytest.mark.parametrize("t", [199, 30, 1, 0])
def test_the_posterior_sample_has_the_papers_mean_and_variance(t):
    state, clean = torch.randn(2, 1, 1, 400_000, generator=torch.Generator().manual_seed(1)).double().unbind()
    before = POWER[t - 1] if t else torch.tensor(1.0)
    mean = before.sqrt() * BETA[t] / (1 - POWER[t]) * clean
    mean = mean + (1 - before) * (1 - BETA[t]).sqrt() / (1 - POWER[t]) * state
    noise = Counted(1, 1, 400_000)
    rest = posterior_sample(state, clean, *levels_of(t), noise) - mean
    assert len(noise.draws) == (t > 0)
    assert rest.mean().item() == pytest.approx(0, abs=1e-3)
    assert rest.std().item() == pytest.approx(variance(t) ** 0.5, rel=0.01, abs=1e-7)


def joint_gradient(priors, state, sigma, mixture):
    """The gradient by one graph over all sources."""
    leaf = state.clone().requires_grad_(True)
    scaled = leaf * (1 + sigma**2) ** 0.5
    clean = [prior.denoise(scaled[:, k], sigma).clamp(-1, 1) for k, prior in enumerate(priors)]
    return torch.autograd.grad(ReconstructionLoss()(sum(clean), mixture).sum(), leaf)[0]


@pytest.mark.parametrize("priors", [[Loud()], [Loud(), *two_priors(scale=9.0)], two_priors()])
def test_the_factored_gradient_is_that_of_one_joint_graph(priors):
    generator = torch.Generator().manual_seed(2)
    state, mixture = torch.randn(2, len(priors), LENGTH, generator=generator), torch.randn(2, LENGTH)
    clean, gradient = loss_gradient(priors, state, GRID[100], mixture, ReconstructionLoss())
    assert clean.abs().max() <= 1
    torch.testing.assert_close(gradient, joint_gradient(priors, state, GRID[100], mixture), atol=1e-6, rtol=1e-5)


def test_no_gradient_passes_where_the_clamp_acts():
    state = torch.linspace(-2, 2, LENGTH).repeat(1, 2, 1)
    _, gradient = loss_gradient([Loud(), Loud()], state, GRID[-2], torch.zeros(1, LENGTH), ReconstructionLoss())
    outside = 2 * state.abs() * (1 + GRID[-2] ** 2) ** 0.5 > 1
    assert torch.count_nonzero(gradient[outside]) == 0
    assert (gradient[~outside] != 0).float().mean() > 0.99


class Live:
    """Counts the bytes that autograd keeps at a time; a kept tensor counts until its graph is gone."""

    def __init__(self):
        self.now = self.peak = 0

    def keep(self, tensor):
        live = self

        class Kept:
            def __init__(self):
                self.tensor = tensor
                live.now += tensor.nbytes
                live.peak = max(live.peak, live.now)

            def __del__(self):
                live.now -= self.tensor.nbytes

        return Kept()


def test_four_sources_keep_no_more_for_the_gradient_than_one(tiny_prior):
    peaks = {}
    for sources in (1, 4):
        live, priors = Live(), [tiny_prior(seed) for seed in range(sources)]
        state = 0.1 * torch.randn(1, sources, 8000, generator=torch.Generator().manual_seed(0))
        with torch.autograd.graph.saved_tensors_hooks(live.keep, lambda kept: kept.tensor):
            loss_gradient(priors, state, 1.0, 0.1 * torch.ones(1, 8000), ReconstructionLoss())
        assert live.now == 0
        peaks[sources] = live.peak
    assert peaks[1] > 1e6
    assert peaks[4] <= 1.15 * peaks[1]


def test_the_plain_starts_are_the_mixture_and_unit_noise_of_each_source():
    mixture = torch.linspace(-1, 1, 50_000)[None]
    assert torch.equal(plain_mixture(Problem.seeded(mixture, [Loud()] * 3, [0]), GRID[0]), mixture.repeat(3, 1)[None])
    state = gaussian_noise(Problem.seeded(mixture, [Loud()] * 2, [0]), GRID[0])
    assert torch.corrcoef(state[0])[0, 1].item() == pytest.approx(0, abs=0.02)
    assert state.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("start", [gaussian_noise, plain_mixture, noise_augmented_mixture])
@pytest.mark.parametrize("rule", GUIDED, ids=["dps", "dsg", "cqt-diff", "hybrid"])
def test_every_guided_rule_explains_more_of_the_mixture_than_none_from_every_start(rule, start):
    mixture = 0.1 * torch.randn(1, LENGTH, generator=torch.Generator().manual_seed(3))
    residuals = []
    for chosen in (rule, Guided(lambda gradient, sigma, sigma_next: torch.zeros_like(gradient))):
        problem, levels, seen = Problem.seeded(mixture, two_priors(), [0]), paper_grid(20)[:19], []
        reverse(problem, start(problem, levels[0]), levels, chosen, seen.append)
        residuals.append(seen[-1].residual.norm().item())
    assert residuals[0] < 0.99 * residuals[1]


@pytest.mark.parametrize("sources", [1, 2, 3, 4, 5])
def test_two_corrections_by_the_running_sum_leave_the_stated_part_of_the_residual(sources):
    states = torch.randn(1, sources, 20, generator=torch.Generator().manual_seed(4))
    mixture = torch.ones(1, 20)
    before = mixture - states.sum(dim=1)
    moved, running = corrected(states, mixture)
    kept, summed = {1: (0.25, 1.5), 2: (0, 1), 3: (0.25, 0.5), 4: (0, 1), 5: (0, 1)}[sources]
    torch.testing.assert_close(mixture - moved.sum(dim=1), kept * before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(running, summed * before, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved - states, (moved - states)[:, :1].expand(-1, sources, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("t", "draws"), [(199, 1), (150, 1), (149, 2), (1, 2), (0, 0)])
def test_undiff_takes_a_langevin_step_between_0_and_150(t, draws):
    noise, levels = Counted(1, 2, LENGTH), levels_of(t)
    state = 0.1 * torch.randn(1, 2, LENGTH, generator=torch.Generator().manual_seed(5))
    mixture = torch.full((1, LENGTH), 0.05)
    found, estimate, _ = undiff(Problem(mixture, two_priors(), noise), state, *levels)
    assert len(noise.draws) == draws
    replay = Counted(1, 2, LENGTH)
    expected = corrected(posterior_sample(state, estimate, *levels, replay), mixture)[0]
    if draws == 2:
        power = POWER[t].float()
        clean = denoise_all(two_priors(), state / power.sqrt(), levels[0])
        epsilon = (state - power.sqrt() * clean) / (1 - power).sqrt()
        direction, draw = epsilon / (1 - power).sqrt(), noise.draws[1]
        ratio = draw.norm(dim=-1, keepdim=True) / direction.norm(dim=-1, keepdim=True)
        size = 2 * (1 - BETA[t].float()) * (1e-5 * ratio) ** 2
        moved = found - expected
        torch.testing.assert_close(moved, (2 * size).sqrt() * draw, atol=1e-7, rtol=1e-2)
    else:
        torch.testing.assert_close(found, expected)


def test_two_sources_of_undiff_add_up_to_the_mixture():
    mixture, seen = 0.1 * torch.randn(1, LENGTH, generator=torch.Generator().manual_seed(6)), []
    sources = solve(mixture, two_priors(), solver="undiff", steps=5, seeds=[0], on_step=seen.append)
    assert seen[-1].guidance is None
    torch.testing.assert_close(sources.sum(dim=1), mixture, atol=1e-6, rtol=0)
