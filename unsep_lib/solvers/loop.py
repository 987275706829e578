"""The loop that every solver runs in, and what it runs on: a mixture, a prior per source, and noise from seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy
import torch

from unsep_lib.priors.base import Prior

Seed = int | tuple[int, ...]
Seeds = Sequence[Seed]  # one per mixture


class Noise(Protocol):
    """A source of standard normal draws."""

    def draw(self) -> torch.Tensor:
        """Fresh noise [batch, source, time], one independent stream per source."""

    def shared(self) -> torch.Tensor:
        """Fresh noise [batch, 1, time], the same for every source of a mixture."""


class SeededNoise:
    """Noise from one seed per mixture, one stream per source: a batch draws what each mixture would alone.

    seeds: for each mixture an integer or several; streams: the sources' stream numbers, so that permuting sources
    together with their streams permutes the result.
    """

    def __init__(self, seeds: Seeds, streams: Sequence[int], length: int, device: torch.device):
        self.length, self.device = length, device
        several = [entropy(seed) for seed in seeds]
        self._sources = [[_generator(*seed, 1, stream) for stream in streams] for seed in several]
        self._shared = [[_generator(*seed, 0)] for seed in several]

    def draw(self) -> torch.Tensor:
        """Standard normal [batch, source, time]."""
        return self._normal(self._sources)

    def shared(self) -> torch.Tensor:
        """Standard normal [batch, 1, time]."""
        return self._normal(self._shared)

    def _normal(self, generators: list[list[torch.Generator]]) -> torch.Tensor:
        rows = [torch.stack([torch.randn(self.length, generator=g) for g in row]) for row in generators]
        return torch.stack(rows).to(self.device)


def entropy(seed: Seed) -> tuple[int, ...]:
    """The integers that make a seed."""
    return seed if isinstance(seed, tuple) else (int(seed),)


def _generator(*integers: int) -> torch.Generator:
    state = numpy.random.SeedSequence(integers).generate_state(1, numpy.uint64)[0]
    return torch.Generator().manual_seed(int(state >> numpy.uint64(1)))


def denoise_all(priors: Sequence[Prior], noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    """Each source's own denoiser on its own noisy state [batch, source, time].

    On a processor's cores a thread per source is faster than all threads on one source after another.
    """
    threads = torch.get_num_threads()
    workers = min(len(priors), threads) if noisy.device.type == "cpu" else 1
    if workers == 1:
        clean = [prior.denoise(noisy[:, k], sigma) for k, prior in enumerate(priors)]
        return torch.stack(clean, dim=1)
    with_gradient = torch.is_grad_enabled()

    def denoised(prior: Prior, state: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(with_gradient):
            return prior.denoise(state, sigma)

    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,)) as pool:
        clean = list(pool.map(denoised, priors, noisy.unbind(dim=1)))
    torch.set_num_threads(threads)
    return torch.stack(clean, dim=1)


@dataclass(frozen=True)
class Problem:
    """A batch of mixtures [batch, time] to separate, a prior per source, and the noise that decides the answer."""

    mixture: torch.Tensor
    priors: Sequence[Prior]
    noise: Noise

    @classmethod
    def seeded(cls, mixture: torch.Tensor, priors: Sequence[Prior], seeds: Seeds) -> Problem:
        """The problem whose noise comes from one seed per mixture."""
        return cls(mixture, priors, SeededNoise(seeds, range(len(priors)), mixture.shape[-1], mixture.device))

    @property
    def sources(self) -> int:
        """Their number."""
        return len(self.priors)

    def denoise(self, state: torch.Tensor, sigma: float) -> torch.Tensor:
        """x̂_0 of every source by its own prior, without a graph; state [batch, source, time], variance-exploding."""
        with torch.no_grad():
            return denoise_all(self.priors, state, sigma)

    def residual(self, clean: torch.Tensor) -> torch.Tensor:
        """What sources [batch, source, time] leave of the mixture: y − Σ x̂ [batch, time]."""
        return self.mixture - clean.sum(dim=1)


class Step(NamedTuple):
    """What a rule answers, all [batch, source, time].

    state: at σ_next, at σ_next = 0 the separated sources; clean: x̂_0 at σ; gradient: of the loss of a guided rule.
    """

    state: torch.Tensor
    clean: torch.Tensor
    gradient: torch.Tensor | None = None


Rule = Callable[[Problem, torch.Tensor, float, float], Step]  # (problem, state, σ, σ_next)


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


OnStep = Callable[[Snapshot], None] | None


def reverse(
    problem: Problem, state: torch.Tensor, levels: Sequence[float], rule: Rule, on_step: OnStep = None
) -> torch.Tensor:
    """Take the sources' state from the first noise level to the last, 0, where they add up to the mixture.

    state [batch, source, time] at levels[0], in the rule's convention; on_step sees a Snapshot after every step.
    """
    for number, (sigma, sigma_next) in enumerate(pairwise(levels), start=1):
        step = rule(problem, state, sigma, sigma_next)
        state = step.state
        if on_step is not None:
            on_step(snapshot(problem, levels, number, step))
    return state


def snapshot(problem: Problem, levels: Sequence[float], number: int, step: Step) -> Snapshot:
    """The Snapshot of step `number`, from 1, on `levels`."""
    guidance = None if step.gradient is None else torch.linalg.vector_norm(step.gradient, dim=-1)
    residual = problem.residual(step.clean)
    return Snapshot(number, len(levels) - 1, levels[number - 1], step.state, step.clean, residual, guidance)
