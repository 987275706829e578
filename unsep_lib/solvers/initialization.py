"""Where the reverse process starts, and the random numbers it runs on.

A start is a function (mixture [batch, time], sources, σ, noise) → state [batch, source, time].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy
import torch

from unsep_lib.priors.paper_schedule import paper_sigma, signal_power

AUGMENTED_T = 149  # the noise-augmented mixture is noised for this t (arXiv 2512.07226, as released)


class Noise(Protocol):
    """A source of standard normal draws."""

    def draw(self) -> torch.Tensor:
        """Fresh noise [batch, source, time], one independent stream a source."""

    def shared(self) -> torch.Tensor:
        """Fresh noise [batch, 1, time], the same for every source of a mixture."""


class SeededNoise:
    """Noise from one seed a mixture, one stream a source: a batch draws what each mixture would alone.

    seeds: for each mixture the integers that make its seed; streams: the sources' stream numbers, so that
    permuting sources together with their streams permutes the result.
    """

    def __init__(self, seeds: Sequence[tuple[int, ...]], streams: Sequence[int], length: int, device: torch.device):
        self.length, self.device = length, device
        self._sources = [[_generator(*seed, 1, stream) for stream in streams] for seed in seeds]
        self._shared = [[_generator(*seed, 0)] for seed in seeds]

    def draw(self) -> torch.Tensor:
        """Standard normal [batch, source, time]."""
        return self._normal(self._sources)

    def shared(self) -> torch.Tensor:
        """Standard normal [batch, 1, time]."""
        return self._normal(self._shared)

    def _normal(self, generators: list[list[torch.Generator]]) -> torch.Tensor:
        rows = [torch.stack([torch.randn(self.length, generator=g) for g in row]) for row in generators]
        return torch.stack(rows).to(self.device)


def _generator(*entropy: int) -> torch.Generator:
    state = numpy.random.SeedSequence(entropy).generate_state(1, numpy.uint64)[0]
    return torch.Generator().manual_seed(int(state >> numpy.uint64(1)))


def from_noise(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
    """Pure noise at level σ: `σ n_k`, variance-exploding."""
    return sigma * noise.draw()


def from_noisy_mixture(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
    """An equal share of the mixture in every source, with its own noise: `y/K + σ n_k`, variance-exploding."""
    return mixture[:, None] / sources + sigma * noise.draw()


def around(guess: torch.Tensor) -> Callable[[torch.Tensor, int, float, Noise], torch.Tensor]:
    """The start at earlier estimates [batch, source, time] in fresh noise: `x̂_k + σ n_k`, variance-exploding."""

    def start(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
        return guess + sigma * noise.draw()

    return start


def gaussian_noise(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
    """Pure noise of unit variance, variance-preserving, one draw a source: the usual start of a reverse process.

    One of the starts the paper compares with (arXiv 2512.07226); it does not depend on σ.
    """
    return noise.draw()


def plain_mixture(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
    """The mixture itself in every source, variance-preserving, without noise or scaling.

    One of the starts the paper compares with (arXiv 2512.07226); it does not depend on σ.
    """
    return mixture[:, None].expand(-1, sources, -1)


def noise_augmented_mixture(mixture: torch.Tensor, sources: int, sigma: float, noise: Noise) -> torch.Tensor:
    """The paper's start, variance-preserving: `√ᾱ_149 y + √(1−ᾱ_149) n`, one draw for all sources.

    It does not depend on σ: the released program noises for t = 149 and starts its loop at t = 199
    (arXiv 2512.07226).
    """
    power = signal_power(paper_sigma(AUGMENTED_T))
    state: torch.Tensor = power**0.5 * mixture[:, None] + (1 - power) ** 0.5 * noise.shared()
    return state.expand(-1, sources, -1)
