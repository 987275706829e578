"""Moving estimated sources so that they add up to the mixture.

A consistency is a function (clean [batch, source, time], mixture [batch, time]) → clean; one that depends on the
noise level of the estimates takes σ as well.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from unsep_lib.stft import inverse_stft, stft

WIENER_FLOOR = 1e-8  # power that keeps the shares equal where no source has any
SOFTNESS = 7.0  # λ, which DiffPIR tunes to the task (arXiv 2305.08995); deepinv's default
FILTER_N_FFT = 2048  # samples; 1024 scores 0.7 ± 0.3 dB less, 4096 0.1 ± 0.2 more (10 mixtures)
FILTER_HOP = FILTER_N_FFT // 4  # samples
MIXTURE_NOISE = 0.001  # σ_y: −60 dBFS, well below recordings' own noise; our choice

Consistency = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def keep(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Leave the estimates as they are."""
    return clean


def share_equally(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Project onto the mixture: `x̂_k + r/K`, r = y − Σx̂ (DDNM with A = [I … I], arXiv 2212.00490)."""
    residual = mixture - clean.sum(dim=1)
    return clean + residual[:, None] / clean.shape[1]


def share_softly(clean: torch.Tensor, mixture: torch.Tensor, sigma: float) -> torch.Tensor:
    """Move towards a mixture of noise σ_y: `x̂_k + r/(K + λσ_y²/σ²)`, r = y − Σx̂ (DiffPIR, arXiv 2305.08995).

    The minimum over x of `‖y − Σx‖² + (λσ_y²/σ²) Σ‖x_k − x̂_k‖²`. The sources add up to the mixture but for
    `λσ_y²/(Kσ² + λσ_y²)` of the residual, which grows as σ falls; σ_y = 0 is `share_equally`.
    """
    residual = mixture - clean.sum(dim=1)
    return clean + residual[:, None] / (clean.shape[1] + SOFTNESS * (MIXTURE_NOISE / sigma) ** 2)


def share_by_power(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Project onto the mixture, each time-frequency bin of the residual shared like a Wiener filter.

    `X̂_k + w_k R`, `w_k = |X̂_k|²/Σ_j |X̂_j|²`: the sources add up to the mixture for any weights of sum 1.
    """
    return _share_in_bins(clean, mixture, lambda power: power)


def share_by_uncertainty(clean: torch.Tensor, mixture: torch.Tensor, sigma: float) -> torch.Tensor:
    """Project onto the mixture, each time-frequency bin shared by what the noise leaves unknown of each source.

    `X̂_k + v_k/Σ_j v_j R`, `v_k = Ĉ_k σ²/(Ĉ_k + σ²)`, Ĉ_k = |X̂_k|² standing in for the source's variance: Wiener's
    shares for loud noise, equal ones for quiet noise. With the variance itself the estimate would be exact for
    Gaussian sources (`ground_truth.exact_shares`).
    """
    return _share_in_bins(clean, mixture, lambda power: power / (power + sigma**2))


def filter_by_power(clean: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
    """Wiener's filter of the whole mixture with each estimate's own power for its variance.

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


def _share_in_bins(
    clean: torch.Tensor, mixture: torch.Tensor, weigh: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    residual = mixture - clean.sum(dim=1)
    power = stft(clean.flatten(0, 1)).abs().square().unflatten(0, clean.shape[:2]) + WIENER_FLOOR
    weights = weigh(power)
    shares = weights / weights.sum(dim=1, keepdim=True) * stft(residual)[:, None]
    moved: torch.Tensor = inverse_stft(shares.flatten(0, 1), clean.shape[-1]).unflatten(0, clean.shape[:2])
    return clean + moved
