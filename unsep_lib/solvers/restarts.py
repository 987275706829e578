"""Short runs in rounds, each round begun at what the one before it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from unsep_lib.initialise import around, from_noisy_mixture
from unsep_lib.priors import Prior
from unsep_lib.solvers.dirac import dirac
from unsep_lib.solvers.loop import OnStep, Seeds
from unsep_lib.solvers.projections import projection
from unsep_lib.solvers.several import MEAN_SAMPLES, mean_of

ROUNDS = 4  # in domain, projection at ten levels each: two score 5.3 dB, four 6.3; one of twenty levels 3.7
ROUND_LEVELS = 10  # at least; Dirac's rounds of five score 4 dB less than one mean of twenty levels


def in_rounds(
    run: Callable[..., torch.Tensor],
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    count: int = MEAN_SAMPLES,
) -> torch.Tensor:
    """Up to four rounds of the mean of `count` samples, each round started at the mean of the last.

    `x_σ = m + σ n`, m the last round's mean, in the first round an equal share of the mixture; noising an estimate anew
    is SDEdit's start (arXiv 2108.01073). run: a solver's function that takes `start` too. `steps` counts the levels of
    all rounds; below forty there are fewer rounds. The sources add up to the mixture if those of `run` do.
    """
    rounds = max(1, min(ROUNDS, steps // ROUND_LEVELS))
    start, done = from_noisy_mixture, 0
    for number in range(rounds):
        levels = (steps - done) // (rounds - number)
        seen, numbered = _counted(on_step, done, steps), [(*seed, number) for seed in seeds]
        mean = mean_of(partial(run, start=start), mixture, priors, levels, numbered, seen, count=count)
        start, done = around(mean.repeat_interleave(count, dim=0)), done + levels
    return mean


projection_restart = partial(in_rounds, projection)


def dirac_restart(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """Rounds of Dirac samples (arXiv 2302.02257) that eliminate each source in turn, so that none is favoured.

    Each round is the mean of four samples, or as many more as give every source the same number of turns.
    """
    count = len(priors) * -(-MEAN_SAMPLES // len(priors))
    turns = torch.arange(count).remainder(len(priors)).repeat(len(mixture))
    return in_rounds(partial(dirac, eliminated=turns), mixture, priors, steps, seeds, on_step, count=count)


def _counted(on_step: OnStep, done: int, steps: int) -> OnStep:
    if on_step is None:
        return None
    return lambda snapshot: on_step(replace(snapshot, step=done + snapshot.step, steps=steps))
