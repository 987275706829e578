"""Long signals in overlapping windows, joined so that every source stays in its slot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from scipy.optimize import linear_sum_assignment

WINDOW = 128_000  # samples at 16 kHz: 8 s
OVERLAP = 32_000  # samples at 16 kHz: 2 s, cross-faded


def in_windows(
    mixture: torch.Tensor,
    separate_window: Callable[[torch.Tensor, int], torch.Tensor],
    slots: Sequence[object],
    on_window: Callable[[int, int], None] | None = None,
) -> torch.Tensor:
    """Separate `mixture` [channel, time] window by window: sources [source, channel, time].

    separate_window(piece [channel, time], index) → [source, channel, time]; slots: what each source is, equal for
    sources that can be confused (those are reordered to continue the window before); on_window(done, all).
    The windows' raised-cosine weights add up to 1, so sources that sum to each piece sum to the whole.
    """
    length = mixture.shape[-1]
    starts = window_starts(length)
    result = mixture.new_zeros(len(slots), *mixture.shape)
    for index, start in enumerate(starts):
        stop = min(start + WINDOW, length)
        piece = separate_window(mixture[:, start:stop], index)
        if index:
            overlap = starts[index - 1] + WINDOW - start
            piece = piece[continued_order(result[..., start : start + overlap], piece[..., :overlap], slots)]
            fade = torch.sin(torch.linspace(0, torch.pi / 2, overlap + 2)[1:-1]).square().to(piece)
            result[..., start : start + overlap] *= 1 - fade
            piece = torch.cat([piece[..., :overlap] * fade, piece[..., overlap:]], dim=-1)
        result[..., start:stop] += piece
        if on_window is not None:
            on_window(index + 1, len(starts))
    return result


def window_starts(length: int) -> list[int]:
    """First sample of each window: one for a short signal, else enough that the last ends with the signal."""
    if length <= WINDOW:
        return [0]
    hop = WINDOW - OVERLAP
    return list(range(0, length - OVERLAP, hop))


def continued_order(before: torch.Tensor, after: torch.Tensor, slots: Sequence[object]) -> list[int]:
    """For each slot the source of `after` that best continues `before`, both [source, channel, overlap].

    Only sources of equal slots change places; the measure is their inner product.
    """
    order = list(range(len(slots)))
    for slot in set(slots):
        group = [index for index, other in enumerate(slots) if other == slot]
        likeness = torch.einsum("ict,jct->ij", before[group], after[group])
        rows, columns = linear_sum_assignment(-likeness.cpu().numpy())
        for row, column in zip(rows, columns, strict=True):
            order[group[row]] = group[column]
    return order
