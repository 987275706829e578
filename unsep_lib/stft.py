"""The short-time Fourier transform of priors, solvers and pictures."""

from __future__ import annotations

import torch

N_FFT = 510  # samples; 256 bins, the transform of the paper's network (arXiv 2512.07226)
HOP = 255  # samples


def stft(samples: torch.Tensor, n_fft: int = N_FFT, hop: int = HOP) -> torch.Tensor:
    """STFT, √Hann, scaled so that white noise of variance σ² has E|X|² = σ²: [batch, bins, frames]."""
    window = torch.hann_window(n_fft, device=samples.device, dtype=samples.dtype).sqrt()
    spectrum = torch.stft(samples, n_fft, hop, window=window, pad_mode="constant", return_complex=True)
    return spectrum / float((n_fft / 2) ** 0.5)


def inverse_stft(spectrum: torch.Tensor, length: int, n_fft: int = N_FFT, hop: int = HOP) -> torch.Tensor:
    """Inverse of `stft`, cut to `length` samples."""
    window = torch.hann_window(n_fft, device=spectrum.device, dtype=spectrum.real.dtype).sqrt()
    return torch.istft(spectrum * (n_fft / 2) ** 0.5, n_fft, hop, window=window, length=length)
