"""A mixture changed before it is separated: with another's sources, a piece of it, or its sources at other levels."""

from __future__ import annotations

from dataclasses import replace

import torch

from unsep_lib.audio import rms_dbfs, scale_to_dbfs
from unsep_lib.mixtures import Mixture

CROP_HOP = 0.05  # seconds between the starts that are tried


def joined(mixture: Mixture, other: Mixture) -> Mixture:
    """The sum of two mixtures, the sources of the first one first.

    Raises:
        ValueError: they differ in length or rate.
    """
    if (mixture.sample_rate, mixture.mixture.shape) != (other.sample_rate, other.mixture.shape):
        raise ValueError(
            f"{mixture.name} and {other.name}: expected mixtures of one length and rate, got {len(mixture.mixture)} "
            f"and {len(other.mixture)} samples at {mixture.sample_rate} and {other.sample_rate} Hz"
        )
    sources = torch.cat([mixture.sources, other.sources])
    specs = (*mixture.specs, *other.specs)
    return replace(mixture, mixture=mixture.mixture + other.mixture, sources=sources, specs=specs)


def cropped(mixture: Mixture, seconds: float) -> Mixture:
    """The piece of `seconds` in which the source that keeps least of its energy keeps most; 0: all of it.

    Raises:
        ValueError: the mixture is shorter.
    """
    length = round(seconds * mixture.sample_rate)
    if not length:
        return mixture
    if length > mixture.mixture.shape[-1]:
        have = mixture.mixture.shape[-1] / mixture.sample_rate
        raise ValueError(f"{mixture.name}: expected a mixture of at least {seconds:g} s, got {have:g} s")
    energy = torch.nn.functional.pad(mixture.sources.double().square().cumsum(dim=-1), (1, 0))
    hop = round(CROP_HOP * mixture.sample_rate)
    kept = (energy[:, length:] - energy[:, :-length])[:, ::hop] / energy[:, -1:].clamp_min(torch.finfo().tiny)
    start = hop * int(kept.amin(dim=0).argmax())
    piece = slice(start, start + length)
    return replace(mixture, mixture=mixture.mixture[piece], sources=mixture.sources[:, piece])


def at_levels(mixture: Mixture, difference: float | None) -> Mixture:
    """The first source `difference` dB (RMS) above each other one, added up anew; None: as it is.

    Raises:
        ValueError: a source is silent.
    """
    if difference is None:
        return mixture
    first, *others = mixture.sources
    level = rms_dbfs(first) - difference
    sources = torch.stack([first, *(scale_to_dbfs(other, level) for other in others)])
    return replace(mixture, mixture=sources.sum(dim=0), sources=sources)
