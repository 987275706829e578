"""Several samples of a solver as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.solvers.loop import OnStep, Seeds
from unsep_lib.solvers.mixture_consistency import Consistency

MEAN_SAMPLES = 4  # short runs whose mean estimates the posterior mean, which SI-SDR rewards

Run = Callable[[torch.Tensor, Sequence[Prior], int, Seeds, OnStep], torch.Tensor]


def several(
    run: Run,
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    count: int,
) -> torch.Tensor:
    """`count` samples of a solver for every mixture [batch, time], run as one batch: [batch, sample, source, time].

    run: the solver's function, (mixture, priors, steps, seeds, on_step) → sources; `on_step` sees all samples at once.
    """
    repeated = mixture.repeat_interleave(count, dim=0)
    samples = [(*seed, sample) for seed in seeds for sample in range(count)]
    found: torch.Tensor = run(repeated, priors, steps, samples, on_step).unflatten(0, (len(mixture), count))
    return found


def mean_of(
    run: Run,
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    count: int = MEAN_SAMPLES,
) -> torch.Tensor:
    """The mean of `count` short samples of a solver, run as one batch: close to the posterior mean."""
    return several(run, mixture, priors, steps, seeds, on_step, count=count).mean(dim=1)


def settled(
    run: Run,
    consistency: Consistency,
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
) -> torch.Tensor:
    """What a solver's `run` finds, moved by a consistency once at the end."""
    return consistency(run(mixture, priors, steps, seeds, on_step), mixture)
