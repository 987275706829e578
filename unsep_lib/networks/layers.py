"""Layers of the compact network."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional


class MatrixConv2d(nn.Module):
    """A convolution whose weight is stored as the matrix [out, in·kernel²].

    `torch.optim.Muon` orthogonalises matrices, so it can train this layer as it is.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, zero: bool = False):
        super().__init__()
        fan_in = channels_in * kernel**2
        weight = torch.randn(channels_out, fan_in) / math.sqrt(fan_in)
        self.weight = nn.Parameter(torch.zeros_like(weight) if zero else weight)
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.kernel, self.stride, self.padding = kernel, stride, (kernel - 1) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight.view(len(self.weight), x.shape[1], self.kernel, self.kernel)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class NoiseEmbedding(nn.Module):
    """Vector [batch, width] from the noise level σ [batch] and a label index [batch].

    Random Fourier features of ln(σ)/4 (arXiv 2206.00364), plus one learned row a label and one for "no label".
    """

    frequencies: torch.Tensor

    def __init__(self, width: int, labels: int, features: int = 16):
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(features))
        self.hidden = nn.Linear(2 * features, width)
        self.output = nn.Linear(width, width)
        self.label = nn.Embedding(labels + 1, width)
        nn.init.zeros_(self.label.weight)

    def forward(self, sigma: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        angles = sigma.log()[:, None] / 4 * self.frequencies
        hidden = functional.silu(self.hidden(torch.cat([angles.cos(), angles.sin()], dim=1)))
        return functional.silu(self.output(hidden) + self.label(label))


class ResidualBlock(nn.Module):
    """Norm – SiLU – 3×3 – norm modulated by the embedding – SiLU – 3×3 (zero at first), added to the input."""

    def __init__(self, channels: int, embedding: int):
        super().__init__()
        self.norm_in = nn.GroupNorm(1, channels)
        self.conv_in = MatrixConv2d(channels, channels, 3)
        self.norm_out = nn.GroupNorm(1, channels)
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.conv_out = MatrixConv2d(channels, channels, 3, zero=True)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_in(functional.silu(self.norm_in(x)))
        hidden = functional.silu(self.norm_out(hidden) * (1 + scale) + shift)
        change: torch.Tensor = self.conv_out(hidden)
        return x + change


class AxialAttention(nn.Module):
    """Self-attention along frequency, then along time; both outputs are zero at first.

    Where a gradient is wanted, the attention itself is computed in float32 under autocast too: its bfloat16 backward
    pass is several times slower on a CPU.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(2))
        self.inputs = nn.ModuleList(MatrixConv2d(channels, 3 * channels) for _ in range(2))
        self.outputs = nn.ModuleList(MatrixConv2d(channels, channels, zero=True) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for axis in (2, 3):
            norm, inputs, outputs = (layers[axis - 2] for layers in (self.norms, self.inputs, self.outputs))
            x = x + outputs(self._attend(inputs(norm(x)), axis))
        return x

    def _attend(self, qkv: torch.Tensor, axis: int) -> torch.Tensor:
        batch, channels, *_ = qkv.shape
        if qkv.requires_grad:
            qkv = qkv.to(torch.promote_types(qkv.dtype, torch.float32))
        rows = qkv.movedim(1, -1).movedim(axis - 1, -2)
        rows = rows.reshape(*rows.shape[:3], 3, self.heads, channels // 3 // self.heads)
        q, k, v = rows.permute(3, 0, 1, 4, 2, 5).flatten(1, 2)
        with torch.autocast(qkv.device.type, enabled=False):
            mixed = functional.scaled_dot_product_attention(q, k, v)
        lines, positions = qkv.shape[5 - axis], qkv.shape[axis]
        mixed = mixed.transpose(1, 2).reshape(batch, lines, positions, channels // 3)
        return mixed.movedim(-1, 1).movedim(2, 5 - axis)


class Level(nn.Module):
    """One resolution of the U-Net: residual blocks, then attention."""

    def __init__(self, blocks: Iterable[ResidualBlock], attention: nn.Module):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention = attention

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, embedding)
        attended: torch.Tensor = self.attention(x)
        return attended
