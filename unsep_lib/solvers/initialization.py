"""Where the reverse process starts: functions (problem, σ) → state [batch, source, time]."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple

import torch

from unsep_lib.priors.paper_schedule import paper_sigma, signal_power
from unsep_lib.solvers.loop import Problem

AUGMENTED_T = 149  # the noise-augmented mixture is noised for this t (arXiv 2512.07226, as released)
Start = Callable[[Problem, float], torch.Tensor]
Args = TypeVarTuple("Args")
Answer = TypeVar("Answer")


class VariancePreserving:
    """Marks a rule or a start whose state is `x_t = √ᾱ_t (x_0 + σ_t n)`; that of all others is `x_0 + σ n`."""


class variance_preserving(VariancePreserving, Generic[*Args, Answer]):
    """Marks a function, rule or start, as variance-preserving."""

    def __init__(self, function: Callable[[*Args], Answer]):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *given: *Args) -> Answer:
        """What the function answers."""
        return self._function(*given)


def pure_noise(problem: Problem, sigma: float) -> torch.Tensor:
    """Noise alone at level σ: `σ n_k`, variance-exploding."""
    return sigma * problem.noise.draw()


def noisy_mixture(problem: Problem, sigma: float) -> torch.Tensor:
    """An equal share of the mixture in every source, with its own noise: `y/K + σ n_k`, variance-exploding."""
    return problem.mixture[:, None] / problem.sources + sigma * problem.noise.draw()


def noised(guess: torch.Tensor) -> Start:
    """The start at earlier estimates in fresh noise: `x̂_k + σ n_k`, variance-exploding (SDEdit, arXiv 2108.01073).

    guess [mixture, source, time], repeated for each sample of a mixture in the problem's batch.
    """

    def start(problem: Problem, sigma: float) -> torch.Tensor:
        samples = len(problem.mixture) // len(guess)
        return guess.repeat_interleave(samples, dim=0) + sigma * problem.noise.draw()

    return start


@variance_preserving
def gaussian_noise(problem: Problem, sigma: float) -> torch.Tensor:
    """Noise of unit variance, variance-preserving, one draw per source: the usual start of a reverse process.

    One of the starts the paper compares with (arXiv 2512.07226); it does not depend on σ.
    """
    return problem.noise.draw()


@variance_preserving
def plain_mixture(problem: Problem, sigma: float) -> torch.Tensor:
    """The mixture itself in every source, variance-preserving, without noise or scaling.

    One of the starts the paper compares with (arXiv 2512.07226); it does not depend on σ.
    """
    return problem.mixture[:, None].expand(-1, problem.sources, -1)


@variance_preserving
def noise_augmented_mixture(problem: Problem, sigma: float) -> torch.Tensor:
    """The paper's start, variance-preserving: `√ᾱ_149 y + √(1−ᾱ_149) n`, one draw for all sources.

    It does not depend on σ: the released program noises for t = 149 and starts its loop at t = 199
    (arXiv 2512.07226).
    """
    power = signal_power(paper_sigma(AUGMENTED_T))
    state: torch.Tensor = power**0.5 * problem.mixture[:, None] + (1 - power) ** 0.5 * problem.noise.shared()
    return state.expand(-1, problem.sources, -1)
