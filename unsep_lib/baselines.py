"""What separation is compared with."""

from __future__ import annotations

import torch

from unsep_lib.priors import inverse_stft, stft

MASK_FLOOR = 1e-8


def oracle_ratio_mask(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Sources by the ideal ratio mask `|S_k|/Σ_j |S_j|` on the mixture's STFT 510/255: a bound, it sees the references.

    mixture [time], references [source, time]; returns [source, time].
    """
    magnitude = stft(references).abs() + MASK_FLOOR
    masks = magnitude / magnitude.sum(dim=0, keepdim=True)
    return inverse_stft(masks * stft(mixture[None]), mixture.shape[-1])


def mixture_itself(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """The mixture as the estimate of every source: 0 dB of improvement by definition."""
    return mixture.expand(len(references), -1)
