"""Restarts: short runs, each begun at the mean of the one before it in fresh noise (SDEdit, arXiv 2108.01073)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.label_contrast import contrasted
from unsep_lib.solvers.agreement import LIMIT, consensus
from unsep_lib.solvers.initialization import Start, noised, noisy_mixture
from unsep_lib.solvers.loop import OnStep, Rule, Seeds, entropy
from unsep_lib.solvers.mixture_consistency import Consistency, identity
from unsep_lib.solvers.sampler import Answer, Sampler, Solver
from unsep_lib.solvers.schedules import END_SIGMA, START_SIGMA, LogLevels

MOST_RUNS = 4  # in domain, projection at ten levels each: two score 5.3 dB, four 6.3; one of twenty levels 3.7


@dataclass(frozen=True)
class Restart:
    """One of the runs: the mean of `samples` samples of a rule on noise levels down to `end`.

    samples: at least so many, where `per_source` is true as many more as make it a multiple of the sources' number;
    share: its part of the noise levels; postprocess: moves each sample when it is done; label_contrast: whether sources
    of one prior are told apart by their labels (`contrasted`).
    """

    rule: Rule
    end: float = END_SIGMA
    samples: int = 4
    per_source: bool = False
    share: int = 1
    postprocess: Consistency = identity
    label_contrast: bool = False

    def count(self, sources: int) -> int:
        """The number of samples for so many sources."""
        return sources * -(-self.samples // sources) if self.per_source else self.samples


@dataclass(frozen=True)
class Restarts(Solver):
    """Up to four runs, those before the last like `early`: each starts at the mean of the one before, `x_σ = m + σ n`.

    The first starts at an equal share of the mixture. sigmas: where the first and the last run start, those between
    them evenly in ln σ; a single run starts at the usual level. `steps` counts the levels of all runs, of which a run
    has its share; with fewer than `fewest` per share there are fewer runs. postprocess: moves the last mean.

    chains: how often the runs before the last are done, each time in other noise; the last run starts at the chains'
    `consensus`. Once they agree by `enough` dB in every source of the batch, no more are done.
    guess: estimates [batch, source, time] at which the last run starts instead.
    """

    early: Restart
    last: Restart
    sigmas: tuple[float, float] = (START_SIGMA, START_SIGMA)
    fewest: int = 8
    chains: int = 1
    enough: float = LIMIT
    guess: torch.Tensor | None = None
    postprocess: Consistency = identity

    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time]; `on_step` sees all samples of a run as one batch."""
        return self.answer(mixture, priors, steps, seeds, on_step).sources

    def answer(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> Answer:
        """As `run`, with the agreement of the last run's samples."""
        *early, last = self.planned(steps, priors)
        chains = 0 if self.guess is not None or not early else self.chains
        shown = _counted(on_step, chains * sum(run.levels for run in early) + last.levels)
        start: Start = noisy_mixture if self.guess is None else noised(self.guess)
        means: list[torch.Tensor] = []
        for chain in range(chains):
            means.append(
                _chain(early, mixture, [(*entropy(seed), chain) if chain else entropy(seed) for seed in seeds], shown)
            )
            start = noised(means[0])
            if chain:
                groups = [prior.identity for prior in priors]
                found = [consensus(answers, groups) for answers in torch.stack(means, dim=1)]
                start = noised(torch.stack([one.mean for one in found]))
                if min(one.agreement.min() for one in found) >= self.enough:
                    break
        answer = last.answer(start, mixture, seeds, len(early), shown)
        return Answer(self.postprocess(answer.sources, mixture), answer.agreement)

    def begun_at(self, estimates: torch.Tensor) -> Solver:
        """The last run alone, started at estimates in noise."""
        return replace(self, guess=estimates)

    def planned(self, steps: int, priors: Sequence[Prior]) -> list[Run]:
        """The runs that so many levels allow."""
        number = max(1, min(MOST_RUNS, (steps // self.fewest - self.last.share) // self.early.share + 1))
        runs: list[Run] = []
        for left, sigma in zip(reversed(range(number)), spaced(*self.sigmas, number), strict=True):
            now = self.early if left else self.last
            rest = steps - sum(run.levels for run in runs)
            levels = rest * now.share // (left * self.early.share + self.last.share)
            runs.append(Run(now, self.name, sigma, levels, contrasted(priors) if now.label_contrast else priors))
        return runs


@dataclass(frozen=True)
class Run:
    """A restart at its place: where it starts, on how many levels, with which priors."""

    restart: Restart
    name: str
    sigma: float
    levels: int
    priors: Sequence[Prior]

    def answer(self, start: Start, mixture: torch.Tensor, seeds: Seeds, number: int, on_step: OnStep) -> Answer:
        """The mean of its samples; number: which run it is, which decides its noise."""
        levels, samples = LogLevels(self.sigma, self.restart.end), self.restart.count(len(self.priors))
        sampler = Sampler(self.name, self.restart.rule, start, levels, samples, self.restart.postprocess)
        return sampler.answer(mixture, self.priors, self.levels, [(*entropy(seed), number) for seed in seeds], on_step)


def _chain(runs: Sequence[Run], mixture: torch.Tensor, seeds: Seeds, on_step: OnStep) -> torch.Tensor:
    """The mean [batch, source, time] that the runs, one after another, lead to from the mixture."""
    start: Start = noisy_mixture
    for number, run in enumerate(runs):
        mean = run.answer(start, mixture, seeds, number, on_step).sources
        start = noised(mean)
    return mean


def spaced(first: float, last: float, runs: int) -> list[float]:
    """Where each run starts, evenly in ln σ; a single one starts at the usual level."""
    if runs == 1:
        return [START_SIGMA]
    return [first * (last / first) ** (number / (runs - 1)) for number in range(runs)]


def _counted(on_step: OnStep, steps: int) -> OnStep:
    """`on_step`, its steps counted over all runs."""
    if on_step is None:
        return None
    done = count(1)
    return lambda snapshot: on_step(replace(snapshot, step=next(done), steps=steps))
