"""The reverse loop that every step rule runs in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import Noise, SeededNoise
from unsep_lib.solvers.step_rules import Estimate, Made, StepRule


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees after a step.

    step of steps, from 1; sigma: the level the estimate was made at; state: the sources at the next level and
    clean: the estimate x̂_0, both [batch, source, time]; residual: mixture − Σ clean [batch, time]; guidance:
    norm of each source's loss gradient [batch, source], None for rules without one.
    """

    step: int
    steps: int
    sigma: float
    state: torch.Tensor
    clean: torch.Tensor
    residual: torch.Tensor
    guidance: torch.Tensor | None


Start = Callable[[torch.Tensor, int, float, Noise], torch.Tensor]
OnStep = Callable[[Snapshot], None] | None
Seeds = Sequence[tuple[int, ...]]


def seeded_noise(mixture: torch.Tensor, priors: Sequence[Prior], seeds: Seeds) -> SeededNoise:
    """Noise for a batch of mixtures [batch, time] from a seed each, one stream a source in the priors' order."""
    return SeededNoise(seeds, range(len(priors)), mixture.shape[-1], mixture.device)


def reverse(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    grid: Sequence[float],
    start: Start,
    rule: StepRule[Made],
    noise: Noise,
    on_step: OnStep = None,
) -> torch.Tensor:
    """Sample sources that add up to `mixture`, from the first noise level of `grid` to the last, 0.

    mixture [batch, time]; priors: one per source; returns sources [batch, source, time].
    """
    state = start(mixture, len(priors), grid[0], noise)
    for step, (sigma, sigma_next) in enumerate(pairwise(grid), start=1):
        estimate = rule.estimate(priors, state, sigma, mixture)
        state = rule.advance(state, estimate, sigma, sigma_next, noise)
        report(on_step, mixture, grid, step, state, estimate)
    return state


def report(
    on_step: OnStep, mixture: torch.Tensor, grid: Sequence[float], step: int, state: torch.Tensor, estimate: Estimate
) -> None:
    """Call `on_step`, if there is one, with the Snapshot of step number `step`, from 1, on `grid`."""
    if on_step is None:
        return
    residual = mixture - estimate.clean.sum(dim=1)
    guidance = None if estimate.gradient is None else torch.linalg.vector_norm(estimate.gradient, dim=-1)
    on_step(Snapshot(step, len(grid) - 1, grid[step - 1], state, estimate.clean, residual, guidance))
