"""A solver of one's own: a rule of four arguments, its promises, and its name wherever a solver's is asked for."""

import sys

import pytest
import torch

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.solvers import SOLVERS, Sampler, Step, check_solver, solve, solver_named
from unsep_lib.solvers.guidance import Guided, hybrid_guidance
from unsep_lib.solvers.initialization import gaussian_noise, noisy_mixture, variance_preserving
from unsep_lib.solvers.mixture_consistency import share_by_power
from unsep_lib.solvers.projection import Projection

MODULE = """
from unsep_lib.solvers import Sampler, Step
from unsep_lib.solvers.mixture_consistency import share_by_power

def forgetful(problem, state, sigma, sigma_next):
    clean = share_by_power(problem.denoise(state, sigma), problem.mixture)
    return Step(clean + sigma_next * problem.noise.draw(), clean)

mine = Sampler("mine", forgetful, steps=7)
number = 5

def three(problem, state, sigma):
    return state
"""


def forgetful(problem, state, sigma, sigma_next):
    clean = share_by_power(problem.denoise(state, sigma), problem.mixture)
    return Step(clean + sigma_next * problem.noise.draw(), clean)


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "a_solver_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "a_solver_of_mine"


def test_a_rule_and_a_solver_are_found_by_module_and_name(module):
    example = gaussian_example(2, 200)
    expected = Sampler("x", forgetful).run(example.mixture[None], example.priors, 7, [0])
    assert solver_named(f"{module}:mine").steps == 7
    for name, steps in (("forgetful", 7), ("mine", None)):
        found = solve(example.mixture[None], example.priors, solver=f"{module}:{name}", steps=steps, seeds=[0])
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "expected a solver or a rule at 'a_solver_of_mine:gone', found none"),
        ("number", "a function of \\(problem, state, sigma, sigma_next\\), got 'a_solver_of_mine:number'"),
        ("three", "a function of \\(problem, state, sigma, sigma_next\\), got 'a_solver_of_mine:three'"),
    ],
)
def test_what_is_no_solver_is_refused_in_one_sentence(name, message, module):
    with pytest.raises(ValueError, match=message):
        solver_named(f"{module}:{name}")


def test_a_module_that_is_not_there_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="expected a solver or a rule at 'no_such_module:rule', found none"):
        solver_named("no_such_module:rule")


def test_a_module_in_the_working_directory_is_found(tmp_path, monkeypatch):
    (tmp_path / "in_the_working_directory.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    assert solver_named("in_the_working_directory:mine").steps == 7


def test_promises_kept_and_broken_are_told():
    kept = check_solver(forgetful)
    assert kept.adds_up and kept.seed_decides
    assert str(kept) == "sources add up to the mixture: True\na seed decides everything: True"
    assert not check_solver(lambda problem, state, sigma, sigma_next: Step(state, state)).adds_up
    careless = check_solver(lambda problem, state, sigma, sigma_next: Step(torch.randn_like(state), state))
    assert not careless.seed_decides
    assert check_solver("dirac-wiener").adds_up and check_solver(SOLVERS["projection"]).seed_decides
    with pytest.raises(ValueError, match="expected finite sources"):
        check_solver(lambda problem, state, sigma, sigma_next: Step(state[..., :5], state))


def test_a_start_of_the_other_convention_is_refused():
    with pytest.raises(ValueError, match="expected a variance-preserving start for the variance-preserving rule"):
        Sampler("x", Guided(hybrid_guidance), start=noisy_mixture)
    with pytest.raises(ValueError, match="expected a variance-exploding start for the variance-exploding rule of 'x'"):
        Sampler("x", Projection(), start=gaussian_noise)


def test_a_function_marked_as_variance_preserving_runs_on_the_papers_levels():
    @variance_preserving
    def halving(problem, state, sigma, sigma_next):
        """Halve the state."""
        return Step(state / 2, state)

    assert halving.__doc__ == "Halve the state." and halving.__wrapped__.__name__ == "halving"
    with pytest.raises(ValueError, match="variance-preserving start"):
        Sampler("x", halving)
    promises = check_solver(halving)
    assert promises.seed_decides and not promises.adds_up
