"""What a learner's function must do, one judge per exercise: called on cases and compared with the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy
import torch

from unsep_lib.audio import rms_dbfs
from unsep_lib.networks.tf_layers import Attention
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.paper_schedule import paper_grid, posterior_variance
from unsep_lib.solvers import Problem, Rule, Step, check_solver
from unsep_lib.solvers.dirac import Dirac
from unsep_lib.solvers.guidance import HYBRID_FLOOR, SPHERE_SCALE
from unsep_lib.solvers.initialization import noisy_mixture
from unsep_lib.solvers.mixture_consistency import share_by_power
from unsep_lib.solvers.projection import Projection


def _tones() -> tuple[torch.Tensor, torch.Tensor]:
    """Two signals [2, time] without a mean, and noisy versions of them."""
    generator = torch.Generator().manual_seed(5)
    reference = torch.randn(2, 4000, generator=generator)
    reference = reference - reference.mean(dim=-1, keepdim=True)
    noise = torch.randn(2, 4000, generator=generator)
    estimate = 0.3 * reference + torch.tensor([[0.1], [0.7]]) * (noise - noise.mean(dim=-1, keepdim=True))
    return estimate, reference


def same_as_si_sdr(function: Callable[..., object]) -> bool:
    """`function(estimate, reference)` of [time] is the SI-SDR (torchmetrics'), to 0.01 dB."""
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio  # imports matplotlib

    estimates, references = _tones()
    pairs = list(zip(estimates, references, strict=True))
    mine = [float(torch.as_tensor(function(estimate, reference))) for estimate, reference in pairs]
    ours = scale_invariant_signal_distortion_ratio(estimates.double(), references.double(), zero_mean=True).tolist()
    return all(abs(a - b) < 0.01 for a, b in zip(mine, ours, strict=True))


def mixes(function: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """`function(tracks, levels)` → (mixture, references): relative levels, sum and a peak of 0.95."""
    tracks, _ = _tones()
    levels = [-21.0, -24.5]
    mixture, references = function(tracks, levels)
    heard = [rms_dbfs(reference) for reference in references]
    return (
        torch.allclose(references.sum(dim=0), mixture, atol=1e-5)
        and abs(mixture.abs().max().item() - 0.95) < 1e-4
        and abs((heard[0] - heard[1]) - (levels[0] - levels[1])) < 0.01
        and abs(torch.corrcoef(torch.stack([references[1], tracks[1]]))[0, 1].item() - 1) < 1e-4
    )


def gaussian_mean(function: Callable[..., object]) -> bool:
    """`function(noisy [time], power [bin], sigma)` is `GaussianPrior.denoise`, at an odd and an even length."""
    generator = torch.Generator().manual_seed(2)
    for length in (64, 65):
        power = torch.rand(length // 2 + 1, generator=generator)
        noisy = torch.randn(length, generator=generator)
        mine = torch.as_tensor(function(noisy, power, 0.4))
        if not torch.allclose(mine, GaussianPrior(power).denoise(noisy[None], 0.4)[0], atol=1e-5):
            return False
    return True


def classifier_free_guidance(function: Callable[..., object]) -> bool:
    """`function(denoise, noisy, sigma, label, g)` is none + g (labelled − none); the denoisers are known lines."""

    def denoise(noisy: torch.Tensor, sigma: float, label: str | None) -> torch.Tensor:
        return noisy / (1 + sigma) if label is None else noisy / (2 + sigma) + len(label)

    noisy = torch.linspace(-1, 1, 9)
    for g in (0.0, 1.0, 2.5):
        without, given = denoise(noisy, 0.5, None), denoise(noisy, 0.5, "Cello")
        if not torch.allclose(
            torch.as_tensor(function(denoise, noisy, 0.5, "Cello", g)), without + g * (given - without)
        ):
            return False
    return True


def crossfades(function: Callable[..., object]) -> bool:
    """`function(before, after)` fades one stretch [time] into the other by weights that add up to one."""
    ramp, ones = torch.linspace(0, 1, 1000), torch.ones(1000)
    mixed = torch.as_tensor(function(ones, 0 * ones))
    back = torch.as_tensor(function(0 * ones, ones))
    same = torch.as_tensor(function(ramp, ramp))
    return (
        torch.allclose(same, ramp, atol=1e-5)
        and torch.allclose(mixed + back, ones, atol=1e-5)
        and bool((mixed.diff() <= 1e-6).all())
        and mixed[0].item() > 0.99
        and mixed[-1].item() < 0.01
    )


PAIRS = ((0.7, 0.4), (0.1, 0.05), (0.02, 0.0))  # σ and σ_next of the steps that rules are compared on
CASE_LENGTH = 512  # samples


def _steps(rule: Rule, pairs: Sequence[tuple[float, float]] = PAIRS) -> list[Step]:
    """What a variance-exploding rule makes of two Gaussian sources at several noise levels."""
    bins = torch.linspace(0, 1, CASE_LENGTH // 2 + 1)
    priors = [GaussianPrior(0.001 + 0.009 * (bins - peak).square()) for peak in (0.0, 1.0)]
    mixture = 0.1 * torch.randn(1, CASE_LENGTH, generator=torch.Generator().manual_seed(0))
    found = []
    for sigma, sigma_next in pairs:
        problem = Problem.seeded(mixture, priors, [7])
        found.append(Step(*rule(problem, noisy_mixture(problem, sigma), sigma, sigma_next)))
    return found


def _same_rule(function: Rule, rule: Rule, tolerance: float) -> bool:
    """Whether two rules agree in state and estimate: to the last bit for a tolerance of 0."""
    for ours, mine in zip(_steps(rule), _steps(function), strict=True):
        pairs = ((ours.state, mine.state), (ours.clean, mine.clean))
        if not all(a.shape == b.shape and (a - b).abs().max() <= tolerance for a, b in pairs):
            return False
    return True


def same_as_projection(function: Rule) -> bool:
    """`function(problem, state, sigma, sigma_next)` is the library's projection, bit by bit."""
    return _same_rule(function, Projection(), 0.0)


def same_as_dirac(function: Rule) -> bool:
    """The same rule as `Dirac` with the second of two sources eliminated, to rounding."""
    return all(
        (ours.state - mine.state).abs().max() < 1e-5
        for ours, mine in zip(_steps(Dirac(eliminated=1)), _steps(_on_the_line(function)), strict=True)
    )


def _on_the_line(function: Rule) -> Rule:
    def rule(problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        first = state[:, 0]
        return function(problem, torch.stack([first, problem.mixture - first], dim=1), sigma, sigma_next)

    return rule


def hard_maximum(function: Callable[..., torch.Tensor]) -> bool:
    """Guidance along the gradient, as long as the larger of DSG's length and the floor."""
    gradient = torch.randn(2, 2, 400, generator=torch.Generator().manual_seed(1))
    for sigma, sigma_next in pairwise(paper_grid()):
        length = max(SPHERE_SCALE * math.sqrt(posterior_variance(sigma, sigma_next)), HYBRID_FLOOR)
        expected = 20 * length * gradient / gradient.norm(dim=-1, keepdim=True)
        if not torch.allclose(function(gradient, sigma, sigma_next), expected, rtol=1e-4):
            return False
    return True


def fewest_for_a_decibel(function: Callable[[float, float], int | None]) -> bool:
    """The fewest samples n whose mean has `10 log₁₀(1 + s²/n + (b/0.61)²)` below 1 dB, None if none has."""

    def error(spread: float, bias: float, count: int) -> float:
        return 10 * math.log10(1 + spread**2 / count + (bias / 0.61) ** 2)

    for spread, bias in ((1.0, 0.0), (1.3, 0.1), (0.37, 0.2), (2.0, 0.25)):
        count = function(spread, bias)
        if count is None or error(spread, bias, count) > 1 or (count > 1 and error(spread, bias, count - 1) <= 1):
            return False
    return function(1.0, 0.5) is None


def probability_flow(function: Rule) -> bool:
    """The projection's estimate, and a step without fresh noise."""

    def flow(problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        clean = share_by_power(problem.denoise(state, sigma), problem.mixture)
        return Step(clean + sigma_next / sigma * (state - clean), clean)

    return _same_rule(function, flow, 1e-5)


def soft_consistency(function: Rule) -> bool:
    """Moves by w r/K with w = 1/(1 + σ²), then noises anew; its sources add up in the end."""

    def soft(problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        clean = problem.denoise(state, sigma)
        clean = clean + problem.residual(clean)[:, None] / problem.sources / (1 + sigma**2)
        return Step(clean + sigma_next * problem.noise.draw(), clean)

    return _same_rule(function, soft, 1e-5) and check_solver(function).seed_decides


def bootstrap_interval(function: Callable[[list[float]], tuple[float, float] | None]) -> bool:
    """A 95 % bootstrap interval of the mean, None for fewer than eight mixtures."""
    from scipy.stats import bootstrap

    generator = numpy.random.default_rng(3)
    for count in (8, 30):
        values = generator.normal(2.0, 3.0, count)
        found = bootstrap((values,), numpy.mean, n_resamples=2000, method="percentile", rng=numpy.random.default_rng(0))
        ours, mine = found.confidence_interval, function(values.tolist())
        if mine is None or max(abs(mine[0] - ours.low), abs(mine[1] - ours.high)) > 0.1 * values.std():
            return False
    return function([1.0] * 7) is None


def most_agreeing(function: Callable[[torch.Tensor], int]) -> bool:
    """The index of the answer with the highest mean SI-SDR against the others, of [answer, source, time]."""
    generator = torch.Generator().manual_seed(4)
    for place in range(5):
        truth = torch.randn(2, 4000, generator=generator)
        noise = torch.randn(5, 2, 4000, generator=generator)
        levels = torch.full((5,), 0.5)
        levels[place] = 0.1
        if int(function(truth + levels[:, None, None] * noise)) != place:
            return False
    return True


def attention_along_time(function: Callable[..., torch.Tensor]) -> bool:
    """`function(maps, attention)`: every row of every map [batch, frequency, time, channel] is a line of its own."""
    torch.manual_seed(0)
    attention, maps = Attention(width=16, heads=4), torch.randn(2, 5, 7, 16)
    expected = torch.stack([torch.stack([attention(row[None])[0] for row in clip]) for clip in maps])
    found = function(maps, attention)
    return found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)
