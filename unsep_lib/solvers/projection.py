"""Gradient-free separation: estimates are projected onto the mixture before every step; without one, samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import log_grid
from unsep_lib.solvers.initialization import pure_noise
from unsep_lib.solvers.loop import Problem, Snapshot, Step, reverse
from unsep_lib.solvers.mixture_consistency import Consistency, identity, share_by_power

SIGMA_FIRST, SIGMA_LAST = 1.5, 0.005  # far above any source's level, and below what is heard


@dataclass(frozen=True)
class Projection:
    """Denoise, make x̂_0 add up to the mixture, then an ancestral step (DDNM, arXiv 2212.00490); variance-exploding."""

    consistency: Consistency = share_by_power

    def __call__(self, problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        """The step; state [batch, source, time]."""
        clean = self.consistency(problem.denoise(state, sigma), problem.mixture)
        return Step(ancestral(problem, state, clean, sigma, sigma_next), clean)


def ancestral(
    problem: Problem, state: torch.Tensor, clean: torch.Tensor, sigma: float, sigma_next: float
) -> torch.Tensor:
    """A draw from q(x_next | x, x̂_0), variance-exploding [batch, source, time] (DDPM, arXiv 2006.11239).

    `x_next = x̂_0 + (σ_n²/σ²)(x − x̂_0) + σ_n √(1 − σ_n²/σ²) z`; no noise is drawn for the last step.
    """
    if sigma_next == 0:
        return clean
    ratio = (sigma_next / sigma) ** 2
    mean = clean + ratio * (state - clean)
    return mean + sigma_next * math.sqrt(1 - ratio) * problem.noise.draw()


def sample(prior: Prior, seconds: float, steps: int, seed: int) -> torch.Tensor:
    """A sample of a prior alone, without a mixture: its clean estimate [step, time] at 16 kHz after each of the steps.

    Raises:
        ValueError: fewer than 1 sample or 1 step.
    """
    length = round(seconds * SAMPLE_RATE)
    if length < 1 or steps < 1:
        raise ValueError(f"expected at least 1 sample and 1 step, got {seconds} s and {steps} steps")
    estimates: list[torch.Tensor] = []

    def keep_estimate(snapshot: Snapshot) -> None:
        estimates.append(snapshot.clean[0, 0])

    problem, levels = Problem.seeded(torch.zeros(1, length), [prior], [seed]), log_grid(SIGMA_FIRST, SIGMA_LAST, steps)
    reverse(problem, pure_noise(problem, levels[0]), levels, Projection(identity), keep_estimate)
    return torch.stack(estimates)
