import numpy
import pytest
import torch
from scipy.integrate import solve_ivp

from unsep_lib.evaluation.gaussian import gaussian_example
from unsep_lib.solvers import Sampler, solve
from unsep_lib.solvers.dirac import Dirac, completed, moved
from unsep_lib.solvers.mixture_consistency import share_equally


@pytest.mark.parametrize("count", [3, 5])
def test_a_step_of_three_or_more_sources_solves_the_equation_of_constant_denoisers(count):
    draws = torch.randn(2 * count + 1, 1, generator=torch.Generator().manual_seed(count)).double()
    clean, begin, mixture = draws[:count], draws[count:-1].clone(), draws[-1]
    begin[-1] = mixture - begin[:-1].sum(dim=0)

    def slope(sigma, followers):
        last = mixture.item() - followers.sum()
        return ((followers - clean[:-1, 0].numpy()) - (last - clean[-1].item())) / sigma

    found = solve_ivp(slope, (1.0, 0.3), begin[:-1, 0].numpy(), rtol=1e-10, atol=1e-12).y[:, -1]
    last = torch.eye(count).bool()[None, -1:].mT
    reached = completed(moved(begin[None], clean[None], 0.3, last), mixture[None], last)
    numpy.testing.assert_allclose(reached[0, :-1, 0].numpy(), found, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("count", [4, 6])
def test_many_sources_do_not_diverge(count):
    example = gaussian_example(count, 400)
    found = solve(example.mixture[None], example.priors, solver="dirac-restart", steps=40, seeds=[0])[0]
    assert found.square().sum() < 4 * example.mixture.square().sum()


@pytest.mark.parametrize("count", [2, 3])
def test_leading_to_equal_shares_is_what_leaving_one_over_does(count):
    example = gaussian_example(count, 400)
    plain, led = (
        Sampler("", rule).run(example.mixture[None], example.priors, 8, [0])
        for rule in (Dirac(-1), Dirac(-1, share_equally))
    )
    torch.testing.assert_close(plain, led, atol=1e-5, rtol=0)


def test_completing_a_state_twice_changes_no_bit():
    generator = torch.Generator().manual_seed(0)
    state, mixture = torch.randn(2, 3, 100, generator=generator), torch.randn(2, 100, generator=generator)
    place = torch.tensor([[True, False, False], [False, False, True]])[..., None]
    once = completed(state, mixture, place)
    assert torch.equal(completed(once, mixture, place), once)
    torch.testing.assert_close(once.sum(dim=1), mixture)
    assert torch.equal(once[0, 1:], state[0, 1:]) and torch.equal(once[1, :2], state[1, :2])
