"""Short runs in rounds, each round begun at what the one before it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from unsep_lib.priors.base import Prior
from unsep_lib.priors.label_contrast import contrasted
from unsep_lib.solvers.dirac import dirac
from unsep_lib.solvers.initialization import around, from_noisy_mixture
from unsep_lib.solvers.loop import OnStep, Seeds, Start
from unsep_lib.solvers.mixture_consistency import Consistency, filter_by_power, keep
from unsep_lib.solvers.projection import END_SIGMA, START_SIGMA, projection
from unsep_lib.solvers.several import MEAN_SAMPLES, mean_of, settled

ROUNDS = 4  # in domain, projection at ten levels each: two score 5.3 dB, four 6.3; one of twenty levels 3.7
ROUND_LEVELS = 8  # at least a share; Dirac's rounds of five score 4 dB less than one mean of twenty levels
SHORT_LEVELS = 6  # the same where the last round has two shares; 8 score 0.4 dB more (20 mixtures) at a third more
EARLY_END = 0.15  # of rounds that the next begins anew at 0.5 or more; 0.005 and 16 levels after it lose 1.6 dB
LAST_SHARE = 2  # the last round's levels in those of one before it
DIRAC_SIGMAS = (1.5, 0.5)  # of the first and last round; 0.7 dB above 0.7 for all; (1, 0.35) and (2, 0.4) as good


@dataclass(frozen=True)
class Round:
    """What a round takes the mean of: `count` samples under `priors`, with `share` parts of the levels.

    run: a solver's function that takes `start` and `start_sigma` too. least: levels a share, or there are fewer rounds.
    settle: what moves a sample when it is done.
    """

    run: Callable[..., torch.Tensor]
    priors: Sequence[Prior]
    count: int = MEAN_SAMPLES
    share: int = 1
    least: int = ROUND_LEVELS
    settle: Consistency = keep


def in_rounds(
    early: Round,
    last: Round,
    mixture: torch.Tensor,
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    sigmas: tuple[float, float],
) -> torch.Tensor:
    """Up to four rounds of the mean of a few samples: those before the last like `early`.

    Each round starts at the mean of the one before in fresh noise, `x_σ = m + σ n`, the first at an equal share of the
    mixture; noising an estimate anew is SDEdit's start (arXiv 2108.01073). sigmas: where the first and the last round
    begin, those between them evenly in ln σ. `steps` counts the levels of all rounds, of which a round has its share;
    with too few for four there are fewer rounds. The sources add up to the mixture if those of both rounds' `run` do.
    """
    rounds = max(1, min(ROUNDS, (steps // last.least - last.share) // early.share + 1))
    means: list[torch.Tensor] = []
    done = 0
    for number, sigma in enumerate(spaced(*sigmas, rounds)):
        after = rounds - 1 - number
        current = early if after else last
        levels = (steps - done) * current.share // (after * early.share + last.share)
        seen, numbered = _counted(on_step, done, steps), [(*seed, number) for seed in seeds]
        start = around(means[-1].repeat_interleave(current.count, dim=0)) if means else from_noisy_mixture
        sampled = partial(settled, partial(current.run, start=start, start_sigma=sigma), current.settle)
        means.append(mean_of(sampled, mixture, current.priors, levels, numbered, seen, count=current.count))
        done += levels
    return means[-1]


def spaced(first: float, last: float, rounds: int) -> list[float]:
    """Where each round begins, evenly in ln σ; a single round begins at the usual level."""
    if rounds == 1:
        return [START_SIGMA]
    return [first * (last / first) ** (number / (rounds - 1)) for number in range(rounds)]


def projection_restart(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """Rounds of projection-mean, all from the level at which a single one begins: from 1.5 most of the gain is lost."""
    every = Round(projection, priors)
    return in_rounds(every, every, mixture, steps, seeds, on_step, sigmas=(START_SIGMA, START_SIGMA))


def dirac_restart(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """Rounds of Dirac samples (arXiv 2302.02257) that eliminate each source in turn, so that none is favoured.

    The last round is the mean of four samples, or as many more as give every source the same number of turns; a round
    before it has one sample a source, at 62 % of the cost of four everywhere. Rounds begin at ever lower noise.
    """
    return in_rounds(_in_turn(priors), _in_turn_at_length(priors), mixture, steps, seeds, on_step, sigmas=DIRAC_SIGMAS)


def dirac_contrast(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """dirac-restart whose rounds but the last lean sources of one prior apart by their labels (`contrasted`).

    What two labels explain alike moves neither source, so that what tells them apart decides; one more evaluation a
    source and competing label. The last round is the plain prior's. Equals dirac-restart where no labels compete.
    """
    early = _in_turn(contrasted(priors))
    return in_rounds(early, _in_turn_at_length(priors), mixture, steps, seeds, on_step, sigmas=DIRAC_SIGMAS)


def dirac_wiener(
    mixture: torch.Tensor, priors: Sequence[Prior], steps: int, seeds: Seeds, on_step: OnStep = None
) -> torch.Tensor:
    """dirac-contrast in which Wiener's filter settles whose a bin is (`filter_by_power`).

    A denoiser that is in doubt leaves a little of each source in every bin, and so does a mean of samples. The last
    round's steps go to the filtered estimates in place of the denoised ones; samples of the rounds before are filtered
    only when they are done, since what is settled early and wrongly would stay. These stop early, and the last round
    has twice the levels of one before it and one sample a source.
    """
    early = _in_turn(contrasted(priors), partial(_dirac_in_turn, end_sigma=EARLY_END))
    last = _in_turn(priors, partial(_dirac_in_turn, towards=filter_by_power))
    last = replace(last, share=LAST_SHARE, least=SHORT_LEVELS)
    return in_rounds(replace(early, settle=filter_by_power), last, mixture, steps, seeds, on_step, sigmas=DIRAC_SIGMAS)


def _dirac_in_turn(
    mixture: torch.Tensor,
    priors: Sequence[Prior],
    steps: int,
    seeds: Seeds,
    on_step: OnStep = None,
    *,
    start: Start,
    start_sigma: float,
    end_sigma: float = END_SIGMA,
    towards: Consistency = keep,
) -> torch.Tensor:
    turns = torch.arange(len(mixture)).remainder(len(priors))
    sampled = partial(dirac, eliminated=turns, start=start, start_sigma=start_sigma, end_sigma=end_sigma)
    return sampled(mixture, priors, steps, seeds, on_step, towards=towards)


def _in_turn(priors: Sequence[Prior], run: Callable[..., torch.Tensor] = _dirac_in_turn) -> Round:
    """A round of as many samples as sources, each of which is eliminated once."""
    return Round(run, priors, len(priors))


def _in_turn_at_length(priors: Sequence[Prior]) -> Round:
    turns = len(priors)
    return Round(_dirac_in_turn, priors, turns * -(-MEAN_SAMPLES // turns))


def _counted(on_step: OnStep, done: int, steps: int) -> OnStep:
    if on_step is None:
        return None
    return lambda snapshot: on_step(replace(snapshot, step=done + snapshot.step, steps=steps))
