import pytest
import torch

from unsep_lib.evaluation.gaussian import exact_shares
from unsep_lib.solvers import mixture_consistency as consistency
from unsep_lib.solvers.mixture_consistency import (
    filter_by_power,
    share_by_power,
    share_by_uncertainty,
    share_equally,
    share_softly,
)
from unsep_lib.stft import stft

LENGTH = 3000


@pytest.fixture
def estimates():
    """Two sources of different colour and a third of none, [1, 3, time], and a mixture that they do not explain."""
    white = torch.randn(4, LENGTH, generator=torch.Generator().manual_seed(0)).double()
    low, high = white[0].cumsum(dim=0) * 0.002, white[1].diff(prepend=white[1][:1]) * 0.05
    return torch.stack([low, high, 0.01 * white[2]])[None], 0.1 * white[3:]


@pytest.mark.parametrize("sources", [1, 2, 5])
@pytest.mark.parametrize("sigma", [0.005, 0.7])
def test_the_soft_share_minimises_diffpirs_objective(sources, sigma, monkeypatch):
    monkeypatch.setattr(consistency, "MIXTURE_NOISE", 0.01)
    clean = torch.randn(1, sources, 8, generator=torch.Generator().manual_seed(1)).double()
    mixture = torch.ones(1, 8).double()
    found = share_softly(clean, mixture, sigma).requires_grad_(True)
    weight = 7 * 0.01**2 / sigma**2
    objective = (mixture - found.sum(dim=1)).square().sum() + weight * (found - clean).square().sum()
    (slope,) = torch.autograd.grad(objective, found)
    assert (mixture - clean.sum(dim=1)).abs().max() > 0.1
    assert slope.abs().max() < 1e-12


def test_the_soft_share_is_the_projection_for_a_mixture_without_noise(estimates, monkeypatch):
    clean, mixture = estimates
    assert not torch.allclose(share_softly(clean, mixture, 0.005), share_equally(clean, mixture), atol=1e-5)
    monkeypatch.setattr(consistency, "MIXTURE_NOISE", 0.0)
    torch.testing.assert_close(share_softly(clean, mixture, 0.005), share_equally(clean, mixture))


def test_the_share_by_uncertainty_is_wieners_for_loud_and_equal_for_quiet_noise(estimates):
    clean, mixture = estimates
    equal, wiener = share_equally(clean, mixture), share_by_power(clean, mixture)
    assert (equal - wiener).abs().max() > 0.01
    torch.testing.assert_close(share_by_uncertainty(clean, mixture, 1e4), wiener, atol=1e-6, rtol=0)
    torch.testing.assert_close(share_by_uncertainty(clean, mixture, 1e-8), equal, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [0.01, 0.1])
def test_the_share_by_uncertainty_is_the_exact_one_of_sources_whose_power_is_the_estimates(estimates, sigma):
    """One frame alone, so that the transform's own round trip does not smooth the shares."""
    clean, mixture = (signal[..., :1] for signal in estimates)
    powers = stft(clean[0]).abs().square()[..., 0].T
    moved = stft((share_by_uncertainty(clean, mixture, sigma) - clean)[0])[..., 0].T
    shares = exact_shares(powers, sigma)
    assert shares.std() > 0.01
    residual = stft(mixture - clean.sum(dim=1))[0, :, 0]
    torch.testing.assert_close(moved, shares * residual[:, None], atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("length", [1, 700])
def test_shares_of_any_kind_add_up_to_the_mixture(length):
    clean = 0.1 * torch.randn(2, 3, length, generator=torch.Generator().manual_seed(2))
    mixture = 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(3))
    by_power = filter_by_power(clean, mixture), share_by_power(clean, mixture)
    for moved in (share_equally(clean, mixture), share_by_uncertainty(clean, mixture, 0.05), *by_power):
        torch.testing.assert_close(moved.sum(dim=1), mixture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("leak", "kept"), [(0.1, 0.01 / 0.82), (0.3, 0.09 / 0.58), (0.5, 0.5), (0.0, 0.0)])
def test_the_filter_keeps_of_a_leak_the_square_in_proportion(leak, kept):
    time = torch.arange(16_000).double() / 16_000
    low, high = torch.sin(6.2832 * 500 * time), torch.sin(6.2832 * 3000 * time)
    blurred = torch.stack([(1 - leak) * low + leak * high, leak * low + (1 - leak) * high])
    first = filter_by_power(blurred[None], (low + high)[None])[0, 0, 2000:-2000]
    mine, other = ((first * tone[2000:-2000]).mean() / tone.square().mean() for tone in (low, high))
    assert other.item() == pytest.approx(kept, abs=2e-3)
    assert mine.item() == pytest.approx(1 - kept, abs=2e-3)


@pytest.mark.parametrize("explained", [0.0, 1e-7])
def test_the_filter_leaves_what_no_estimate_explains_shared_equally(explained):
    mixture = 0.1 * torch.randn(2, 3000, generator=torch.Generator().manual_seed(4))
    clean = explained * torch.randn(2, 3, 3000, generator=torch.Generator().manual_seed(5))
    shares = filter_by_power(clean, mixture)
    torch.testing.assert_close(shares, (mixture / 3)[:, None].expand(-1, 3, -1), atol=1e-5, rtol=0)


def test_one_source_is_the_whole_mixture_and_silence_stays_silent():
    mixture = torch.stack([torch.randn(500, generator=torch.Generator().manual_seed(6)), torch.zeros(500)])
    torch.testing.assert_close(filter_by_power(torch.zeros(2, 1, 500), mixture)[:, 0], mixture, atol=1e-6, rtol=0)
