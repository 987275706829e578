"""Priors: what one kind of source sounds like, as a denoiser E[x_0 | x_0 + σ n]."""

from __future__ import annotations

from typing import Protocol, cast

import torch


class Prior(Protocol):
    """A denoiser for one kind of source.

    sigma_min, sigma_max: the noise levels it answers for; grid: the levels it was trained on, if few.
    """

    sigma_min: float
    sigma_max: float

    @property
    def grid(self) -> torch.Tensor | None:
        """The noise levels it was trained on, if few."""

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x_0 | x_0 + σ n = noisy] for `noisy` [batch, time]; raises ValueError for σ out of range."""


def check_sigma(prior: Prior, sigma: float) -> None:
    """Raise ValueError unless σ lies in the prior's range (to float32 rounding)."""
    tolerance = 1e-5 * prior.sigma_max
    if not prior.sigma_min - tolerance <= sigma <= prior.sigma_max + tolerance:
        raise ValueError(f"expected a noise level from {prior.sigma_min:g} to {prior.sigma_max:g}, got σ = {sigma:g}")


class GaussianPrior:
    """A stationary Gaussian source: its exact denoiser, a Wiener filter on the whole clip's DFT.

    power [time//2 + 1]: variance of each bin of the orthonormal real DFT. `D(x, σ) = F⁻¹ P/(P + σ²) F x`.
    """

    grid: torch.Tensor | None = None
    sigma_min, sigma_max = 0.0, float("inf")

    def __init__(self, power: torch.Tensor):
        self.power = power

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """Posterior mean for `noisy` [batch, time]; raises ValueError for another length than the prior's."""
        spectrum = torch.fft.rfft(noisy, norm="ortho")
        if spectrum.shape[-1] != len(self.power):
            raise ValueError(f"expected a clip of {len(self.power)} DFT bins, got {spectrum.shape[-1]}")
        gain = self.power / (self.power + sigma**2)
        return cast(torch.Tensor, torch.fft.irfft(gain * spectrum, n=noisy.shape[-1], norm="ortho"))
