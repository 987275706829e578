"""DAPS: every noise level starts afresh from a draw of clean sources that add up to the mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import noisy_mixture
from unsep_lib.solvers.loop import OnStep, Problem, Seeds, Step, denoise_all, snapshot
from unsep_lib.solvers.sampler import Solver
from unsep_lib.solvers.schedules import LogLevels

FLOW_STEPS = 5  # evaluations a level at most; our choice
SOURCE_RMS = 0.08  # −22 dBFS: the middle of the sources' levels (arXiv 2512.07226)
MIXTURE_NOISE = 0.0  # σ_y: the sources' sum is the mixture


@dataclass(frozen=True)
class Daps(Solver):
    """Solve to x̂_0, draw the sources given their sum, add the next level's noise (DAPS, arXiv 2407.01521).

    x̂_0 by the probability flow through up to five of the levels left; the draw by `draw_given_sum`, with the width
    `s² = σ²c²/(σ² + c²)` that noise σ leaves of white sources of RMS c = 0.08 (DAPS: a heuristic; here exact for
    those), σ_y = 0; then `x_next = draw + σ_n z`, variance-exploding. The last answer is the mean of the draw. The
    sources add up to the mixture. It is no rule of the loop, because a step looks at all the levels that are left.
    """

    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time]."""
        levels = LogLevels()(priors, steps)
        problem = Problem.seeded(mixture, priors, seeds)
        state = noisy_mixture(problem, levels[0])
        for number, (sigma, sigma_next) in enumerate(pairwise(levels), start=1):
            width = sigma * SOURCE_RMS / math.hypot(sigma, SOURCE_RMS)
            flowed = probability_flow(priors, state, respaced(levels[number - 1 :], FLOW_STEPS))
            clean = mean_given_sum(flowed, mixture, width, MIXTURE_NOISE)
            state = clean
            if sigma_next > 0:
                drawn = draw_given_sum(clean, width, MIXTURE_NOISE, problem.noise.draw())
                state = drawn + sigma_next * problem.noise.draw()
            if on_step is not None:
                on_step(snapshot(problem, levels, number, Step(state, clean)))
        return state


def respaced(levels: Sequence[float], steps: int) -> list[float]:
    """At most `steps` steps through the noise levels, from the first to the last, evenly by their number."""
    count = min(steps, len(levels) - 1)
    return [levels[round(index * (len(levels) - 1) / count)] for index in range(count + 1)]


def probability_flow(priors: Sequence[Prior], state: torch.Tensor, levels: Sequence[float]) -> torch.Tensor:
    """Euler steps of the probability flow ODE (arXiv 2206.00364), variance-exploding: `x ← D + σ_n/σ (x − D)`.

    state [batch, source, time] at the first level; levels end in 0, where the answer is x̂_0.
    """
    for sigma, sigma_next in pairwise(levels):
        with torch.no_grad():
            clean = denoise_all(priors, state, sigma)
        state = clean + sigma_next / sigma * (state - clean)
    return state


def mean_given_sum(clean: torch.Tensor, mixture: torch.Tensor, width: float, noise_level: float) -> torch.Tensor:
    """Mean of K sources N(x̂_k, s²) given `y = Σx + σ_y n`: `x̂_k + r s²/(K s² + σ_y²)`, r = y − Σx̂.

    clean [batch, source, time], mixture [batch, time], width s, noise_level σ_y.
    """
    residual = mixture - clean.sum(dim=1)
    return clean + residual[:, None] * width**2 / (clean.shape[1] * width**2 + noise_level**2)


def draw_given_sum(mean: torch.Tensor, width: float, noise_level: float, white: torch.Tensor) -> torch.Tensor:
    """A draw around `mean_given_sum` with covariance `s²(I − s²/(K s² + σ_y²) 11ᵀ)` over the sources.

    `mean + s(z − b 1 Σz)`, `b = (1 − σ_y/√(K s² + σ_y²))/K`: the symmetric square root. z is `white`, standard normal
    [batch, source, time].
    """
    count = mean.shape[1]
    common = (1 - noise_level / math.sqrt(count * width**2 + noise_level**2)) / count
    return mean + width * (white - common * white.sum(dim=1, keepdim=True))
