"""Solvers on the paper's noise levels, and the paper's gradient at the end of a projection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.paper_schedule import paper_grid, paper_sigma, signal_power
from unsep_lib.solvers.initialization import Noise, from_noisy_mixture, gaussian_noise, noise_augmented_mixture
from unsep_lib.solvers.loop import OnStep, Seeds, Start, reverse, seeded_noise
from unsep_lib.solvers.projection import START_SIGMA
from unsep_lib.solvers.schedules import check_levels, grid_for, paper_levels
from unsep_lib.solvers.step_rules import (
    Estimate,
    Guided,
    GuidedEstimate,
    Hybrid,
    Made,
    Projection,
    StepRule,
    cqt_diff_guidance,
    dps_guidance,
    dsg_guidance,
    hybrid_guidance,
)
from unsep_lib.solvers.undiff import Undiff

Levels = Callable[[Sequence[Prior], int], list[float]]
TUNED_SPHERE, TUNED_FLOOR = 0.045, 0.002  # best of five pairs, shipped priors, four mixtures of the selection set
TAIL_STEPS = 8  # guided steps at the end of a projection: the paper's levels below sources of −23 dBFS; our choice


def on_paper_grid(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    rule: StepRule[Made],
    start: Start = noise_augmented_mixture,
    levels: Levels = paper_levels,
) -> torch.Tensor:
    """A variance-preserving rule on the paper's noise levels, from the paper's start (arXiv 2512.07226).

    Fewer than 200 steps respace the levels; levels: (priors, steps) → others.
    """
    grid = levels(priors, steps)
    return reverse(mixture, priors, grid, start, rule, seeded_noise(mixture, priors, seeds), on_step)


hybrid = partial(on_paper_grid, rule=Hybrid())
hybrid_tuned = partial(
    on_paper_grid, rule=Hybrid(partial(hybrid_guidance, sphere_scale=TUNED_SPHERE, floor=TUNED_FLOOR))
)
dps = partial(on_paper_grid, rule=Guided(dps_guidance))
dsg = partial(on_paper_grid, rule=Guided(dsg_guidance))
cqt_diff = partial(on_paper_grid, rule=Guided(cqt_diff_guidance))
undiff = partial(on_paper_grid, rule=Undiff(), start=gaussian_noise)


@dataclass(frozen=True)
class GuidedTail(Projection):
    """`Projection` above the noise level `below`, from there on a variance-preserving rule, on `x_VP = √ᾱ x`."""

    below: float = 0.0
    guided: Guided = field(default_factory=Hybrid)

    def estimate(self, priors: Sequence[Prior], state: torch.Tensor, sigma: float, mixture: torch.Tensor) -> Estimate:
        """The projection's estimate, or the guided rule's with its gradient."""
        if sigma > self.below:
            return super().estimate(priors, state, sigma, mixture)
        return self.guided.estimate(priors, math.sqrt(signal_power(sigma)) * state, sigma, mixture)

    def advance(
        self, state: torch.Tensor, estimate: Estimate, sigma: float, sigma_next: float, noise: Noise
    ) -> torch.Tensor:
        """The step of the rule that made the estimate."""
        if not isinstance(estimate, GuidedEstimate):
            return super().advance(state, estimate, sigma, sigma_next, noise)
        preserving = math.sqrt(signal_power(sigma)) * state
        moved = self.guided.advance(preserving, estimate, sigma, sigma_next, noise)
        return moved / math.sqrt(signal_power(sigma_next))


def guided_tail(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """Projection down to the sources' own level, then the paper's guided step on its last levels (arXiv 2512.07226).

    Levels: log-spaced from 0.7 to the paper's σ_8, then its σ_7 … σ_0; of fewer than 16 steps half are guided.
    """
    guided = min(TAIL_STEPS, steps // 2)
    tail = paper_grid()[-guided - 1 :]
    grid = [*grid_for(priors, START_SIGMA, paper_sigma(guided), steps - guided)[:-1], *tail]
    check_levels(priors, grid)
    rule = GuidedTail(below=tail[0])
    return reverse(mixture, priors, grid, from_noisy_mixture, rule, seeded_noise(mixture, priors, seeds), on_step)
