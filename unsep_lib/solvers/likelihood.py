"""How badly estimated sources explain a mixture: the paper's reconstruction loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch

CHUNKS = 512  # pieces the residual is cut into (arXiv 2512.07226, as released)
SPECTRAL_N_FFT, SPECTRAL_HOP = 512, 256  # samples, Hann window


@dataclass(frozen=True)
class ReconstructionLoss:
    """`ℓ = w₁‖r‖₂ + w₂ Σ_s ‖r_s‖₂ + w₃ ‖|STFT(Σx̂)| − |STFT(y)|‖_F`, r = y − Σx̂ cut into 512 pieces r_s.

    The weights are the paper's (arXiv 2512.07226, as released); 0 switches a term off.
    """

    waveform: float = 1.0
    chunks: float = 0.05
    spectral: float = 0.1

    def __call__(self, total: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        """Loss [batch] of the sources' sum `total` [batch, time] against `mixture` [batch, time]."""
        residual = mixture - total
        loss: torch.Tensor = self.waveform * torch.linalg.vector_norm(residual, dim=-1)
        if self.chunks:
            pieces = [torch.linalg.vector_norm(piece, dim=-1) for piece in residual.chunk(CHUNKS, dim=-1)]
            loss = loss + self.chunks * torch.stack(pieces).sum(dim=0)
        if self.spectral:
            difference = _magnitude(total) - _magnitude(mixture)
            loss = loss + self.spectral * torch.linalg.matrix_norm(difference)
        return loss


def _magnitude(samples: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(SPECTRAL_N_FFT, device=samples.device, dtype=samples.dtype)
    padded = torch.nn.functional.pad(samples, (0, max(0, SPECTRAL_N_FFT - samples.shape[-1])))
    return torch.stft(padded, SPECTRAL_N_FFT, SPECTRAL_HOP, window=window, return_complex=True).abs()
