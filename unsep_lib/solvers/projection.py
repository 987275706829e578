"""Gradient-free separation: estimates are projected onto the mixture before every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from unsep_lib.solvers.loop import Problem, Step
from unsep_lib.solvers.mixture_consistency import Consistency, share_by_power


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
