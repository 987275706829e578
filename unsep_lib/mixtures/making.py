"""One mixture made of its sources as the paper makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch

from unsep_lib.audio import SAMPLE_RATE, scale_to_dbfs
from unsep_lib.clips import active_spans
from unsep_lib.specification import SourceSpec

MIXTURE_SECONDS = 4.0  # arXiv 2512.07226
LEVEL_LOW, LEVEL_HIGH = -25.0, -20.0  # dBFS, range of a source's RMS over the mixture (arXiv 2512.07226)
MIXTURE_PEAK = 0.95  # arXiv 2512.07226
LEAST_OVERLAP = 1.0  # seconds of a later source that fit into the mixture, where it is that long


@dataclass(frozen=True)
class Mixture:
    """A mixture [time], its references [source, time] and their specifications, at `sample_rate` Hz.

    origins: the files of the clips that the references were cut from, where known.
    """

    name: str
    mixture: torch.Tensor
    sources: torch.Tensor
    specs: tuple[SourceSpec, ...]
    sample_rate: int = SAMPLE_RATE
    origins: tuple[str, ...] = ()


def make_mixture(
    sources: Sequence[torch.Tensor], generator: numpy.random.Generator, seconds: float = MIXTURE_SECONDS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Place, level and add sources `[time]` of any length at 16 kHz: (mixture [time], references [source, time]).

    Each source starts inside the active span of the one before it and has an RMS drawn from −25…−20 dBFS over
    the whole mixture; the mixture's peak becomes 0.95 and the references scale with it (arXiv 2512.07226). A source
    that would be silent up to the mixture's end loses the silence before its first sound.

    Raises:
        ValueError: no sources, or a silent one.
    """
    if not sources:
        raise ValueError("expected at least one source to mix, got none")
    length = round(seconds * SAMPLE_RATE)
    placed: list[torch.Tensor] = []
    for source in sources:
        start = _draw_placement(placed[-1] if placed else None, len(source), length, generator)
        piece = _audible(source, length - start)
        track = torch.nn.functional.pad(piece, (start, length - start - len(piece)))
        placed.append(scale_to_dbfs(track, generator.uniform(LEVEL_LOW, LEVEL_HIGH)))
    return added(torch.stack(placed))


def added(references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of references [source, time] and the references, scaled together until the sum's peak is 0.95."""
    references = references * (MIXTURE_PEAK / references.sum(dim=0).abs().max())
    return references.sum(dim=0), references


def _audible(source: torch.Tensor, length: int) -> torch.Tensor:
    piece, spans = source[:length], active_spans(source, SAMPLE_RATE)
    if active_spans(piece, SAMPLE_RATE) or (not spans and piece.any()):
        return piece
    onset = round(spans[0][0] * SAMPLE_RATE) if spans else int(source.abs().gt(0).to(torch.int8).argmax())
    return source[onset:][:length]


def _draw_placement(
    previous: torch.Tensor | None, source_length: int, length: int, generator: numpy.random.Generator
) -> int:
    latest = length - min(source_length, round(LEAST_OVERLAP * SAMPLE_RATE))
    if previous is None:
        return int(generator.integers(max(length - source_length, 0) + 1))
    spans = active_spans(previous, SAMPLE_RATE) or ((0.0, length / SAMPLE_RATE),)
    lengths = numpy.array([stop - start for start, stop in spans])
    start, stop = spans[generator.choice(len(spans), p=lengths / lengths.sum())]
    return min(int(generator.uniform(start, stop) * SAMPLE_RATE), latest)
