import math

import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.priors.paper_schedule import log_grid, paper_grid, signal_power
from unsep_lib.solvers import SOLVERS, reverse
from unsep_lib.solvers.initialization import SeededNoise, from_noisy_mixture
from unsep_lib.solvers.step_rules import Hybrid, Projection

LENGTH = 600
PAPER = paper_grid()


def run(steps, seed=0):
    example, seen = gaussian_example(2, LENGTH), []
    sources = SOLVERS["guided-tail"].run(example.mixture[None], example.priors, steps, [(seed,)], seen.append)
    return example, sources, seen


@pytest.mark.parametrize(("steps", "guided"), [(1, 0), (2, 1), (3, 1), (10, 5), (16, 8), (30, 8)])
def test_the_last_steps_are_guided_on_the_papers_levels(steps, guided):
    _, _, seen = run(steps)
    assert [snapshot.step for snapshot in seen] == list(range(1, steps + 1))
    assert [snapshot.guidance is not None for snapshot in seen] == [False] * (steps - guided) + [True] * guided
    assert [snapshot.sigma for snapshot in seen[steps - guided :]] == PAPER[200 - guided : 200]


def test_it_is_a_projection_followed_by_the_papers_sampler():
    example, found, _ = run(20, seed=5)
    noise = SeededNoise([(5,)], [0, 1], LENGTH, torch.device("cpu"))
    head = [*log_grid(0.7, PAPER[191], 12)[:-1], PAPER[192]]
    projected = reverse(example.mixture[None], example.priors, head, from_noisy_mixture, Projection(), noise)

    def start(mixture, sources, sigma, noise):
        return math.sqrt(signal_power(sigma)) * projected

    expected = reverse(example.mixture[None], example.priors, PAPER[192:], start, Hybrid(), noise)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
