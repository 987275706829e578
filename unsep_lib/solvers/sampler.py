"""A solver as a row that can be read: where it starts, its noise levels, its rule, and how many samples it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.initialization import Start, VariancePreserving, noisy_mixture
from unsep_lib.solvers.loop import OnStep, Problem, Rule, Seeds, entropy, reverse
from unsep_lib.solvers.mixture_consistency import Consistency, identity
from unsep_lib.solvers.schedules import Levels, LogLevels


@dataclass(frozen=True)
class Solver(ABC):
    """A named way to separate. steps: its usual number of noise levels; summary: a few words for lists."""

    name: str
    steps: int = field(default=40, kw_only=True)
    summary: str = field(default="", kw_only=True)

    @abstractmethod
    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time] of `mixture` [batch, time], with one prior per source and one seed per mixture.

        Raises:
            ValueError: a number of steps or noise levels that solver or priors do not allow.
        """


@dataclass(frozen=True)
class Sampler(Solver):
    """The mean of `samples` runs of a rule from its start through its noise levels.

    The mean of a few short samples is close to the posterior mean, which SI-SDR rewards. postprocess: moves each
    sample when it is done.

    Raises:
        ValueError: a variance-preserving start for a variance-exploding rule, or the other way round.
    """

    rule: Rule
    start: Start = noisy_mixture
    levels: Levels = LogLevels()  # noqa: RUF009
    samples: int = 1
    postprocess: Consistency = identity

    def __post_init__(self) -> None:
        rule, start = (
            "preserving" if isinstance(part, VariancePreserving) else "exploding" for part in (self.rule, self.start)
        )
        if rule != start:
            raise ValueError(
                f"expected a variance-{rule} start for the variance-{rule} rule of {self.name!r}, "
                f"got a variance-{start} one"
            )

    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time]; `on_step` sees all samples as one batch."""
        levels = self.levels(priors, steps)
        if self.samples > 1:
            seeds = [(*entropy(seed), sample) for seed in seeds for sample in range(self.samples)]
        problem = Problem.seeded(mixture.repeat_interleave(self.samples, dim=0), priors, seeds)
        found = reverse(problem, self.start(problem, levels[0]), levels, self.rule, on_step)
        found = self.postprocess(found, problem.mixture).unflatten(0, (len(mixture), self.samples))
        mean: torch.Tensor = found.mean(dim=1)
        return mean
