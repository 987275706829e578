import pytest
import torch

from unsep_lib.solvers.mixture_consistency import (
    fit_levels,
    share_by_power,
    share_equally,
    wiener_filter,
)

LENGTH = 3000


@pytest.mark.parametrize("length", [1, 700])
def test_shares_of_any_kind_add_up_to_the_mixture(length):
    clean = 0.1 * torch.randn(2, 3, length, generator=torch.Generator().manual_seed(2))
    mixture = 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(3))
    by_power = wiener_filter(clean, mixture), share_by_power(clean, mixture)
    for moved in (share_equally(clean, mixture), *by_power):
        torch.testing.assert_close(moved.sum(dim=1), mixture, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("leak", "kept"), [(0.1, 0.01 / 0.82), (0.3, 0.09 / 0.58), (0.5, 0.5), (0.0, 0.0)])
def test_the_filter_keeps_of_a_leak_the_square_in_proportion(leak, kept):
    time = torch.arange(16_000).double() / 16_000
    low, high = torch.sin(6.2832 * 500 * time), torch.sin(6.2832 * 3000 * time)
    blurred = torch.stack([(1 - leak) * low + leak * high, leak * low + (1 - leak) * high])
    first = wiener_filter(blurred[None], (low + high)[None])[0, 0, 2000:-2000]
    mine, other = ((first * tone[2000:-2000]).mean() / tone.square().mean() for tone in (low, high))
    assert other.item() == pytest.approx(kept, abs=2e-3)
    assert mine.item() == pytest.approx(1 - kept, abs=2e-3)


@pytest.mark.parametrize("explained", [0.0, 1e-7])
def test_the_filter_leaves_what_no_estimate_explains_shared_equally(explained):
    mixture = 0.1 * torch.randn(2, 3000, generator=torch.Generator().manual_seed(4))
    clean = explained * torch.randn(2, 3, 3000, generator=torch.Generator().manual_seed(5))
    shares = wiener_filter(clean, mixture)
    torch.testing.assert_close(shares, (mixture / 3)[:, None].expand(-1, 3, -1), atol=1e-5, rtol=0)


def test_one_source_is_the_whole_mixture_and_silence_stays_silent():
    mixture = torch.stack([torch.randn(500, generator=torch.Generator().manual_seed(6)), torch.zeros(500)])
    torch.testing.assert_close(wiener_filter(torch.zeros(2, 1, 500), mixture)[:, 0], mixture, atol=1e-6, rtol=0)


def test_estimates_of_any_level_return_to_that_of_the_mixture():
    sources = torch.randn(2, 3, 4000, generator=torch.Generator().manual_seed(6))
    gains = torch.tensor([[3.0, -0.1, 1.0], [1e-3, 40.0, 7.0]])
    torch.testing.assert_close(fit_levels(sources * gains[..., None], sources.sum(dim=1)), sources, atol=1e-5, rtol=0)


def test_estimates_that_are_alike_keep_equal_levels():
    mixture = torch.randn(1, 4000, generator=torch.Generator().manual_seed(7))
    same = mixture[:, None] * torch.tensor([0.2, 0.2])[None, :, None]
    nearly = same + 1e-4 * torch.randn(1, 2, 4000, generator=torch.Generator().manual_seed(8))
    for clean in (same, nearly):
        torch.testing.assert_close(
            fit_levels(clean, mixture), mixture[:, None].expand(-1, 2, -1) / 2, atol=1e-2, rtol=0
        )
    silent = torch.cat([mixture[:, None], torch.zeros(1, 1, 4000)], dim=1)
    torch.testing.assert_close(fit_levels(5 * silent, mixture), silent, atol=1e-5, rtol=0)
