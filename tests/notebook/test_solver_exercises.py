"""The judges of the solvers' chapters: each takes another way to the right result and refuses a wrong one."""

import math

import numpy
import pytest
import torch

from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.notebook import exercise_checks
from unsep_lib.priors.paper_schedule import posterior_variance
from unsep_lib.solvers import Step
from unsep_lib.solvers.mixture_consistency import share_by_power, share_equally


def projection(problem, state, sigma, sigma_next, consistency=share_by_power):
    clean = consistency(problem.denoise(state, sigma), problem.mixture)
    if sigma_next == 0:
        return Step(clean, clean)
    kept = (sigma_next / sigma) ** 2
    return Step(clean + kept * (state - clean) + sigma_next * math.sqrt(1 - kept) * problem.noise.draw(), clean)


def dirac(problem, state, sigma, sigma_next, sign=1.0):
    gap = state - problem.denoise(state, sigma)
    churn = math.sqrt(2) if sigma_next else 1.0
    move = sigma_next / churn / sigma - 1 if sigma_next else -0.5
    first = state[:, 0] + move * (gap[:, 0] - sign * gap[:, 1])
    if sigma_next:
        first = first + sigma_next * math.sqrt(0.5) * problem.noise.draw()[:, 0]
    return Step(torch.stack([first, problem.mixture - first], dim=1), state)


def hard(gradient, sigma, sigma_next, floor=0.002):
    length = max(0.09 * posterior_variance(sigma, sigma_next) ** 0.5, floor) * gradient.shape[-1] ** 0.5
    return torch.nn.functional.normalize(gradient, dim=-1) * length


def fewest(spread, bias, room=1.0):
    left = 10 ** (room / 10) - 1 - (bias / 0.61) ** 2
    return next((n for n in range(1, 1000) if spread**2 / n <= left), None)


def flow(problem, state, sigma, sigma_next, noisy=False):
    clean = share_by_power(problem.denoise(state, sigma), problem.mixture)
    kept = sigma_next / sigma
    return Step((1 - kept) * clean + kept * state + noisy * 0.1 * problem.noise.draw(), clean)


def soft(problem, state, sigma, sigma_next, power=2):
    clean = problem.denoise(state, sigma)
    clean = clean + (share_equally(clean, problem.mixture) - clean) / (1 + sigma**power)
    return Step(clean + sigma_next * problem.noise.draw(), clean)


def interval(values, least=8, low=2.5):
    if len(values) < least:
        return None
    draws = numpy.random.default_rng(1).choice(values, size=(5000, len(values))).mean(axis=1)
    return tuple(numpy.percentile(draws, [low, 100 - low]))


def agreeing(answers, worst=False):
    scores = torch.stack([torch.stack([si_sdr(a, b).mean() for b in answers if b is not a]).mean() for a in answers])
    return scores.argmin() if worst else scores.argmax()


def along_time(maps, attention, swap=False):
    maps = maps.transpose(1, 2) if swap else maps
    found = torch.stack([attention(clip) for clip in maps])
    return found.transpose(1, 2) if swap else found


CASES = {
    "same_as_projection": (projection, lambda *args: projection(*args, share_equally)),
    "same_as_dirac": (dirac, lambda *args: dirac(*args, -1.0)),
    "hard_maximum": (hard, lambda *args: hard(*args, 0.004)),
    "fewest_for_a_decibel": (fewest, lambda *args: fewest(*args, 2.0)),
    "probability_flow": (flow, lambda *args: flow(*args, True)),
    "soft_consistency": (soft, lambda *args: soft(*args, 1)),
    "bootstrap_interval": (interval, lambda values: interval(values, 2)),
    "most_agreeing": (agreeing, lambda answers: agreeing(answers, True)),
    "attention_along_time": (along_time, lambda *args: along_time(*args, True)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_judge_takes_the_right_function_and_refuses_a_wrong_one(name):
    judge, (right, wrong) = getattr(exercise_checks, name), CASES[name]
    assert judge(right) is True
    assert judge(wrong) is False
