"""Moving estimated sources so that they add up to the mixture.

A consistency is a function (clean [batch, source, time], mixture [batch, time]) → clean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from unsep_lib.stft import inverse_stft, stft

WIENER_FLOOR = 1e-8  # power that keeps the shares equal where no source has any
FILTER_N_FFT = 2048  # samples; 1024 scores 0.7 ± 0.3 dB less, 4096 0.1 ± 0.2 more (10 mixtures)
FILTER_HOP = FILTER_N_FFT // 4  # samples
ALIKE = 1e-2  # of the Gram matrix's eigenvalues: estimates more alike than that take one gain

Consistency = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def identity(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
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
    moved: torch.Tensor = inverse_stft(shares.flatten(0, 1), clean.shape[-1]).unflatten(0, clean.shape[:2])
    return clean + moved


def wiener_filter(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """The Wiener filter of the whole mixture with each estimate's own power for its variance.

    `X_k = |X̂_k|²/Σ_j |X̂_j|² · Y`, X̂_k of x̂_k + r/K (`share_equally`), so that what no estimate explains stays shared
    equally; Open-Unmix ends with this filter (doi 10.21105/joss.01667). A source that holds a tenth of a bin by mistake
    keeps about a hundredth of it.
    """
    shared = share_equally(clean, mixture).flatten(0, 1)
    power = stft(shared, FILTER_N_FFT, FILTER_HOP).abs().square().unflatten(0, clean.shape[:2]) + WIENER_FLOOR
    filtered = power / power.sum(dim=1, keepdim=True) * stft(mixture, FILTER_N_FFT, FILTER_HOP)[:, None]
    sources = inverse_stft(filtered.flatten(0, 1), mixture.shape[-1], FILTER_N_FFT, FILTER_HOP)
    found: torch.Tensor = sources.unflatten(0, clean.shape[:2])
    return found


def fit_levels(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """The estimates [batch, source, time], each times the gain with which their sum comes nearest to the mixture.

    `min_g ‖y − Σ g_k x̂_k‖²` over estimates of unit norm, by the pseudo-inverse. Separators that SI-SDR trained return
    sources at any level.
    """
    norm = clean.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(clean.dtype).tiny)
    unit = (clean / norm).double()
    alike, wanted = unit @ unit.mT, unit @ mixture.double()[..., None]
    gains = torch.linalg.pinv(alike, rtol=ALIKE, hermitian=True) @ wanted
    levelled: torch.Tensor = (gains * unit).to(clean)
    return levelled
