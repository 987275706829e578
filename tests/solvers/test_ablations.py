import math

import numpy
import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.experiments.methods import sampler_named
from unsep_lib.priors.paper_schedule import paper_grid, posterior_variance
from unsep_lib.solvers import ABLATIONS, SOLVERS, solve

STEPS = 10
UNCHANGED = {"hybrid": "hybrid", "projection": "projection", "contrast": "dirac-restart"}


@pytest.mark.parametrize(("name", "factor"), [("hybrid-half", 0.5), ("hybrid-double", 2.0)])
@pytest.mark.parametrize("t", [199, 10, 1])
def test_both_constants_are_scaled(name, factor, t):
    sigma, sigma_next = paper_grid()[199 - t : 201 - t]
    gradient = torch.randn(1, 2, 400, generator=torch.Generator().manual_seed(0))
    sphere = factor * 0.09 * math.sqrt(posterior_variance(sigma, sigma_next))
    length = 20 * numpy.logaddexp(1000 * sphere, 1000 * factor * 0.002) / 1000
    moved = ABLATIONS[name].rule.guidance(gradient, sigma, sigma_next)
    numpy.testing.assert_allclose(moved.norm(dim=-1), length, rtol=1e-5)


def test_log_levels_are_even_between_the_papers_ends():
    levels = ABLATIONS["hybrid-log"].levels(gaussian_example(2, 40).priors, 7)
    numpy.testing.assert_allclose(levels[:-1], numpy.geomspace(paper_grid()[0], paper_grid()[-2], 7), rtol=1e-6)
    assert levels[-1] == 0


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_part_that_is_changed_changes_the_result(name):
    example = gaussian_example(2, 40)
    runs = [
        solve(example.mixture[None], example.priors, solver=s, steps=STEPS, seeds=[0])
        for s in (UNCHANGED[name.partition("-")[0]], ABLATIONS[name])
    ]
    assert runs[1].isfinite().all()
    assert (runs[0] - runs[1]).norm() > 1e-3 * runs[0].norm()


def test_no_ablation_hides_a_solver():
    assert not set(SOLVERS) & set(ABLATIONS)
    assert all(sampler_named(name) is solver for name, solver in (SOLVERS | ABLATIONS).items())
