import math

import pytest
import torch

from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.epsilon import EpsilonPrior
from unsep_lib.priors.paper_schedule import log_grid, paper_grid
from unsep_lib.solvers import SOLVERS, LogLevels, solve

GRID = paper_grid()


class Shrinking(torch.nn.Module):
    """An ε-network that takes a tenth of its input, or of its label's share, for noise."""

    def forward(self, samples, time, label):
        return 0.1 * (1 + label[:, None]) * samples


def any_level():
    return GaussianPrior(torch.ones(3))


def test_priors_of_any_level_get_the_log_spaced_grid_as_it_is():
    assert LogLevels(1.5, 0.005)([any_level()], 40) == log_grid(1.5, 0.005, 40)


@pytest.mark.parametrize("steps", [1, 7, 40, 400])
def test_trained_levels_replace_log_spaced_ones_by_the_nearest(steps):
    trained, priors = GRID[:-1], [any_level(), EpsilonPrior(Shrinking())]
    levels = LogLevels(1.5, 0.005)(priors, steps)
    assert levels[-1] == 0
    assert len(set(levels)) == len(levels) <= steps + 1
    assert levels == sorted(levels, reverse=True)
    nearest = {
        min(trained, key=lambda level, wanted=wanted: abs(math.log(level / wanted)))
        for wanted in log_grid(1.5, 0.005, steps)[:-1]
    }
    assert levels[:-1] == pytest.approx(sorted(nearest, reverse=True), rel=1e-12)


def levelled(levels):
    prior = GaussianPrior(torch.ones(3))
    prior.grid = torch.tensor(levels)
    prior.sigma_min, prior.sigma_max = min(levels), max(levels)
    return prior


@pytest.mark.parametrize(
    ("priors", "solver", "message"),
    [
        (
            [levelled([1.0, 0.1]), levelled([1.0, 0.2])],
            "projection",
            "same noise levels, got 2 levels from 0.1 to 1 and",
        ),
        (
            [levelled([2.6, 1.0, 0.01])],
            "hybrid",
            "one of the 3 noise levels the prior was trained on, the nearest is 2.6",
        ),
        *(
            ([levelled([1.0, 0.1]), levelled([1.0, 0.2])], solver, "same noise levels")
            for solver in ("projection-mean", "daps", "dirac", "pigdm")
        ),
        ([levelled([1.0, 0.1])], "dps", "expected a noise level from 0.1 to 1, got σ = 2.56"),
    ],
)
def test_levels_that_priors_do_not_allow_are_refused_before_the_first_step(priors, solver, message):
    seen = []
    with pytest.raises(ValueError, match=message):
        solve(torch.zeros(1, 4), priors, solver=solver, seeds=[0], steps=20, on_step=seen.append)
    assert seen == []


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_noise_predicting_prior_runs_in_every_solver(solver):
    prior = EpsilonPrior(Shrinking(), labels=["some", "more"])
    mixture = 0.1 * torch.randn(1, 300, generator=torch.Generator().manual_seed(7))
    sources = solve(mixture, [prior, prior.with_condition(label="more")], solver=solver, seeds=[0], steps=5)
    assert torch.isfinite(sources).all()
    assert (sources[:, 0] - sources[:, 1]).abs().max() > 1e-4
