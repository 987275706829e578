"""Above 8 kHz: what the networks do not hear goes to the sources by their shares of the band just below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.nn import functional

from unsep_lib.audio import SAMPLE_RATE, in_context

FULL = "full"
BANDWIDTHS = (FULL, "16k")  # "16k": tracks end at 8 kHz, what lies above stays in the residual
EDGE = 7_500.0  # Hz; above it resampling to 16 kHz takes away
BAND = 5_000.0  # Hz, from here up to the edge the shares are measured
EXPONENT = 2.0  # of the powers whose shares they are
QUIET = 1e-6  # of a window's power in the band, about −118 dBFS; where no source is louder the residual keeps all
FRAMES_PER_SECOND = 100
FRAMES = 4  # that a window spans
CONTEXT = 8  # frames beside a block that its windows see

Pair = tuple[torch.Tensor, torch.Tensor]


def upward(pairs: Iterable[Pair], sample_rate: int) -> Iterator[Pair]:
    """Consecutive blocks of sources [source, channel, time] and of their recording [channel, time], made full-band.

    Above 7.5 kHz each source gets the residual times `P_i² / Σ_j P_j²`, P_i its power from 5 to 7.5 kHz in a window of
    40 ms: all of the recording there is shared out, but where no source sounds. At 16 kHz and below nothing changes.
    """
    if sample_rate <= SAMPLE_RATE:
        yield from pairs
        return
    hop = round(sample_rate / FRAMES_PER_SECOND)
    stacked = (torch.cat([sources, own[None]]) for sources, own in pairs)
    for behind, block, ahead in in_context(stacked, CONTEXT * hop):
        whole = torch.cat([behind, block, ahead], dim=-1)
        sources, own = whole[:-1], whole[-1]
        added = _shares(sources, own - sources.sum(dim=0), sample_rate, hop)
        begin = behind.shape[-1]
        yield block[:-1] + added[..., begin : begin + block.shape[-1]], block[-1]


def _shares(sources: torch.Tensor, residual: torch.Tensor, sample_rate: int, hop: int) -> torch.Tensor:
    """The sources' shares [source, channel, time] of what the residual [channel, time] has above the edge."""
    size, length = FRAMES * hop, residual.shape[-1]
    window = torch.hann_window(size).to(residual)

    def spectrum(samples: torch.Tensor) -> torch.Tensor:
        filled = functional.pad(samples, (0, max(0, size - length)))
        return torch.stft(filled, size, hop, window=window, pad_mode="constant", return_complex=True)

    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate)
    band, above = (frequencies >= BAND) & (frequencies < EDGE), frequencies >= EDGE
    power = torch.stack([spectrum(source)[:, band].abs().square().sum(dim=1) for source in sources])
    share = power**EXPONENT
    share /= share.sum(dim=0) + QUIET**EXPONENT
    high = spectrum(residual) * above.to(residual)[:, None]
    return torch.stack([torch.istft(high * each[:, None], size, hop, window=window, length=length) for each in share])
