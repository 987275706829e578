import pytest
import torch

from unsep_lib.ground_truth import gaussian_example, posterior
from unsep_lib.solvers import SOLVERS
from unsep_lib.solvers.projections import projection_mean
from unsep_lib.solvers.restarts import projection_restart

SEEDS = range(16)


def runs(solver, example, steps):
    batch = example.mixture.expand(len(SEEDS), -1)
    return solver(batch, example.priors, steps, [(seed,) for seed in SEEDS], None)


def distance(sources, truth):
    return ((sources - truth.waveforms()).norm(dim=(1, 2)) / truth.waveforms().norm()).mean().item()


@pytest.mark.parametrize(("steps", "rounds"), [(1, 1), (19, 1), (20, 2), (33, 3), (45, 4), (90, 4)])
def test_steps_are_counted_over_all_rounds(steps, rounds):
    example, seen = gaussian_example(length=64), []
    projection_restart(example.mixture[None], example.priors, steps, [(0,)], seen.append)
    assert [snapshot.step for snapshot in seen] == list(range(1, steps + 1))
    assert {snapshot.steps for snapshot in seen} == {steps}
    assert sum(snapshot.sigma > 0.69 for snapshot in seen) == rounds


def test_a_single_level_is_one_round_of_the_mean():
    example = gaussian_example(length=64)
    once = projection_restart(example.mixture[None], example.priors, 1, [(3,)])
    assert torch.equal(once, projection_mean(example.mixture[None], example.priors, 1, [(3, 0)]))


def test_rounds_come_nearer_to_the_posterior_mean_than_one_long_round():
    example = gaussian_example()
    truth = posterior(example.priors, example.mixture)
    rounds, long = (
        distance(runs(SOLVERS[name].run, example, 40), truth) for name in ("projection-restart", "projection-mean")
    )
    assert rounds < 0.95 * long


def test_no_levels_are_refused():
    example = gaussian_example(length=64)
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        projection_restart(example.mixture[None], example.priors, 0, [(0,)])
