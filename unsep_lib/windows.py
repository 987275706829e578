"""Long signals in overlapping windows, joined so that every source keeps its index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

WINDOW = 128_000  # samples at 16 kHz: 8 s
OVERLAP = 32_000  # samples at 16 kHz: 2 s, cross-faded
HOP = WINDOW - OVERLAP


def windows_of(blocks: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The overlapping windows of consecutive blocks [channel, time]: 8 s each, the last one what is left."""
    held, number = None, 0
    for block in blocks:
        held = block if held is None else torch.cat([held, block], dim=-1)
        while held.shape[-1] >= WINDOW:
            yield held[..., :WINDOW]
            held, number = held[..., HOP:], number + 1
    if held is not None and (number == 0 or held.shape[-1] > OVERLAP):
        yield held


def joined(windows: Iterable[torch.Tensor], groups: Sequence[object]) -> Iterator[torch.Tensor]:
    """Consecutive windows' sources [source, channel, time] as blocks of 6 s and a last one of what is left.

    groups: what each source is, equal for sources that can be confused; those are reordered to continue the window
    before. The windows' raised-cosine weights add up to 1, so sources that sum to each window's mixture sum to the
    whole. Holds two windows at a time.
    """
    current = None
    for window in windows:
        if current is not None:
            yield current[..., :HOP]
            window = _crossfaded(current[..., HOP:], window, groups)
        current = window
    if current is not None:
        yield current


def _crossfaded(tail: torch.Tensor, window: torch.Tensor, groups: Sequence[object]) -> torch.Tensor:
    overlap = tail.shape[-1]
    window = window[continued_order(tail, window[..., :overlap], groups)]
    fade = torch.sin(torch.linspace(0, torch.pi / 2, overlap + 2)[1:-1]).square().to(window)
    faded = tail * (1 - fade) + window[..., :overlap] * fade
    return torch.cat([faded, window[..., overlap:]], dim=-1)


def window_starts(length: int) -> list[int]:
    """First sample of each window: one for a short signal, else enough that the last ends with the signal."""
    if length <= WINDOW:
        return [0]
    return list(range(0, length - OVERLAP, HOP))


def continued_order(before: torch.Tensor, after: torch.Tensor, groups: Sequence[object]) -> list[int]:
    """For each source of `before` the index in `after` that best continues it, both [source, channel, overlap].

    Only sources of equal groups change places; the measure is their inner product.
    """
    order = list(range(len(groups)))
    for name in set(groups):
        group = [index for index, other in enumerate(groups) if other == name]
        if len(group) == 1:
            continue
        from scipy.optimize import linear_sum_assignment  # a third of a second that only such sources need

        likeness = torch.einsum("ict,jct->ij", before[group], after[group])
        rows, columns = linear_sum_assignment(-likeness.cpu().numpy())
        for row, column in zip(rows, columns, strict=True):
            order[group[row]] = group[column]
    return order
