"""How close estimated sources are to their references, and how a separated voice fares with a listener."""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypedDict

import numpy
import torch
from numpy.exceptions import AxisError

from unsep_lib.audio import SAMPLE_RATE, resample, rms_dbfs
from unsep_lib.data.mixtures import Mixture
from unsep_lib.priors.base import matched
from unsep_lib.source_spec import SourceSpec

CONFIDENCE = 0.95
RESAMPLES = 2000
SCORE_LIMIT = 100.0  # dB either way; an estimate that equals its reference has no finite SI-SDR


def si_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Scale-invariant signal-to-distortion ratio in dB over the last axis (arXiv 1811.02508).

    `10 log₁₀(‖αs‖²/‖αs − ŝ‖²)` with `α = ⟨ŝ, s⟩/‖s‖²`, means removed; NaN where either is constant, as in silence.

    Raises:
        ValueError: shapes differ.
    """
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio  # imports matplotlib

    if estimate.shape != reference.shape:
        raise ValueError(f"expected an estimate of shape {tuple(reference.shape)}, got {tuple(estimate.shape)}")
    score = scale_invariant_signal_distortion_ratio(estimate.double(), reference.double(), zero_mean=True)
    constant = (reference == reference[..., :1]).all(dim=-1) | (estimate == estimate[..., :1]).all(dim=-1)
    return score.masked_fill(constant, float("nan"))


class Score(TypedDict):
    """Scores in dB of one estimate, None where they do not exist."""

    present: bool
    level: float | None
    si_sdr: float | None
    si_sdr_improvement: float | None


def scored(estimate: torch.Tensor, reference: torch.Tensor, mixture: torch.Tensor) -> Score:
    """The scores of an estimate [time] of a reference [time] in a mixture [time].

    present: whether the reference sounds; level: the estimate's above the mixture's, None unless it is finite; si_sdr:
    −100 … 100, None unless both sound; si_sdr_improvement: over the mixture's own, None where the mixture is this
    source itself (100 dB or more), so that nothing can improve.
    """
    present, finite = bool(reference.any()), bool(estimate.isfinite().all())
    level = rms_dbfs(estimate) - rms_dbfs(mixture) if finite else None
    scores: Score = {"present": present, "level": level, "si_sdr": None, "si_sdr_improvement": None}
    after, before = (max(si_sdr(x, reference).item(), -SCORE_LIMIT) for x in (estimate, mixture))
    if not present or not finite or math.isnan(after):
        return scores
    after = min(after, SCORE_LIMIT)
    return {**scores, "si_sdr": after, "si_sdr_improvement": after - before if before < SCORE_LIMIT else None}


def best_order(estimates: torch.Tensor, references: torch.Tensor, specs: Sequence[SourceSpec]) -> list[int]:
    """For each reference the index of its estimate, both [source, time].

    Sources of one specification cannot be told apart, so they take the permutation of the highest mean SI-SDR;
    all others stay in their order.
    """
    pairs = torch.stack([si_sdr(estimates, reference.expand_as(estimates)) for reference in references])
    return matched(pairs.nan_to_num(0.0), specs)


def source_switches(estimates: torch.Tensor, references: torch.Tensor, piece: int) -> tuple[int, int]:
    """How often sources change places over time: (switches, passages from one piece to the next).

    estimates, references [source, time] are cut into pieces of `piece` samples. A switch is a piece in which another
    order of the estimates than in the piece before has the highest mean SI-SDR, whatever the sources are; pieces in
    which a reference is silent are passed over.
    """
    starts = range(0, references.shape[-1] - piece + 1, piece)
    heard = [slice(start, start + piece) for start in starts if references[:, start : start + piece].any(dim=-1).all()]
    alike = [SourceSpec("any")] * len(references)
    orders = [best_order(estimates[:, one], references[:, one], alike) for one in heard]
    return sum(before != after for before, after in pairwise(orders)), max(len(orders) - 1, 0)


@dataclass(frozen=True)
class Statistic:
    """Mean and median with a 95 % bootstrap interval of the mean."""

    mean: float
    median: float
    low: float
    high: float


def statistic(values: Sequence[float], groups: Sequence[str]) -> Statistic:
    """Mean, median and the mean's 95 % interval, resampling groups (mixtures), not single sources.

    Raises:
        ValueError: no values, or not one group each.
    """
    if not len(values) or len(values) != len(groups):
        raise ValueError(f"expected a group for each of at least one value, got {len(values)} and {len(groups)}")
    numbers = numpy.asarray(values, dtype=float)
    names, index = numpy.unique(numpy.asarray(groups), return_inverse=True)
    sums, counts = numpy.bincount(index, numbers), numpy.bincount(index)
    mean = float(numbers.mean())
    if len(names) == 1:
        return Statistic(mean, float(numpy.median(numbers)), mean, mean)
    from scipy.stats import bootstrap  # half a second that workers of a sweep need not spend

    result = bootstrap(
        (sums, counts), lambda s, n, axis: s.sum(axis) / n.sum(axis), paired=True, vectorized=True,
        n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=numpy.random.default_rng(0),
    )  # fmt: skip
    interval = result.confidence_interval
    return Statistic(mean, float(numpy.median(numbers)), float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Calibration:
    """How well sources' estimated improvements fit the true ones.

    rank_correlation: Spearman's, -1 … 1 (None where either does not vary); inside: the share of sources whose true
    improvement lies in the estimated range; bias: estimated − true, the mean in dB; error: the mean of its size in dB.
    """

    rank_correlation: float | None
    inside: float
    bias: float
    error: float


def calibration(
    expected: Sequence[float], low: Sequence[float], high: Sequence[float], true: Sequence[float]
) -> Calibration:
    """Compare sources' estimated improvements and their ranges with the true ones, all in dB."""
    from scipy.stats import spearmanr

    estimated, least, most, found = (numpy.asarray(values, dtype=float) for values in (expected, low, high, true))
    varied = numpy.ptp(estimated) > 0 and numpy.ptp(found) > 0
    ranks = float(spearmanr(estimated, found).statistic) if varied else None
    inside = float(((least <= found) & (found <= most)).mean())
    return Calibration(ranks, inside, float((estimated - found).mean()), float(numpy.abs(estimated - found).mean()))


VOICE = "speech"  # the prior whose sources are voices


@dataclass(frozen=True)
class Voice:
    """One voice of one mixture: its estimate's and the mixture's own STOI (0 … 1) and PESQ (1 … 4.6), where they exist.

    source: its number in the mixture, from 1.
    """

    mixture: str
    source: int
    stoi: float | None
    stoi_of_mixture: float | None
    pesq: float | None
    pesq_of_mixture: float | None


def stoi(estimate: torch.Tensor, reference: torch.Tensor) -> float | None:
    """Short-time objective intelligibility of [time] at 16 kHz, 0 … 1 (Taal et al. 2011), by pystoi.

    None for a voice that sounds for less than 0.4 s, the length of the measure's segments, and for an estimate that is
    not finite.
    """
    if not estimate.isfinite().all():
        return None
    from pystoi import stoi as by_package  # half a second that only voices need

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # by which pystoi says that it found no segment
        try:
            return float(by_package(reference.double().numpy(), estimate.double().numpy(), SAMPLE_RATE))
        except (RuntimeWarning, AxisError):
            return None


def pesq(estimate: torch.Tensor, reference: torch.Tensor) -> float | None:
    """Wideband PESQ of [time] at 16 kHz, 1 … 4.6 (ITU-T P.862.2), by the package pesq.

    None where that is not installed, or finds no utterance, as in silence, and for an estimate that is not finite.
    """
    sounds = reference.any() and estimate.any() and estimate.isfinite().all()
    if importlib.util.find_spec("pesq") is None or not sounds:
        return None
    from pesq import PesqError
    from pesq import pesq as by_package

    try:
        return float(by_package(SAMPLE_RATE, reference.numpy(), estimate.numpy(), "wb"))
    except PesqError:
        return None


def voices_of(mixture: Mixture, estimates: torch.Tensor) -> list[Voice]:
    """The scores of a mixture's audible voices from its estimates [source, time]."""
    order = best_order(estimates, mixture.sources, mixture.specs)
    whole, references, found = (
        resample(samples.float().cpu(), mixture.sample_rate, SAMPLE_RATE)
        for samples in (mixture.mixture, mixture.sources, estimates[order])
    )
    numbered = enumerate(zip(mixture.specs, references, found, strict=True), start=1)
    return [
        Voice(
            mixture=mixture.name,
            source=number,
            stoi=stoi(estimate, reference),
            stoi_of_mixture=stoi(whole, reference),
            pesq=pesq(estimate, reference),
            pesq_of_mixture=pesq(whole, reference),
        )
        for number, (spec, reference, estimate) in numbered
        if spec.prior == VOICE and reference.any()
    ]
