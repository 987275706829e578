"""What a learner's function must do, one judge per exercise: called on cases and compared with the library."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unsep_lib.audio import rms_dbfs
from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.priors.base import GaussianPrior


def _tones() -> tuple[torch.Tensor, torch.Tensor]:
    """Two signals [2, time] without a mean, and noisy versions of them."""
    generator = torch.Generator().manual_seed(5)
    reference = torch.randn(2, 4000, generator=generator)
    reference = reference - reference.mean(dim=-1, keepdim=True)
    noise = torch.randn(2, 4000, generator=generator)
    estimate = 0.3 * reference + torch.tensor([[0.1], [0.7]]) * (noise - noise.mean(dim=-1, keepdim=True))
    return estimate, reference


def same_as_si_sdr(function: Callable[..., object]) -> bool:
    """`function(estimate, reference)` of [time] is the library's `si_sdr`, to 0.01 dB."""
    estimates, references = _tones()
    pairs = list(zip(estimates, references, strict=True))
    mine = [float(torch.as_tensor(function(estimate, reference))) for estimate, reference in pairs]
    ours = [si_sdr(estimate, reference).item() for estimate, reference in pairs]
    return max(abs(a - b) for a, b in zip(mine, ours, strict=True)) < 0.01


def mixes(function: Callable[..., tuple[torch.Tensor, torch.Tensor]]) -> bool:
    """`function(tracks, levels)` → (mixture, references): relative levels, sum and a peak of 0.95."""
    tracks, _ = _tones()
    levels = [-21.0, -24.5]
    mixture, references = function(tracks, levels)
    heard = [rms_dbfs(reference) for reference in references]
    return (
        torch.allclose(references.sum(dim=0), mixture, atol=1e-5)
        and abs(mixture.abs().max().item() - 0.95) < 1e-4
        and abs((heard[0] - heard[1]) - (levels[0] - levels[1])) < 0.01
        and abs(torch.corrcoef(torch.stack([references[1], tracks[1]]))[0, 1].item() - 1) < 1e-4
    )


def gaussian_mean(function: Callable[..., object]) -> bool:
    """`function(noisy [time], power [bin], sigma)` is `GaussianPrior.denoise`, at an odd and an even length."""
    generator = torch.Generator().manual_seed(2)
    for length in (64, 65):
        power = torch.rand(length // 2 + 1, generator=generator)
        noisy = torch.randn(length, generator=generator)
        mine = torch.as_tensor(function(noisy, power, 0.4))
        if not torch.allclose(mine, GaussianPrior(power).denoise(noisy[None], 0.4)[0], atol=1e-5):
            return False
    return True


def classifier_free_guidance(function: Callable[..., object]) -> bool:
    """`function(denoise, noisy, sigma, label, g)` is none + g (labelled − none); the denoisers are known lines."""

    def denoise(noisy: torch.Tensor, sigma: float, label: str | None) -> torch.Tensor:
        return noisy / (1 + sigma) if label is None else noisy / (2 + sigma) + len(label)

    noisy = torch.linspace(-1, 1, 9)
    for g in (0.0, 1.0, 2.5):
        none, told = denoise(noisy, 0.5, None), denoise(noisy, 0.5, "Cello")
        if not torch.allclose(torch.as_tensor(function(denoise, noisy, 0.5, "Cello", g)), none + g * (told - none)):
            return False
    return True


def crossfades(function: Callable[..., object]) -> bool:
    """`function(before, after)` fades one stretch [time] into the other by weights that add up to one."""
    ramp, ones = torch.linspace(0, 1, 1000), torch.ones(1000)
    mixed = torch.as_tensor(function(ones, 0 * ones))
    back = torch.as_tensor(function(0 * ones, ones))
    same = torch.as_tensor(function(ramp, ramp))
    return (
        torch.allclose(same, ramp, atol=1e-5)
        and torch.allclose(mixed + back, ones, atol=1e-5)
        and bool((mixed.diff() <= 1e-6).all())
        and mixed[0].item() > 0.99
        and mixed[-1].item() < 0.01
    )
