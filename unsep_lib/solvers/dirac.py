"""Dirac: the mixture as a hard constraint that leaves one source to the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from unsep_lib.solvers.loop import Problem, Step
from unsep_lib.solvers.mixture_consistency import Consistency, identity

CHURN = 4.0  # γ per unit of ln σ; without churn the samples hardly spread (Gaussian sources)
MOST_CHURN = math.sqrt(2) - 1  # γ's bound (arXiv 2206.00364)
FEWEST_EXACT = 3  # two sources lose 3 dB by exact steps (17 in-domain mixtures), three gain 0.5 and 1.4 (4 each)


@dataclass(frozen=True)
class Dirac:
    """One source e is what the others leave, `x_e = y − Σ_{k≠e} x_k`; they follow score differences (arXiv 2302.02257).

    Euler steps of `dx_k/dσ = (x_k − D_k(x_k))/σ − (x_e − D_e(x_e))/σ` (in part exact steps, see `moved`),
    variance-exploding, down to σ_n/(1 + γ), then noise up to σ_n: churn with `γ = min(4 ln(σ/σ_n), √2 − 1)`, where
    arXiv 2206.00364 divides by the number of steps. The priors are evaluated on the grid alone. The sources add up to
    the mixture. eliminated: the index of e, which changes the result; None: each source in turn over the batch.
    consistency: moves the denoised sources D before the step goes to them.
    """

    eliminated: int | None = None
    consistency: Consistency = identity

    def __call__(self, problem: Problem, state: torch.Tensor, sigma: float, sigma_next: float) -> Step:
        """The step; state [batch, source, time], of which the eliminated source's is replaced.

        Raises:
            ValueError: `eliminated` is the index of no source.
        """
        place = self.place(problem)
        state = completed(state, problem.mixture, place)
        clean = problem.denoise(state, sigma)
        churn = 1 + min(CHURN * math.log(sigma / sigma_next), MOST_CHURN) if sigma_next > 0 else 1.0
        state = moved(state, self.consistency(clean, problem.mixture), sigma_next / churn / sigma, place)
        if sigma_next > 0:
            state = state + sigma_next * math.sqrt(1 - churn**-2) * problem.noise.draw()
        return Step(completed(state, problem.mixture, place), clean)

    def place(self, problem: Problem) -> torch.Tensor:
        """Where the eliminated source is, a mask [batch, source, 1]."""
        batch, count = len(problem.mixture), problem.sources
        if self.eliminated is None:
            index = torch.arange(batch).remainder(count)
        elif -count <= self.eliminated < count:
            index = torch.full((batch,), self.eliminated % count)
        else:
            raise ValueError(f"expected the index of one of {count} sources to eliminate, got {self.eliminated}")
        return torch.nn.functional.one_hot(index, count).bool()[..., None].to(problem.mixture.device)


def completed(state: torch.Tensor, mixture: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """The state [batch, source, time] with what the others leave of the mixture [batch, time] in `place`."""
    rest = mixture - state.masked_fill(place, 0).sum(dim=1)
    return torch.where(place, rest[:, None], state)


def moved(state: torch.Tensor, clean: torch.Tensor, ratio: float, place: torch.Tensor) -> torch.Tensor:
    """The state [batch, source, time] at `ratio` times its noise level; the eliminated source's is meaningless.

    Euler's step, but of three or more sources, and in the last step, for what all that follow share: it falls with σ to
    the power of the number of sources, so it takes its exact step, where Euler's would overshoot, and diverge from
    four sources on.
    """
    count, gap = state.shape[1], state - clean
    gap = gap - (gap * place).sum(dim=1, keepdim=True)
    change = (ratio - 1) * gap
    if count >= FEWEST_EXACT or ratio == 0:
        shared = gap.sum(dim=1, keepdim=True) / (count - 1)
        change = change + ((ratio**count - 1) / count - (ratio - 1)) * shared
    return state + change
