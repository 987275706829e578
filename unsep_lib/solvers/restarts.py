"""Short runs in rounds, each round begun at what the one before it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from unsep_lib.contrast import contrasted
from unsep_lib.initialise import around, from_noisy_mixture
from unsep_lib.priors import Prior
from unsep_lib.solvers.dirac import dirac
from unsep_lib.solvers.loop import OnStep, Seeds, Start
from unsep_lib.solvers.projections import START_SIGMA, projection
from unsep_lib.solvers.several import MEAN_SAMPLES, mean_of

ROUNDS = 4  # in domain, projection at ten levels each: two score 5.3 dB, four 6.3; one of twenty levels 3.7
ROUND_LEVELS = 10  # at least; Dirac's rounds of five score 4 dB less than one mean of twenty levels
DIRAC_SIGMAS = (1.5, 0.5)  # of the first and last round; 0.7 dB above 0.7 for all; (1, 0.35) and (2, 0.4) as good
SAME_SIGMAS = (START_SIGMA, START_SIGMA)  # projection's rounds lose most of their gain if they begin at 1.5


def in_rounds(
    run: Callable[..., torch.Tensor],
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    count: int = MEAN_SAMPLES,
    early: int = MEAN_SAMPLES,
    sigmas: tuple[float, float] = SAME_SIGMAS,
    early_priors: Sequence[Prior] | None = None,
) -> torch.Tensor:
    """Up to four rounds of the mean of a few samples, `count` in the last and `early` in those before.

    Each round starts at the mean of the one before in fresh noise, `x_σ = m + σ n`, the first at an equal share of the
    mixture; noising an estimate anew is SDEdit's start (arXiv 2108.01073). sigmas: where the first and the last round
    begin, those between them evenly in ln σ. early_priors: in place of `priors` in all rounds but the last. run: a
    solver's function that takes `start` and `start_sigma` too. `steps` counts the levels of all rounds; below forty
    there are fewer rounds. The sources add up to the mixture if those of `run` do.
    """
    rounds = max(1, min(ROUNDS, steps // ROUND_LEVELS))
    means: list[torch.Tensor] = []
    done = 0
    for number, sigma in enumerate(spaced(*sigmas, rounds)):
        remaining = rounds - number
        samples, levels = early if remaining > 1 else count, (steps - done) // remaining
        believed = early_priors if early_priors is not None and remaining > 1 else priors
        seen, numbered = _counted(on_step, done, steps), [(*seed, number) for seed in seeds]
        start = around(means[-1].repeat_interleave(samples, dim=0)) if means else from_noisy_mixture
        sampled = partial(run, start=start, start_sigma=sigma)
        means.append(mean_of(sampled, mixture, believed, levels, numbered, seen, count=samples))
        done += levels
    return means[-1]


def spaced(first: float, last: float, rounds: int) -> list[float]:
    """Where each round begins, evenly in ln σ; a single round begins at the usual level."""
    if rounds == 1:
        return [START_SIGMA]
    return [first * (last / first) ** (number / (rounds - 1)) for number in range(rounds)]


projection_restart = partial(in_rounds, projection)


def dirac_restart(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """Rounds of Dirac samples (arXiv 2302.02257) that eliminate each source in turn, so that none is favoured.

    The last round is the mean of four samples, or as many more as give every source the same number of turns; a round
    before it has one sample a source, at 62 % of the cost of four everywhere. Rounds begin at ever lower noise.
    """
    return _dirac_rounds(mixture, priors, steps, seeds, on_step, priors)


def dirac_contrast(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """dirac-restart whose rounds but the last lean sources of one prior apart by their labels (`contrasted`).

    What two labels explain alike moves neither source, so that what tells them apart decides; one more evaluation a
    source and competing label. The last round is the plain prior's. Equals dirac-restart where no labels compete.
    """
    return _dirac_rounds(mixture, priors, steps, seeds, on_step, contrasted(priors))


def _dirac_rounds(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep,
    early_priors: Sequence[Prior],
) -> torch.Tensor:
    turns = len(priors)
    count = turns * -(-MEAN_SAMPLES // turns)
    rounds = partial(in_rounds, count=count, early=turns, sigmas=DIRAC_SIGMAS, early_priors=early_priors)
    return rounds(_dirac_in_turn, mixture, priors, steps, seeds, on_step)


def _dirac_in_turn(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    start: Start,
    start_sigma: float,
) -> torch.Tensor:
    eliminated = torch.arange(len(mixture)).remainder(len(priors))
    return dirac(mixture, priors, steps, seeds, on_step, eliminated=eliminated, start=start, start_sigma=start_sigma)


def _counted(on_step: OnStep, done: int, steps: int) -> OnStep:
    if on_step is None:
        return None
    return lambda snapshot: on_step(replace(snapshot, step=done + snapshot.step, steps=steps))
