"""The compact network: a U-Net on 2×2 patches of the STFT, 0.9 million parameters in its default shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from unsep_lib.networks.example_encoder import ExampleEncoder


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

    Random Fourier features of ln(σ)/4 (arXiv 2206.00364), plus one learned row per label and one for "no label".
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
    """Norm – SiLU – 3×3 – norm modulated by the embedding – SiLU – 3×3 (zero at first), added to the input.

    embedding, example: sizes of the two parts of the embedding; the example's weights are zero at first.
    """

    def __init__(self, channels: int, embedding: int, example: int = 0):
        super().__init__()
        self.norm_in = nn.GroupNorm(1, channels)
        self.conv_in = MatrixConv2d(channels, channels, 3)
        self.norm_out = nn.GroupNorm(1, channels)
        self.modulation = nn.Linear(embedding + example, 2 * channels)
        if example:
            with torch.no_grad():
                self.modulation.weight[:, embedding:].zero_()
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


PATCH = 2  # bins × frames folded into channels: three times the steps of full resolution
MAGNITUDE_FLOOR = 1e-5  # keeps the gradient of √|X| finite at X = 0
INPUT_CHANNELS = 4  # real and imaginary part, and both again with √|X| for |X|
OUTPUT_CHANNELS = 2  # real and imaginary part


@dataclass(frozen=True)
class CompactConfig:
    """Shape of a `CompactNetwork`; bins and labels come from the data, the rest is the measured recipe.

    example: numbers by which an example of the source is described; 0: the network takes no example.

    Raises:
        ValueError: not as many blocks as widths, one below 1, a width with attention that the heads do not divide, or
            fewer numbers than 0 for an example.
    """

    labels: int = 0
    bins: int = 256
    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    heads: int = 4
    embedding: int = 128
    example: int = 0

    def __post_init__(self) -> None:
        if self.example < 0:
            raise ValueError(f"expected 0 numbers or more for an example, got {self.example}")
        if len(self.widths) != len(self.blocks) or min((*self.widths, *self.blocks), default=0) < 1:
            raise ValueError(f"expected as many blocks as widths, each 1 or more, got {self.widths} and {self.blocks}")
        if any(width % self.heads for width in self.widths[1:]):
            raise ValueError(f"expected widths after the first that {self.heads} heads divide, got {self.widths}")


class CompactNetwork(nn.Module):
    """F(X, σ, label, example): complex STFT [batch, bins, frames] of unit scale → complex STFT, zero at first.

    The example is the vector [batch, config.example] that `example_encoder` makes of it, or zeros for none. It is
    appended to what modulates the residual blocks; its weights there are zero at first, so that an untrained example
    changes nothing.
    """

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
        self.example_encoder = ExampleEncoder(config.example, config.bins) if config.example else None
        self._body: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = self._unet

    def _level(self, level: int) -> Level:
        width, config = self.config.widths[level], self.config
        blocks = [ResidualBlock(width, config.embedding, config.example) for _ in range(config.blocks[level])]
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

    def example_parameters(self) -> list[nn.Parameter]:
        """What reads an example: its encoder and the residual blocks' modulation; nothing without an encoder."""
        if self.example_encoder is None:
            return []
        blocks = [module.modulation for module in self.modules() if isinstance(module, ResidualBlock)]
        return [parameter for part in (self.example_encoder, *blocks) for parameter in part.parameters()]

    def forward(
        self, spectrum: torch.Tensor, sigma: torch.Tensor, label: torch.Tensor, example: torch.Tensor | None = None
    ) -> torch.Tensor:
        embedding = self.embedding(sigma, label)
        if self.config.example:
            if example is None:
                example = embedding.new_zeros(len(embedding), self.config.example)
            embedding = torch.cat([embedding, example.to(embedding.dtype)], dim=1)
        frames = spectrum.shape[-1]
        spectrum = functional.pad(spectrum, (0, -frames % self.frame_multiple))
        root = spectrum / (spectrum.abs() + MAGNITUDE_FLOOR).sqrt()
        channels = torch.cat([torch.view_as_real(part).movedim(-1, 1) for part in (spectrum, root)], dim=1)
        x = functional.pixel_unshuffle(channels, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        x = self._body(x + self.frequency.to(x.dtype), embedding)
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


def with_labels(network: CompactNetwork, labels: int) -> CompactNetwork:
    """A network of more labels that equals `network`, whose weights it copies; the new ones begin as "no label".

    Raises:
        ValueError: fewer labels than it has.
    """
    if labels < network.config.labels:
        raise ValueError(f"expected {network.config.labels} labels or more, got {labels}")
    more = CompactNetwork(replace(network.config, labels=labels))
    state = network.state_dict()
    rows = state["embedding.label.weight"]
    none = rows[-1:].expand(1 + labels - network.config.labels, -1)
    more.load_state_dict(state | {"embedding.label.weight": torch.cat([rows[:-1], none])})
    return more.to(rows.device)


def with_example(network: CompactNetwork, size: int) -> CompactNetwork:
    """A network that also takes an example of `size` numbers; it equals `network`, whose weights it copies, at first.

    Raises:
        ValueError: a network that takes an example already, or a size below 1.
    """
    if network.config.example or size < 1:
        raise ValueError(f"expected a network without examples and a size from 1 up, got {network.config} and {size}")
    wider = CompactNetwork(replace(network.config, example=size))
    state = wider.state_dict()
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            if name.endswith("modulation.weight"):
                state[name].zero_()[:, : weight.shape[1]] = weight
            else:
                state[name].copy_(weight)
    return wider.to(next(network.parameters()).device)
