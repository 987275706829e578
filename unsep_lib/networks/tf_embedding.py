"""What the TF attention U-Net is conditioned on: diffusion time and class label (arXiv 2512.07226)."""

from __future__ import annotations

import torch
from torch import nn

TIME_FEATURES = 256  # sinusoids of the time embedding, half of them cosines
TIME_PERIOD = 10_000.0  # ratio of the fastest to the slowest sinusoid (arXiv 1706.03762)


def time_features(time: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """128 cosines, then 128 sines of `time · 10000^(−i/128)`; time [batch] (0 … 999) → [batch, 256].

    Computed in float64: float32 angles of a thousand radians are off by 6e-5.
    """
    half = TIME_FEATURES // 2
    exponent = torch.arange(half, dtype=torch.float64) / half
    angles = time.cpu().double()[:, None] * TIME_PERIOD**-exponent
    return torch.cat([angles.cos(), angles.sin()], dim=1).to(time.device, dtype)


class TimeEmbedding(nn.Module):
    """256 sinusoids → Linear → SiLU → Linear: time [batch] → [batch, embedding]."""

    def __init__(self, embedding: int):
        super().__init__()
        layers = nn.Linear(TIME_FEATURES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        self.mlp = nn.Sequential(*layers)

    def forward(self, time: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.mlp(time_features(time, next(self.mlp.parameters()).dtype))
        return embedded


class LabelEmbedding(nn.Module):
    """One row a label, and a last one for "no class": label [batch] → [batch, embedding]."""

    def __init__(self, labels: int, embedding: int):
        super().__init__()
        self.embedding_table = nn.Embedding(labels + 1, embedding)

    def forward(self, label: torch.Tensor) -> torch.Tensor:
        row: torch.Tensor = self.embedding_table(label)
        return row


class Modulation(nn.Sequential):
    """Vectors [batch, part, channel] from the conditioning [batch, embedding]: Linear(SiLU(c)); zero at first."""

    def __init__(self, embedding: int, width: int, parts: int):
        linear = nn.Linear(embedding, parts * width)
        super().__init__(nn.SiLU(), linear)
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        self.parts = parts

    def forward(self, conditioning: torch.Tensor) -> torch.Tensor:
        for layer in self:
            conditioning = layer(conditioning)
        vectors: torch.Tensor = conditioning.unflatten(1, (self.parts, -1))
        return vectors
