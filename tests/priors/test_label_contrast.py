import pytest
import torch

from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.checkpoints import load_prior
from unsep_lib.priors.label_contrast import ContrastedPrior, contrasted
from unsep_lib.solvers import SOLVERS

LENGTH, SIGMA = 256, 0.3


def gaussian(peak):
    bins = torch.arange(LENGTH // 2 + 1)
    return GaussianPrior(0.05 * torch.exp(-(((bins - peak) / 20) ** 2)) + 1e-3)


@pytest.fixture(scope="module")
def sound():
    return load_prior("sound", precision=torch.float32)


def noisy(seed=0, count=1, time=LENGTH):
    return 0.1 * torch.randn(count, time, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_it_is_the_denoiser_of_the_tilted_density_for_gaussians(weight):
    own, *others = gaussian(20), gaussian(60), gaussian(100)
    precision = (1 + weight) / (own.power + SIGMA**2)
    for other in others:
        precision = precision - weight / len(others) / (other.power + SIGMA**2)
    spectrum = torch.fft.rfft(noisy(), norm="ortho")
    expected = torch.fft.irfft((1 - SIGMA**2 * precision) * spectrum, n=LENGTH, norm="ortho")
    torch.testing.assert_close(ContrastedPrior(own, others, weight).denoise(noisy(), SIGMA), expected)


def test_only_other_labels_of_the_same_network_compete(sound):
    cello, flute, voice = sound.labelled("Cello"), sound.labelled("Flute"), load_prior("speech")
    first, second, third = contrasted([cello, flute, voice])
    assert first.prior is cello and first.others == (flute,)
    assert second.prior is flute and second.others == (cello,)
    assert third is voice
    assert contrasted([cello, voice]) == [cello, voice]
    twins = [sound.labelled("Cello"), sound.labelled("Cello")]
    assert contrasted(twins) == twins


@pytest.mark.parametrize(("labels", "same"), [(("Cello", "Cello"), True), (("Cello", "Flute"), False)])
def test_the_solver_is_dirac_restart_where_no_labels_compete(labels, same, sound):
    priors, mixture = [sound.labelled(label) for label in labels], noisy(1, time=4000)
    plain, leant = (
        SOLVERS[name].run(mixture, priors, 20, [(0,)], None) for name in ("dirac-restart", "dirac-contrast")
    )
    assert torch.equal(plain, leant) is same
    torch.testing.assert_close(leant.sum(dim=1), mixture, atol=1e-5, rtol=1e-5)


def test_the_last_round_believes_the_plain_prior(sound):
    priors = [sound.labelled("Cello"), sound.labelled("Flute")]
    plain, leant = (
        SOLVERS[name].run(noisy(2), priors, 10, [(0,)], None) for name in ("dirac-restart", "dirac-contrast")
    )
    assert torch.equal(plain, leant)
