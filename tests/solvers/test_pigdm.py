import pytest
import torch

from unsep_lib.solvers.loop import Problem
from unsep_lib.solvers.pigdm import PseudoinverseGuided

LENGTH = 30


class Bending:
    """A prior whose denoiser is neither linear nor the same for every sample of the clip."""

    grid, sigma_min, sigma_max = None, 0.0, 10.0

    def __init__(self, seed):
        self.mixing = torch.randn(LENGTH, LENGTH, generator=torch.Generator().manual_seed(seed)).double() / LENGTH

    def denoise(self, noisy, sigma):
        return torch.tanh(noisy @ self.mixing) + noisy.sin() / (1 + sigma)


@pytest.mark.parametrize("sources", [1, 2, 3])
@pytest.mark.parametrize("sigma", [0.005, 0.1, 2.0])
def test_the_estimate_is_tweedies_with_the_score_of_the_guessed_density(sources, sigma):
    priors = [Bending(seed) for seed in range(sources)]
    generator = torch.Generator().manual_seed(9)
    mixture = torch.randn(2, LENGTH, generator=generator).double()
    state = torch.randn(2, sources, LENGTH, generator=generator).double().requires_grad_(True)
    clean = torch.stack([prior.denoise(state[:, k], sigma) for k, prior in enumerate(priors)], dim=1)
    variance = sources * sigma**2 / (1 + sigma**2)
    guessed = torch.distributions.Normal(clean.sum(dim=1), variance**0.5)
    (score,) = torch.autograd.grad(guessed.log_prob(mixture).sum(), state)
    found = PseudoinverseGuided()(Problem(mixture, priors, None), state.detach(), sigma, 0)
    torch.testing.assert_close(found.clean, (clean + sigma**2 * score).detach())
    torch.testing.assert_close(found.gradient, -variance * score)


def test_nothing_is_clamped_and_a_mixture_explained_moves_nothing():
    priors = [Bending(0), Bending(1)]
    state = torch.randn(1, 2, LENGTH, generator=torch.Generator().manual_seed(3)).double() * 3
    clean = torch.stack([prior.denoise(state[:, k], 0.5) for k, prior in enumerate(priors)], dim=1)
    assert clean.abs().max() > 1
    found = PseudoinverseGuided()(Problem(clean.sum(dim=1), priors, None), state, 0.5, 0)
    torch.testing.assert_close(found.clean, clean)
    assert found.gradient.abs().max() < 1e-12
