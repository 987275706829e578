from itertools import pairwise

import pytest
import torch
from places import GOLDEN
from safetensors.torch import load_file

from unsep_lib.priors.paper_schedule import log_grid, paper_betas, paper_grid, paper_signal_power, posterior_variance
from unsep_lib.solvers.guidance import hybrid_step_size

RECORDED = load_file(GOLDEN / "schedules.safetensors")


def test_betas_and_signal_power_equal_the_recorded_ones():
    torch.testing.assert_close(paper_betas(), RECORDED["betas"].double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(paper_signal_power(), RECORDED["alphas_cumprod"].double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("name", "function"),
    [("posterior_variance", posterior_variance), ("hybrid_step", hybrid_step_size)],
)
def test_a_step_computed_from_sigmas_alone_equals_the_recorded_schedule(name, function):
    computed = [function(sigma, sigma_next) for sigma, sigma_next in pairwise(paper_grid())]
    torch.testing.assert_close(torch.tensor(computed[::-1]), RECORDED[name].float(), rtol=3e-4, atol=0)


def test_paper_grid_covers_the_known_range_and_ends_clean():
    grid = paper_grid()
    assert len(grid) == 201
    assert grid[0] == pytest.approx(2.56, abs=0.01)
    assert grid[-2] == pytest.approx(0.010, abs=1e-4)
    assert grid[-1] == 0


def test_respaced_grid_keeps_the_ends_and_only_trained_levels():
    trained = set(paper_grid())
    short = paper_grid(10)
    assert len(short) == 11
    assert set(short) <= trained
    assert short[0] == paper_grid()[0]


def test_log_grid_has_a_constant_ratio():
    grid = log_grid(1.0, 0.001, 4)
    assert grid == pytest.approx([1.0, 0.1, 0.01, 0.001, 0.0])


@pytest.mark.parametrize("call", [lambda: paper_grid(0), lambda: paper_grid(201), lambda: log_grid(1.0, 0.1, 0)])
def test_impossible_steps_are_refused_with_the_number(call):
    with pytest.raises(ValueError, match=r"got (0|201)"):
        call()
