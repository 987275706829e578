"""A function of independent lines of a map, applied a cache-sized slab at a time, with or without recomputation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.autograd.function import once_differentiable

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
