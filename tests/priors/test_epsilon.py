import math

import pytest
import torch
from torch import nn

from unsep_lib.priors.epsilon import SOUND_LABELS, EpsilonPrior, labels_of_classes

BETAS = [1e-4 + (0.02 - 1e-4) * t / 199 for t in range(200)]
LEVELS = (0.3, 0.05)  # standard deviations of the toy's two classes


def power_at(t):
    """ᾱ_t = Π (1 − β)."""
    return math.prod(1 - beta for beta in BETAS[: t + 1])


def sigma_at(t):
    return math.sqrt((1 - power_at(t)) / power_at(t))


class GaussianNoise(nn.Module):
    """E[ε | x_t] of white Gaussian sources: `√(1−ᾱ)/(ᾱ s² + 1 − ᾱ) · x_t`, s by label."""

    def forward(self, samples, time, label):
        rows = []
        for row, now, index in zip(samples, time.tolist(), label.tolist(), strict=True):
            power = power_at(now // 5)
            rows.append(math.sqrt(1 - power) / (power * LEVELS[index] ** 2 + 1 - power) * row)
        return torch.stack(rows)


@pytest.fixture
def prior():
    return EpsilonPrior(GaussianNoise(), ["loud", "soft"], unlabelled=1)


@pytest.mark.parametrize("t", [0, 1, 63, 149, 199])
@pytest.mark.parametrize(("label", "level"), [("loud", 0.3), ("soft", 0.05), (None, 0.05)])
def test_denoises_a_gaussian_source_to_its_wiener_estimate(prior, t, label, level):
    noisy = torch.randn(2, 50, dtype=torch.float64)
    clean = prior.with_condition(label=label).denoise(noisy, sigma_at(t))
    torch.testing.assert_close(clean, level**2 / (level**2 + sigma_at(t) ** 2) * noisy, rtol=1e-9, atol=0)


def test_time_is_the_integer_part_of_five_t(prior):
    seen = []

    class Noting(nn.Module):
        def forward(self, samples, time, label):
            seen.append((time.dtype, time.tolist(), label.tolist()))
            return torch.zeros_like(samples)

    noting = EpsilonPrior(Noting(), ["a", "b", "c"], unlabelled=3)
    noting.denoise(torch.zeros(2, 9), sigma_at(199))
    noting.with_condition(label="c").denoise(torch.zeros(1, 9), sigma_at(0))
    assert seen == [(torch.int64, [995, 995], [3, 3]), (torch.int64, [0], [2])]


def test_gradients_reach_the_noisy_signal(prior):
    noisy = torch.randn(1, 20, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(prior.with_condition(label="loud").denoise(noisy, sigma_at(100)).sum(), noisy)
    torch.testing.assert_close(gradient, torch.full_like(noisy, 0.09 / (0.09 + sigma_at(100) ** 2)))


def test_large_values_are_not_clamped(prior):
    assert prior.with_condition(label="loud").denoise(torch.full((1, 4), 9.0), sigma_at(0)).min() > 8


def test_the_grid_is_the_papers_two_hundred_levels(prior):
    expected = torch.tensor([sigma_at(t) for t in reversed(range(200))], dtype=torch.float64)
    torch.testing.assert_close(prior.grid, expected)
    assert (prior.sigma_min, prior.sigma_max) == (prior.grid[-1].item(), prior.grid[0].item())
    assert prior.sigma_min == pytest.approx(0.010, abs=1e-4) and prior.sigma_max == pytest.approx(2.56, abs=0.01)


def test_a_level_nearby_counts_as_the_trained_one(prior):
    noisy = torch.randn(1, 20, dtype=torch.float64)
    assert torch.equal(prior.denoise(noisy, sigma_at(70) * 1.0009), prior.denoise(noisy, sigma_at(70)))


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), 0.005, 3.0, (sigma_at(70) + sigma_at(71)) / 2])
def test_other_levels_are_refused(prior, sigma):
    with pytest.raises(ValueError, match=r"expected one of the paper's 200 noise levels, .*got σ = "):
        prior.denoise(torch.zeros(1, 9), sigma)


def test_unknown_labels_are_refused_and_known_ones_share_the_network(prior):
    assert prior.with_condition(label="loud").network is prior.network
    with pytest.raises(ValueError, match="unknown label 'Gong': this prior's labels are loud, soft"):
        prior.with_condition(label="Gong")


def test_released_priors_have_their_labels():
    assert labels_of_classes(1) == ()
    assert labels_of_classes(50) == SOUND_LABELS
    assert labels_of_classes(3) == ("0", "1", "2")
    assert len(set(SOUND_LABELS)) == 41
    assert [SOUND_LABELS.index(name) for name in ("Hi-hat", "Cello", "Cough", "Glockenspiel")] == [0, 3, 22, 40]
