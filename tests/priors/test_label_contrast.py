from dataclasses import replace

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


def restarts(contrast):
    """dirac-restart, with label contrast in all restarts but the last or in none."""
    plain = SOLVERS["dirac-restart"]
    return replace(plain, early=replace(plain.early, label_contrast=contrast))


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
    cello, flute, voice = sound.with_condition(label="Cello"), sound.with_condition(label="Flute"), load_prior("speech")
    first, second, third = contrasted([cello, flute, voice])
    assert first.prior is cello and first.others == (flute,)
    assert second.prior is flute and second.others == (cello,)
    assert third is voice
    assert contrasted([cello, voice]) == [cello, voice]
    twins = [sound.with_condition(label="Cello"), sound.with_condition(label="Cello")]
    assert contrasted(twins) == twins


@pytest.mark.parametrize(("labels", "same"), [(("Cello", "Cello"), True), (("Cello", "Flute"), False)])
def test_the_solver_is_the_one_without_contrast_where_no_labels_compete(labels, same, sound):
    priors, mixture = [sound.with_condition(label=label) for label in labels], noisy(1, time=4000)
    plain, contrasting = (restarts(contrast).run(mixture, priors, 20, [0]) for contrast in (False, True))
    assert torch.equal(plain, contrasting) is same
    torch.testing.assert_close(contrasting.sum(dim=1), mixture, atol=1e-5, rtol=1e-5)


def test_the_last_restart_believes_the_plain_prior(sound):
    priors = [sound.with_condition(label="Cello"), sound.with_condition(label="Flute")]
    plain, contrasting = (restarts(contrast).run(noisy(2), priors, 10, [0]) for contrast in (False, True))
    assert torch.equal(plain, contrasting)
