"""The gradient-free baseline the paper compares with, as in UnDiff (arXiv 2306.00721)."""

from __future__ import annotations

import math

import torch

from unsep_lib.priors.paper_schedule import paper_sigma, signal_power
from unsep_lib.solvers.guidance import NORM_FLOOR, posterior_sample
from unsep_lib.solvers.initialization import variance_preserving
from unsep_lib.solvers.loop import Problem, Step

CORRECTIONS = 2  # times a step that the sources are moved towards the mixture (arXiv 2512.07226, as released)
CORRECTION_SHARE = 0.5  # of the residuals' running sum, added to every source
LANGEVIN_SNR = 1e-5  # ratio of the Langevin step's drift to its noise
LANGEVIN_LAST_T = 149  # Langevin steps are taken for 0 < t < 150


def corrected(sampled: torch.Tensor, mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move sampled sources [batch, source, time] towards the mixture [batch, time]; also returns the running sum R.

    The paper's description is read as: R = 0, then twice `R ← R + (y − Σx)`, `x_k ← sampled_k + 0.5 R`, afresh in every
    step. Of a residual r remains `(1 − K/2)² r`: nothing for two sources, a quarter for three. From four sources on
    0.5 would not converge; there each gets 1/K, which is our choice. (Adding R to the sources already moved instead
    reflects two sources' sum at y and diverges for three.)
    """
    count = sampled.shape[1]
    share = CORRECTION_SHARE if CORRECTION_SHARE * count < 2 else 1 / count
    running, sources = torch.zeros_like(mixture), sampled
    for _ in range(CORRECTIONS):
        running = running + mixture - sources.sum(dim=1)
        sources = sampled + share * running[:, None]
    return sources, running


@variance_preserving
def undiff(problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
    """An ancestral sample of every source, two corrections, and a Langevin step for 0 < t < 150.

    Variance-preserving; x̂_0 = D is clamped to [−1, 1], the noise ε = (x_t − √ᾱ D)/√(1−ᾱ) is that of the unclamped
    denoiser. Langevin: `x ← x + s(d + R) + √(2s) z`, d = ε/√(1−ᾱ_t) (the sign as released; the score is −d), R the
    corrections' running sum, `s = 2 α_t (1e-5 ‖z‖/‖d‖)²` (arXiv 2512.07226; UnDiff, arXiv 2306.00721). On a respaced
    grid α is the step's own.
    """
    power = signal_power(sigma)
    unclamped = problem.denoise(state / math.sqrt(power), sigma)
    epsilon = (state - math.sqrt(power) * unclamped) / math.sqrt(1 - power)
    clean = unclamped.clamp(-1, 1)
    sample = posterior_sample(state, clean, sigma, sigma_next, problem.noise)
    sources, running = corrected(sample, problem.mixture)
    if sigma_next == 0 or sigma > _langevin_ceiling():
        return Step(sources, clean)
    draw = problem.noise.draw()
    direction = epsilon / math.sqrt(1 - power)
    size = langevin_size(direction, draw, power / signal_power(sigma_next))
    return Step(sources + size * (direction + running[:, None]) + (2 * size).sqrt() * draw, clean)


def _langevin_ceiling() -> float:
    """Between σ_149 and σ_150, so that rounding decides nothing."""
    return (paper_sigma(LANGEVIN_LAST_T) + paper_sigma(LANGEVIN_LAST_T + 1)) / 2


def langevin_size(direction: torch.Tensor, draw: torch.Tensor, alpha: float) -> torch.Tensor:
    """`s = 2 α (1e-5 ‖z‖/‖d‖)²` of each source [batch, source, 1], from d and z [batch, source, time]."""
    ratio = torch.linalg.vector_norm(draw, dim=-1, keepdim=True) / (
        torch.linalg.vector_norm(direction, dim=-1, keepdim=True) + NORM_FLOOR
    )
    size: torch.Tensor = 2 * alpha * (LANGEVIN_SNR * ratio) ** 2
    return size
