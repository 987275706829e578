"""What a worker does: separate one row and score it."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

import fast_bss_eval
import torch

from unsep_lib.audio import SAMPLE_RATE, resample, rms_dbfs
from unsep_lib.data.mixtures import Mixture, read_mixture
from unsep_lib.evaluation.metrics import best_order, si_sdr
from unsep_lib.experiments.conditions import at_levels, cropped, joined
from unsep_lib.experiments.methods import BASELINES, Work, prepared
from unsep_lib.experiments.rows import Record, Row, Score, Scored, Slot
from unsep_lib.versions import versions

SDR_CEILING = 100.0  # dB; an estimate that equals its reference has no finite SDR
MIXTURES_KEPT = 4  # a process works on few mixtures at a time


def compute(row: Row) -> Record:
    """Separate and score a row: its record, ready for JSON.

    seconds: of the separation alone, weights loaded; evaluations: clips sent through networks; gradients: how many of
    them were differentiated.

    Raises:
        ValueError: a file is not what was planned with, or the solver cannot do what is asked.
    """
    mixture = read_planned(row.folder, row.digest)
    if row.also_folder:
        mixture = joined(mixture, read_planned(row.also_folder, row.also_digest))
    mixture = at_levels(cropped(mixture, row.seconds), row.level_difference)
    references = references_of(row.slots, mixture.sources)
    work = Work()
    separate = prepared(row, mixture.mixture, references, work)
    began = time.monotonic()
    estimates = separate()
    seconds = time.monotonic() - began
    return {
        "key": row.key,
        "mixture": row.mixture,
        "task": row.task,
        "condition": row.condition,
        "priors": row.priors,
        "folder": row.folder,
        "content": row.content(),
        "sources": _scores(row, mixture, references, estimates),
        "seconds": seconds,
        "evaluations": work.evaluations,
        "gradients": work.gradients,
        "threads": torch.get_num_threads(),
        "prior_files": [asdict(file) for file in row.prior_files],
        "versions": versions(),
    }


def mixture_digest(mixture: Mixture) -> str:
    """SHA-256 of a mixture's samples, references and rate."""
    digest = hashlib.sha256(f"{mixture.sample_rate} {tuple(mixture.sources.shape)}".encode())
    for samples in (mixture.mixture, mixture.sources):
        digest.update(samples.contiguous().numpy().tobytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=MIXTURES_KEPT)
def read_planned(folder: str, digest: str) -> Mixture:
    """The mixture in `folder`, at 16 kHz.

    Raises:
        ValueError: its samples are not those with this digest.
    """
    mixture = read_mixture(folder)
    if mixture_digest(mixture) != digest:
        raise ValueError(f"{folder}: expected the mixture that the sweep was planned with, got another")
    samples, sources = (resample(x, mixture.sample_rate, SAMPLE_RATE) for x in (mixture.mixture, mixture.sources))
    return replace(mixture, mixture=samples, sources=sources, sample_rate=SAMPLE_RATE)


def references_of(slots: Sequence[Slot], sources: torch.Tensor) -> torch.Tensor:
    """References [slot, time] in the solver's order; silence where there is none."""
    silence = torch.zeros_like(sources[0])
    return torch.stack([silence if slot.reference is None else sources[slot.reference] for slot in slots])


def _scores(row: Row, mixture: Mixture, references: torch.Tensor, estimates: torch.Tensor) -> list[Scored]:
    """The score of each slot: the mixture's sources in its order, numbered from 1, then one that is not there as 0."""
    ordered = row.solver not in BASELINES or BASELINES[row.solver].ordered
    told = row.specs if ordered else row.specs[:1] * len(row.slots)
    estimates = estimates[best_order(estimates, references, told)]
    rows: list[Scored] = [
        {
            "source": 0 if slot.reference is None else slot.reference + 1,
            "label": "" if slot.reference is None else str(mixture.specs[slot.reference]),
            "told": slot.spec,
            **score(estimate, reference, mixture.mixture),
        }
        for slot, estimate, reference in zip(row.slots, estimates, references, strict=True)
    ]
    return sorted(rows, key=lambda scored: scored["source"] or len(rows) + 1)


def score(estimate: torch.Tensor, reference: torch.Tensor, mixture: torch.Tensor) -> Score:
    """Scores in dB of one estimate [time], None where they do not exist.

    present: whether the reference sounds; level: the estimate's above the mixture's, None unless it is finite; si_sdr,
    its improvement over the mixture's, and sdr (BSS-eval, filters of 512 taps) exist for an estimate that sounds too.
    """
    present, finite = bool(reference.any()), bool(estimate.isfinite().all())
    level = rms_dbfs(estimate) - rms_dbfs(mixture) if finite else None
    scores: Score = {"present": present, "level": level, "si_sdr": None, "si_sdr_improvement": None, "sdr": None}
    if not (present and finite and estimate.any()):
        return scores
    after, before = (si_sdr(x, reference).item() for x in (estimate, mixture))
    sdr = -fast_bss_eval.sdr_loss(estimate[None].double(), reference[None].double(), clamp_db=SDR_CEILING).item()
    return {**scores, "si_sdr": after, "si_sdr_improvement": after - before, "sdr": sdr}
