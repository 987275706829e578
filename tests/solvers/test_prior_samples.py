import pytest
import torch

from unsep_lib.priors.base import GaussianPrior
from unsep_lib.solvers.projection import sample

LENGTH = 64


def test_samples_of_a_gaussian_prior_have_its_spectrum_and_their_seed():
    prior = GaussianPrior(torch.linspace(1.0, 0.1, LENGTH // 2 + 1))
    draws = torch.stack([sample(prior, LENGTH / 16_000, 60, seed)[-1] for seed in range(300)])
    power = torch.fft.rfft(draws, norm="ortho").abs().square().mean(dim=0)
    torch.testing.assert_close(power[2:-2], prior.power[2:-2], rtol=0.5, atol=0.05)
    assert (power / prior.power)[2:-2].mean().item() == pytest.approx(1, abs=0.2)
    torch.testing.assert_close(sample(prior, LENGTH / 16_000, 60, 3)[-1], draws[3])


def test_every_steps_estimate_is_kept_and_nothing_less_than_a_step_is_made():
    prior = GaussianPrior(torch.ones(LENGTH // 2 + 1))
    assert sample(prior, LENGTH / 16_000, 5, 0).shape == (5, LENGTH)
    with pytest.raises(ValueError, match=r"at least 1 sample and 1 step, got 0\.0 s and 5"):
        sample(prior, 0.0, 5, 0)
