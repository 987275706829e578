"""The compact network: a U-Net on 2×2 patches of the STFT, 0.9 million parameters in its default shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from unsep_lib.networks.layers import AxialAttention, Level, MatrixConv2d, NoiseEmbedding, ResidualBlock

PATCH = 2  # bins × frames folded into channels: three times the steps of full resolution
MAGNITUDE_FLOOR = 1e-5  # keeps the gradient of √|X| finite at X = 0
INPUT_CHANNELS = 4  # real and imaginary part, and both again with √|X| for |X|
OUTPUT_CHANNELS = 2  # real and imaginary part


@dataclass(frozen=True)
class CompactConfig:
    """Shape of a `CompactNetwork`; bins and labels come from the data, the rest is the measured recipe.

    Raises:
        ValueError: not as many blocks as widths, one below 1, or a width with attention that the heads do not divide.
    """

    labels: int = 0
    bins: int = 256
    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    heads: int = 4
    embedding: int = 128

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.blocks) or min((*self.widths, *self.blocks), default=0) < 1:
            raise ValueError(f"expected as many blocks as widths, each 1 or more, got {self.widths} and {self.blocks}")
        if any(width % self.heads for width in self.widths[1:]):
            raise ValueError(f"expected widths after the first that {self.heads} heads divide, got {self.widths}")


class CompactNetwork(nn.Module):
    """F(X, σ, label): complex STFT [batch, bins, frames] of unit scale → complex STFT, zero at first."""

    def __init__(self, config: CompactConfig):
        super().__init__()
        self.config = config
        widths, embedding = config.widths, config.embedding
        self.embedding = NoiseEmbedding(embedding, config.labels)
        self.stem = MatrixConv2d(INPUT_CHANNELS * PATCH**2, widths[0], 3)
        self.frequency = nn.Parameter(torch.zeros(widths[0], config.bins // PATCH, 1))
        self.encoder = nn.ModuleList(self._level(level) for level in range(len(widths)))
        self.decoder = nn.ModuleList(self._level(level) for level in range(len(widths) - 1))
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(MatrixConv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(MatrixConv2d(coarse, fine * 4) for fine, coarse in pairs)
        self.merge = nn.ModuleList(MatrixConv2d(2 * fine, fine) for fine, _ in pairs)
        self.norm = nn.GroupNorm(1, widths[0])
        self.output = MatrixConv2d(widths[0], OUTPUT_CHANNELS * PATCH**2, 3, zero=True)
        self._body: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = self._unet

    def _level(self, level: int) -> Level:
        width, config = self.config.widths[level], self.config
        blocks = [ResidualBlock(width, config.embedding) for _ in range(config.blocks[level])]
        return Level(blocks, AxialAttention(width, config.heads) if level else nn.Identity())

    def compile_body(self) -> None:
        """Have `torch.compile` fuse all but the complex first and last steps; weights and results stay the same."""
        self._body = torch.compile(self._unet)

    @property
    def frame_multiple(self) -> int:
        """The number of frames is padded to a multiple of this."""
        return PATCH * (1 << len(self.down))

    def body_matrices(self) -> list[nn.Parameter]:
        """The convolution matrices between stem and output, the ones Muon trains."""
        edges = {id(self.stem), id(self.output)}
        return [m.weight for m in self.modules() if isinstance(m, MatrixConv2d) and id(m) not in edges]

    def forward(self, spectrum: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        frames = spectrum.shape[-1]
        spectrum = functional.pad(spectrum, (0, -frames % self.frame_multiple))
        root = spectrum / (spectrum.abs() + MAGNITUDE_FLOOR).sqrt()
        channels = torch.cat([torch.view_as_real(part).movedim(-1, 1) for part in (spectrum, root)], dim=1)
        x = functional.pixel_unshuffle(channels, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        x = self._body(x + self.frequency.to(x.dtype), self.embedding(sigma, label))
        x = self.output(functional.silu(self.norm(x))).to(spectrum.real.dtype)
        x = functional.pixel_shuffle(x, PATCH)
        return torch.view_as_complex(x.movedim(1, -1).contiguous())[..., :frames]

    def _unet(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, part in enumerate(self.encoder):
            x = part(x, embedding)
            if level < len(self.down):
                skips.append(x)
                x = self.down[level](x)
        for level in reversed(range(len(self.down))):
            x = functional.pixel_shuffle(self.up[level](x), 2)
            x = self.merge[level](torch.cat([x, skips[level]], dim=1))
            x = self.decoder[level](x, embedding)
        return x
