"""Moving estimated sources so that they add up to the mixture.

A consistency is a function (clean [batch, source, time], mixture [batch, time]) → clean.
"""

from __future__ import annotations

import torch

from unsep_lib.priors import inverse_stft, stft

WIENER_FLOOR = 1e-8  # power that keeps the shares equal where no source has any


def keep(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Leave the estimates as they are."""
    return clean


def share_equally(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Project onto the mixture: `x̂_k + r/K`, r = y − Σx̂ (DDNM with A = [I … I], arXiv 2212.00490)."""
    residual = mixture - clean.sum(dim=1)
    return clean + residual[:, None] / clean.shape[1]


def share_by_power(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Project onto the mixture, each time-frequency bin of the residual shared like a Wiener filter.

    `X̂_k + w_k R`, `w_k = |X̂_k|²/Σ_j |X̂_j|²`: the sources add up to the mixture for any weights of sum 1.
    """
    residual = mixture - clean.sum(dim=1)
    power = stft(clean.flatten(0, 1)).abs().square().unflatten(0, clean.shape[:2]) + WIENER_FLOOR
    shares = power / power.sum(dim=1, keepdim=True) * stft(residual)[:, None]
    return clean + inverse_stft(shares.flatten(0, 1), clean.shape[-1]).unflatten(0, clean.shape[:2])
