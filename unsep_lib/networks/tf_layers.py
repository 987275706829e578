"""Layers of the fast TF attention U-Net; maps are [batch, frequency, time, channel] throughout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from unsep_lib.networks import tf_config
from unsep_lib.networks.tf_config import FOLD, FULL_BAND_CHANNELS, FULL_BAND_WIDTH, NORM_EPS, TfConfig

FREQUENCY, TIME = 1, 2  # axes of a map [batch, frequency, time, channel]
CPU_VALUES = 1 << 19  # values of a slab, 2 MB in float32: the fastest power of two measured, it stays in the cache
ACCELERATOR_VALUES = 1 << 24  # there, few launches matter more

LineFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Context(Protocol):
    """What an autograd function keeps between its passes."""

    saved_tensors: tuple[torch.Tensor, ...]

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        """Keep tensors for the backward pass."""


@dataclass(frozen=True)
class Slabs:
    """A function of independent lines, and the axis of the map along which a line runs.

    function(lines [line, position, channel], vectors [part, channel]) → the same shape as `lines`.
    """

    function: LineFunction
    axis: int

    def __call__(self, maps: torch.Tensor, vectors: torch.Tensor, recompute: bool) -> torch.Tensor:
        """Map every line of `maps` [batch, frequency, time, channel], with its clip's `vectors` [batch, part, channel].

        With `recompute` only `maps` is kept for the gradient, which reaches `maps` alone; where `vectors` need a
        gradient, so do weights, and everything is kept.
        """
        frozen = not vectors.requires_grad
        if not (recompute and frozen):
            return self._plain(maps, vectors)
        mapped: torch.Tensor = _Recomputed.apply(maps, vectors, self)
        return mapped

    def views(self, maps: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """Each slab of a map as (index in the batch, view [line, position, channel])."""
        values = CPU_VALUES if maps.device.type == "cpu" else ACCELERATOR_VALUES
        for index, clip in enumerate(maps):
            lines = clip if self.axis == TIME else clip.transpose(0, 1)
            for slab in lines.split(max(1, values // lines[0].numel())):
                yield index, slab

    def _plain(self, maps: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        clips: list[list[torch.Tensor]] = [[] for _ in maps]
        for index, slab in self.views(maps):
            clips[index].append(self.function(slab.contiguous(), vectors[index]))
        lines = torch.stack([torch.cat(slabs) for slabs in clips])
        return lines if self.axis == TIME else lines.transpose(1, 2).contiguous()


class _SlabsContext(Context, Protocol):
    slabs: Slabs


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _SlabsContext, maps: torch.Tensor, vectors: torch.Tensor, slabs: Slabs) -> torch.Tensor:
        ctx.save_for_backward(maps, vectors)
        ctx.slabs = slabs
        result = torch.empty_like(maps)
        for (index, source), (_, target) in zip(slabs.views(maps), slabs.views(result), strict=True):
            target.copy_(slabs.function(source.contiguous(), vectors[index]))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: _SlabsContext, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        maps, vectors = ctx.saved_tensors
        slabs = ctx.slabs
        result = torch.empty_like(maps)
        views = zip(slabs.views(maps), slabs.views(gradient), slabs.views(result), strict=True)
        for (index, source), (_, above), (_, target) in views:
            lines = source.contiguous().detach().requires_grad_()
            with torch.enable_grad():
                output = slabs.function(lines, vectors[index])
            target.copy_(torch.autograd.grad(output, lines, above)[0])
        return result, None, None


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
    """One row per label, and a last one for "no class": label [batch] → [batch, embedding]."""

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


CACHED_TABLES = 32  # rotary tables kept: six a length of audio


def channel_norm(x: torch.Tensor, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None) -> torch.Tensor:
    """LayerNorm over the last axis; with vectors [channel], `·(1 + scale) + shift`."""
    weight = None if scale is None else 1 + scale
    return functional.layer_norm(x, x.shape[-1:], weight, shift, NORM_EPS)


def product(x: torch.Tensor, layer: nn.Linear | nn.Conv2d) -> torch.Tensor:
    """A linear layer or 1×1 convolution on the last axis, in the weight's own precision."""
    weight = layer.weight.flatten(1)
    return functional.linear(x.to(weight.dtype), weight, layer.bias).to(x.dtype)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Context, x: torch.Tensor) -> torch.Tensor:
        value, gate = x.chunk(2, dim=-1)
        activated = functional.silu(gate)
        ctx.save_for_backward(x, activated)
        return activated * value

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, gradient: torch.Tensor) -> torch.Tensor:
        x, activated = ctx.saved_tensors
        value, gate = x.chunk(2, dim=-1)
        result = torch.empty_like(x)
        to_value, to_gate = result.chunk(2, dim=-1)
        torch.mul(gradient, activated, out=to_value)
        torch.ops.aten.silu_backward.grad_input(gradient * value, gate, grad_input=to_gate)
        return result


def gated(x: torch.Tensor) -> torch.Tensor:
    """Value · SiLU(gate), the two halves of the last axis."""
    activated: torch.Tensor = _Gated.apply(x)
    return activated


@lru_cache(maxsize=CACHED_TABLES)
def rotations(positions: int, heads: int, head_width: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """exp(i·angle) of every pair of channels of all heads: complex [positions, heads·head_width/2]."""
    with torch.inference_mode(False):
        angles = tf_config.rope_angles(positions, head_width, device)
        return torch.complex(angles.cos().to(dtype), angles.sin().to(dtype)).repeat(1, heads)


class _Rotated(torch.autograd.Function):
    """qkv [line, position, 3·channel] → query and key turned by `table`, value: each [line, head, position, width]."""

    @staticmethod
    def forward(ctx: Context, qkv: torch.Tensor, table: torch.Tensor, heads: int) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(table)
        query, key, value = qkv.chunk(3, dim=-1)
        turned = (_real(_pairs(part.to(table.real.dtype)) * table) for part in (query, key))
        return tuple(_heads_first(part, heads, qkv.dtype) for part in (*turned, value))

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (table,) = ctx.saved_tensors
        turned_back = table.conj().resolve_conj()
        query, key, value = (part.transpose(1, 2).flatten(2) for part in gradients)
        result = value.new_empty(*value.shape[:-1], 3 * value.shape[-1])
        *turned, to_value = result.chunk(3, dim=-1)
        for part, gradient in zip(turned, (query, key), strict=True):
            part.copy_(_real(_pairs(gradient.to(table.real.dtype).contiguous()) * turned_back))
        to_value.copy_(value)
        return result, None, None


def _heads_first(x: torch.Tensor, heads: int, dtype: torch.dtype) -> torch.Tensor:
    parted: torch.Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return parted.to(dtype, memory_format=torch.contiguous_format) if dtype == torch.bfloat16 else parted


def _pairs(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def _real(pairs: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(pairs).flatten(-2)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(query·keyᵀ/√width)·value over [line, head, position, width].

    The fused kernel, but for a gradient in bfloat16 on a CPU: there it takes twice the time of plain products.
    """
    if query.dtype != torch.bfloat16 or query.device.type != "cpu" or not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(query, key, value)
    scale: float = query.shape[-1] ** -0.5
    return (query * scale @ key.mT).softmax(dim=-1) @ value


class Attention(nn.Module):
    """Multi-head self-attention with rotary embedding over lines [line, position, channel]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        angles = torch.promote_types(x.dtype, torch.float32)
        table = rotations(x.shape[1], self.heads, x.shape[2] // self.heads, angles, x.device)
        mixed = attend(*_Rotated.apply(product(x.to(self.to_qkv.weight.dtype), self.to_qkv), table, self.heads))
        return product(mixed.transpose(1, 2).flatten(2), self.to_out).to(x.dtype)


class GatedMlp(nn.Module):
    """1×1 convolution to twice two widths, value · SiLU(gate), 1×1 convolution back; on the last axis."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.fc2 = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = gated(product(x.to(self.fc1.weight.dtype), self.fc1))
        return product(hidden, self.fc2).to(x.dtype)


class AxisAttention(nn.Module):
    """Attention along one axis of the map, then a gated MLP: lines do not know each other."""

    def __init__(self, config: TfConfig, width: int, axis: int):
        super().__init__()
        self.axis = axis
        self.sup_conv = nn.Conv2d(width, 2 * width, 1)
        self.attn = Attention(width, config.heads)
        self.mlp = GatedMlp(width)
        self.adaLN_modulation = Modulation(config.embedding, width, 6)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor, recompute: bool) -> torch.Tensor:
        return Slabs(self.lines, self.axis)(x, self.adaLN_modulation(conditioning), recompute)

    def lines(self, x: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Attention and MLP on lines [line, position, channel], modulated by vectors [6, channel]."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = vectors
        hidden = gated(product(channel_norm(x).to(self.sup_conv.weight.dtype), self.sup_conv))
        x = torch.addcmul(x, self.attn(channel_norm(hidden, scale, shift)).to(x.dtype), gate)
        return torch.addcmul(x, self.mlp(channel_norm(x, mlp_scale, mlp_shift)), mlp_gate)


class FullBandAttention(nn.Module):
    """Attention along time over all 64 bins at once, then a gated MLP."""

    def __init__(self, config: TfConfig, width: int):
        super().__init__()
        self.sup_conv = nn.Conv2d(FOLD * width, 2 * FULL_BAND_CHANNELS, 1)
        self.recov_conv = nn.Conv2d(FULL_BAND_CHANNELS, FOLD * width, (3, 1), padding=(1, 0))
        self.attn = Attention(FULL_BAND_WIDTH, config.heads)
        self.mlp = GatedMlp(width)
        self.adaLN_modulation_att = Modulation(config.embedding, FULL_BAND_WIDTH, 3)
        self.adaLN_modulation_mlp = Modulation(config.embedding, width, 3)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor, recompute: bool) -> torch.Tensor:
        vectors = self.adaLN_modulation_att(conditioning)
        x = x + (checkpoint(self.attend, x, vectors, use_reentrant=False) if recompute else self.attend(x, vectors))
        return Slabs(self.feed_forward, TIME)(x, self.adaLN_modulation_mlp(conditioning), recompute)

    def attend(self, x: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The attention's branch: [batch, frequency, time, channel] → the same."""
        shift, scale, gate = vectors.transpose(0, 1)[:, :, None]
        folded = channel_norm(x).unflatten(1, (-1, FOLD)).permute(0, 3, 1, 4, 2).flatten(3)
        frames = gated(product(folded, self.sup_conv)).transpose(2, 3).flatten(2)
        frames = gate * self.attn(channel_norm(frames) * (1 + scale) + shift)
        maps = channel_norm(frames).unflatten(2, (FULL_BAND_CHANNELS, -1)).permute(0, 2, 3, 1)
        unfolded: torch.Tensor = self.recov_conv(maps).unflatten(1, (-1, FOLD))
        return unfolded.permute(0, 3, 2, 4, 1).flatten(1, 2)

    def feed_forward(self, x: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The MLP on any positions, modulated by vectors [3, channel]."""
        shift, scale, gate = vectors
        return torch.addcmul(x, self.mlp(channel_norm(x, scale, shift)), gate)


class Block(nn.Module):
    """[latent only: full-band attention →] attention along frequency → attention along time."""

    def __init__(self, config: TfConfig, width: int, full_band: bool = False):
        super().__init__()
        if full_band:
            self.fullatt = FullBandAttention(config, width)
        self.freatt = AxisAttention(config, width, FREQUENCY)
        self.timeatt = AxisAttention(config, width, TIME)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor, recompute: bool) -> torch.Tensor:
        for part in self.children():
            x = part(x, conditioning, recompute)
        return x


def convolve(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """A convolution over [batch, frequency, time, channel]."""
    convolved: torch.Tensor = layer(x.permute(0, 3, 1, 2))
    return convolved.permute(0, 2, 3, 1).contiguous()


def reduce(up: torch.Tensor, skip: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """1×1 convolution of the channels [up, skip], without concatenating them."""
    to_up, to_skip = layer.weight.flatten(1).chunk(2, dim=1)
    return functional.linear(up, to_up) + functional.linear(skip, to_skip, layer.bias)


class Resampling(nn.Module):
    """3×3 convolution, then channels into 2×2 bins × frames (`up`) or the reverse."""

    def __init__(self, channels_in: int, channels_out: int, up: bool):
        super().__init__()
        self.up = up
        self.body = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shuffle = functional.pixel_shuffle if self.up else functional.pixel_unshuffle
        return shuffle(self.body(x.permute(0, 3, 1, 2)), 2).permute(0, 2, 3, 1).contiguous()


class FinalLayer(nn.Module):
    """LayerNorm, modulated by the output's time embedding, then a 3×3 convolution to two channels."""

    def __init__(self, config: TfConfig):
        super().__init__()
        self.out_proj = nn.Conv2d(config.width, 2, 3, padding=1, bias=False)
        self.adaLN_modulation = Modulation(config.embedding, config.width, 2)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        shift, scale = self.adaLN_modulation(conditioning).transpose(0, 1)[:, :, None, None]
        return convolve(channel_norm(x) * (1 + scale) + shift, self.out_proj)
