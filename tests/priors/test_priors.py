import pytest
import torch

from unsep_lib.networks.unet import CompactConfig, CompactNetwork
from unsep_lib.priors.base import GaussianPrior
from unsep_lib.priors.edm import EdmPrior
from unsep_lib.stft import inverse_stft, stft


def untrained(labels=(), scale=0.05):
    torch.manual_seed(0)
    network = CompactNetwork(CompactConfig(labels=len(labels)))
    spectrum = scale * torch.linspace(2.0, 0.1, 256)
    return EdmPrior(network, spectrum, labels).eval().requires_grad_(False)


def test_gaussian_denoiser_is_the_posterior_mean_of_sampled_pairs():
    torch.manual_seed(0)
    power, sigma, length, count = torch.tensor([4.0, 1.0, 0.25, 0.01, 0.5]), 0.7, 8, 40_000
    white = torch.fft.rfft(torch.randn(count, length, dtype=torch.float64), norm="ortho")
    clean = torch.fft.irfft(white * power.sqrt(), n=length, norm="ortho")
    noisy = clean + sigma * torch.randn_like(clean)
    regression = torch.linalg.lstsq(noisy, clean).solution
    denoised = GaussianPrior(power.double()).denoise(torch.eye(length, dtype=torch.float64), sigma)
    torch.testing.assert_close(denoised, regression, rtol=0, atol=0.02)


def test_gaussian_denoiser_gives_the_score_of_its_noisy_density():
    power, sigma = torch.tensor([4.0, 1.0, 0.25, 0.01, 0.5]).double(), 0.7
    eye = torch.eye(8, dtype=torch.float64)
    covariance = torch.fft.irfft(torch.fft.rfft(eye, norm="ortho") * power[:, None].T, n=8, norm="ortho")
    density = torch.distributions.MultivariateNormal(torch.zeros(8).double(), covariance + sigma**2 * eye)
    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(density.log_prob(x), x)
    tweedie = (GaussianPrior(power).denoise(x.detach()[None], sigma)[0] - x.detach()) / sigma**2
    torch.testing.assert_close(tweedie, score)


def test_stft_is_inverted_and_keeps_the_variance_of_white_noise():
    torch.manual_seed(0)
    noise = 0.3 * torch.randn(2, 64_000)
    spectrum = stft(noise)
    torch.testing.assert_close(inverse_stft(spectrum, 64_000), noise, atol=1e-5, rtol=0)
    assert spectrum[:, 1:-1, 2:-2].abs().square().mean().item() == pytest.approx(0.09, rel=0.02)


def test_untrained_prior_is_the_wiener_denoiser_of_the_average_spectrum():
    prior, sigma = untrained(), 0.1
    noisy = 0.1 * torch.randn(2, 5000)
    gain = prior.spectrum[:, None] ** 2 / (prior.spectrum[:, None] ** 2 + sigma**2)
    torch.testing.assert_close(prior.denoise(noisy, sigma), inverse_stft(gain * stft(noisy), 5000))


@pytest.mark.parametrize("length", [1, 2, 255, 1000, 16_001])
def test_any_length_comes_back_at_that_length(length):
    assert untrained().denoise(torch.randn(1, length), 0.5).shape == (1, length)


def test_denoising_a_batch_equals_one_at_a_time():
    prior = untrained(["a", "b"]).with_condition(label="b")
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    noisy = 0.1 * torch.randn(3, 4000)
    alone = torch.cat([prior.denoise(row[None], 0.2) for row in noisy])
    torch.testing.assert_close(prior.denoise(noisy, 0.2), alone, atol=1e-5, rtol=1e-4)


def test_labels_change_the_answer_once_trained_and_unknown_ones_are_refused():
    prior = untrained(["a", "b"])
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    noisy = 0.1 * torch.randn(1, 4000)
    answers = [prior.with_condition(label=label).denoise(noisy, 0.2) for label in ("a", "b", None)]
    assert all((answers[0] - other).abs().max() > 1e-4 for other in answers[1:])
    with pytest.raises(ValueError, match="unknown label 'c': this prior's labels are a, b"):
        prior.with_condition(label="c")


@pytest.mark.parametrize("sigma", [0.001, 10.0])
def test_noise_levels_out_of_range_are_refused(sigma):
    with pytest.raises(ValueError, match=r"noise level from 0\.005 to 3"):
        untrained().denoise(torch.zeros(1, 1000), sigma)


def test_equal_identities_are_one_network_under_one_condition():
    prior = untrained(["a", "b"])
    first, again, other, any_label = (prior.with_condition(label=label) for label in ("a", "a", "b", None))
    assert first.identity == again.identity != other.identity != any_label.identity
    assert len({each.identity.network for each in (first, other, any_label)}) == 1
    stranger = untrained(["a", "b"]).with_condition(label="a")
    assert stranger.identity.network != first.identity.network
    gaussian = GaussianPrior(torch.ones(5))
    assert gaussian.identity == gaussian.with_condition().identity != GaussianPrior(torch.ones(5)).identity


@pytest.mark.parametrize("prior", [untrained(["a"]), GaussianPrior(torch.ones(5))])
def test_conditions_that_a_prior_does_not_know_are_refused(prior):
    with pytest.raises(ValueError, match=r"unknown label 'c': this prior's labels are (a|none)"):
        prior.with_condition(label="c")
    with pytest.raises(ValueError, match="takes no examples"):
        prior.with_condition(example=torch.ones(1000))
