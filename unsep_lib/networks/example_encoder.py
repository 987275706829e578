"""A small encoder of an example recording of a source, trained together with the prior that it conditions."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

BANDS = 64  # bands of equal width on the mel scale
LOWEST_HZ = 40.0
POWER_FLOOR = 1e-4  # of the example's mean power, so that silence is no outlier
DEVIATION_FLOOR = 1e-4
WIDTH = 128


class ExampleEncoder(nn.Module):
    """STFT of an example, complex [batch, bins, frames] at any level → vector [batch, size] of length √size.

    Logarithmic mel powers, four convolutions along time, and the attentive mean and standard deviation over time
    (arXiv 1803.10963), so that an example may last any time. Meant to be trained with the prior's own loss: an
    embedding trained apart, to verify speakers, confuses the target for this use (arXiv 2204.01355).
    """

    bands: torch.Tensor

    def __init__(self, size: int, bins: int, sample_rate: int = 16_000):
        super().__init__()
        self.register_buffer("bands", mel_bands(bins, sample_rate), persistent=False)
        self.norm = nn.GroupNorm(1, BANDS)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(BANDS if number == 0 else WIDTH, WIDTH, 5, stride=stride, padding=2)
            for number, stride in enumerate((1, 2, 2, 1))
        )
        self.attention = nn.Conv1d(WIDTH, 1, 1)
        self.output = nn.Linear(2 * WIDTH, size)

    def forward(self, spectrum: torch.Tensor) -> torch.Tensor:
        with torch.autocast(spectrum.device.type, enabled=False):
            power = self.bands @ spectrum.abs().square()
            mean_power = power.mean(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
            levels = (power / mean_power + POWER_FLOOR).log()
        x = self.norm(levels)
        for convolution in self.convolutions:
            change = functional.silu(convolution(x))
            x = x + change if change.shape == x.shape else change
        weight = self.attention(x).softmax(dim=-1)
        mean = (weight * x).sum(dim=-1)
        deviation = ((weight * x.square()).sum(dim=-1) - mean.square()).clamp_min(DEVIATION_FLOOR).sqrt()
        vector = self.output(torch.cat([mean, deviation], dim=1)).float()
        return functional.normalize(vector, dim=1) * math.sqrt(vector.shape[1])


def mel_bands(bins: int, sample_rate: int) -> torch.Tensor:
    """Triangular weights [band, bin] over the bins of an STFT, evenly spaced in mel from 40 Hz to half the rate."""
    highest = sample_rate / 2

    def mel(hertz: torch.Tensor | float) -> torch.Tensor:
        return 2595 * torch.log10(1 + torch.as_tensor(hertz) / 700)

    edges = 700 * (10 ** (torch.linspace(float(mel(LOWEST_HZ)), float(mel(highest)), BANDS + 2) / 2595) - 1)
    hertz = torch.linspace(0.0, highest, bins)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0.0)
