"""What a learner's function must do, one judge per exercise: called on cases and compared with the library."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unsep_lib.evaluation.metrics import si_sdr


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
