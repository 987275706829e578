"""A solver as a row that can be read: where it starts, its noise levels, its rule, and how many samples it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.agreement import consensus
from unsep_lib.solvers.initialization import Start, VariancePreserving, noised, noisy_mixture
from unsep_lib.solvers.loop import OnStep, Problem, Rule, Seeds, entropy, reverse
from unsep_lib.solvers.mixture_consistency import Consistency, identity
from unsep_lib.solvers.schedules import Levels, LogLevels


class Answer(NamedTuple):
    """What a solver found.

    sources [batch, source, time]; agreement [batch, source]: how alike several answers were that it chose from, in dB
    (`agreement.agreement`), None from a solver that had no choice.
    """

    sources: torch.Tensor
    agreement: torch.Tensor | None = None


@dataclass(frozen=True)
class Solver(ABC):
    """A named way to separate.

    steps: its usual number of noise levels; summary: a few words for lists; calibrated: whether `Confidence` was fitted
    on its answers.
    """

    name: str
    steps: int = field(default=40, kw_only=True)
    summary: str = field(default="", kw_only=True)
    calibrated: bool = field(default=False, kw_only=True)

    @abstractmethod
    def run(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> torch.Tensor:
        """Sources [batch, source, time] of `mixture` [batch, time], with one prior per source and one seed per mixture.

        Raises:
            ValueError: a number of steps or noise levels that solver or priors do not allow.
        """

    def answer(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> Answer:
        """As `run`, with how far the sources can be trusted where the solver knows."""
        return Answer(self.run(mixture, priors, steps, seeds, on_step))

    def begun_at(self, estimates: torch.Tensor) -> Solver:
        """The solver that starts at estimates [batch, source, time] of its mixtures' sources, such as a separator's.

        Raises:
            ValueError: it cannot.
        """
        raise ValueError(f"the solver {self.name} cannot begin at given estimates")


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
        return self.answer(mixture, priors, steps, seeds, on_step).sources

    def answer(
        self, mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
    ) -> Answer:
        """As `run`, with the agreement of its samples where there are several."""
        levels = self.levels(priors, steps)
        if self.samples > 1:
            seeds = [(*entropy(seed), sample) for seed in seeds for sample in range(self.samples)]
        problem = Problem.seeded(mixture.repeat_interleave(self.samples, dim=0), priors, seeds)
        found = reverse(problem, self.start(problem, levels[0]), levels, self.rule, on_step)
        found = self.postprocess(found, problem.mixture).unflatten(0, (len(mixture), self.samples))
        if self.samples == 1:
            return Answer(found[:, 0])
        groups = [prior.identity for prior in priors]
        alike = torch.stack([consensus(samples, groups).agreement for samples in found])
        return Answer(found.mean(dim=1), alike)

    def begun_at(self, estimates: torch.Tensor) -> Solver:
        """The sampler that starts at estimates in noise of its first level, `x̂_k + σ n_k`.

        Raises:
            ValueError: it is variance-preserving.
        """
        return replace(self, start=noised(estimates))
