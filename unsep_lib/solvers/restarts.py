"""Restarts: short runs, each begun at the mean of the one before it in fresh noise (SDEdit, arXiv 2108.01073)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.label_contrast import contrasted
from unsep_lib.solvers.initialization import Start, noised, noisy_mixture
from unsep_lib.solvers.loop import OnStep, Rule, Seeds, entropy
from unsep_lib.solvers.mixture_consistency import Consistency, identity
from unsep_lib.solvers.sampler import Sampler, Solver
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
    """

    early: Restart
    last: Restart
    sigmas: tuple[float, float] = (START_SIGMA, START_SIGMA)
    fewest: int = 8
    postprocess: Consistency = identity

    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time]; `on_step` sees all samples of a run as one batch."""
        runs = max(1, min(MOST_RUNS, (steps // self.fewest - self.last.share) // self.early.share + 1))
        start: Start = noisy_mixture
        done = 0
        for number, sigma in enumerate(spaced(*self.sigmas, runs)):
            left = runs - 1 - number
            now = self.early if left else self.last
            levels = (steps - done) * now.share // (left * self.early.share + self.last.share)
            samples = now.count(len(priors))
            sampler = Sampler(self.name, now.rule, start, LogLevels(sigma, now.end), samples, now.postprocess)
            chosen = contrasted(priors) if now.label_contrast else priors
            numbered = [(*entropy(seed), number) for seed in seeds]
            mean = sampler.run(mixture, chosen, levels, numbered, _counted(on_step, done, steps))
            start, done = noised(mean), done + levels
        return self.postprocess(mean, mixture)


def spaced(first: float, last: float, runs: int) -> list[float]:
    """Where each run starts, evenly in ln σ; a single one starts at the usual level."""
    if runs == 1:
        return [START_SIGMA]
    return [first * (last / first) ** (number / (runs - 1)) for number in range(runs)]


def _counted(on_step: OnStep, done: int, steps: int) -> OnStep:
    if on_step is None:
        return None
    return lambda snapshot: on_step(replace(snapshot, step=done + snapshot.step, steps=steps))
