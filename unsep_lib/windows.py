"""Long signals in overlapping windows, joined so that every source stays in its slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

WINDOW = 128_000  # samples at 16 kHz: 8 s
OVERLAP = 32_000  # samples at 16 kHz: 2 s, cross-faded
HOP = WINDOW - OVERLAP


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
    starts = window_starts(mixture.shape[-1])

    def pieces() -> Iterator[torch.Tensor]:
        for index, start in enumerate(starts):
            yield separate_window(mixture[:, start : start + WINDOW], index)
            if on_window is not None:
                on_window(index + 1, len(starts))

    return torch.cat(list(joined(pieces(), slots)), dim=-1)


def joined(pieces: Iterable[torch.Tensor], slots: Sequence[object]) -> Iterator[torch.Tensor]:
    """Consecutive windows' sources [source, channel, time] as blocks of 6 s and a last one of what is left.

    slots: as in `in_windows`. Holds two windows at a time.
    """
    current = None
    for piece in pieces:
        if current is not None:
            yield current[..., :HOP]
            piece = _crossfaded(current[..., HOP:], piece, slots)
        current = piece
    if current is not None:
        yield current


def _crossfaded(tail: torch.Tensor, piece: torch.Tensor, slots: Sequence[object]) -> torch.Tensor:
    overlap = tail.shape[-1]
    piece = piece[continued_order(tail, piece[..., :overlap], slots)]
    fade = torch.sin(torch.linspace(0, torch.pi / 2, overlap + 2)[1:-1]).square().to(piece)
    faded = tail * (1 - fade) + piece[..., :overlap] * fade
    return torch.cat([faded, piece[..., overlap:]], dim=-1)


def window_starts(length: int) -> list[int]:
    """First sample of each window: one for a short signal, else enough that the last ends with the signal."""
    if length <= WINDOW:
        return [0]
    return list(range(0, length - OVERLAP, HOP))


def continued_order(before: torch.Tensor, after: torch.Tensor, slots: Sequence[object]) -> list[int]:
    """For each slot the source of `after` that best continues `before`, both [source, channel, overlap].

    Only sources of equal slots change places; the measure is their inner product.
    """
    order = list(range(len(slots)))
    for slot in set(slots):
        group = [index for index, other in enumerate(slots) if other == slot]
        if len(group) == 1:
            continue
        from scipy.optimize import linear_sum_assignment  # a third of a second that only such sources need

        likeness = torch.einsum("ict,jct->ij", before[group], after[group])
        rows, columns = linear_sum_assignment(-likeness.cpu().numpy())
        for row, column in zip(rows, columns, strict=True):
            order[group[row]] = group[column]
    return order
