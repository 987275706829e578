"""What a row can be separated by, solvers and baselines alike, and what a worker does with it: separate and score."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fast_bss_eval
import torch

from unsep_lib.audio import SAMPLE_RATE, SILENCE_DBFS, read_mono, rms_dbfs, scale_to_dbfs
from unsep_lib.data.clips import Clip, read_manifest
from unsep_lib.data.mixtures import Mixture
from unsep_lib.evaluation.baselines import (
    hpss,
    mixture_itself,
    nmf_dictionary,
    nmf_sources,
    oracle_ratio_mask,
    oracle_wiener,
)
from unsep_lib.evaluation.conv_tasnet import SHIPPED, SOURCES, Control, load_control
from unsep_lib.evaluation.metrics import SCORE_LIMIT, best_order, scored
from unsep_lib.experiments.conditions import changed_mixture
from unsep_lib.experiments.rows import PriorFile, Record, Row, ScoredSource, check_planned
from unsep_lib.files import sha256
from unsep_lib.priors.base import Identity, Prior
from unsep_lib.priors.checkpoints import digest_of, load_prior
from unsep_lib.separation import separate
from unsep_lib.solvers import ABLATIONS, SOLVERS, Solver, solver_named
from unsep_lib.source_spec import SourceSpec
from unsep_lib.versions import versions

UNLABELLED_PRIOR = "speech"  # its clips carry no label, those of every other prior do (as in draw_mixtures)
TRAINING_SECONDS = 60.0  # of clips per dictionary, so that a large corpus costs no more than the embedded clips
TRAINING_LEVEL = -20.0  # dBFS of each clip, so that loud ones count no more


def clips_of(clips: Sequence[Clip], spec: SourceSpec) -> list[Clip]:
    """Up to a minute of training clips that a specification describes, in an order that means nothing.

    `speech` is the clips without a label, `PRIOR:LABEL` those of the label, another prior alone all labelled ones.

    Raises:
        ValueError: there are none.
    """
    chosen, seconds = [], 0.0
    for clip in sorted(clips, key=lambda clip: clip.sha256):
        if clip.split == "train" and _described(clip, spec) and seconds < TRAINING_SECONDS:
            chosen.append(clip)
            seconds += clip.seconds
    if not chosen:
        raise ValueError(f"expected training clips of {spec} for a baseline that learns, got none")
    return chosen


def _described(clip: Clip, spec: SourceSpec) -> bool:
    if spec.label is not None:
        return clip.label == spec.label
    return bool(clip.label) != (spec.prior == UNLABELLED_PRIOR)


@functools.cache
def dictionary(manifest: str, digest: str, spec: SourceSpec) -> torch.Tensor:
    """The dictionary [component, bin] of a specification, learned once a process from the manifest's clips.

    Raises:
        ValueError: the manifest is not the one with this SHA-256, or holds no such clips.
    """
    check_planned(manifest, "manifest", sha256(manifest), digest)
    samples = (read_mono(clip.file) for clip in clips_of(read_manifest(manifest), spec))
    return nmf_dictionary([scale_to_dbfs(x, TRAINING_LEVEL) for x in samples if rms_dbfs(x) > SILENCE_DBFS])


HPSS_SOURCES = 2  # the harmonic and the percussive part
Estimates = Callable[[torch.Tensor, torch.Tensor, Sequence[Any]], torch.Tensor]


@dataclass(frozen=True)
class Baseline:
    """A method without priors, steps or randomness.

    run(mixture [time], references [source, time], learned) → estimates [source, time]; learns: whether it uses the
    specifications, by a dictionary of each, which are then `learned`, otherwise a condition that changes only them has
    no rows of it; ordered: whether the estimates come in the sources' order, otherwise the best is scored; sources: the
    only number of sources it can give, 0 for any; weights: the file of a trained control, which is then `learned`
    and parts one voice from one other sound; module: what is imported before the clock starts.
    """

    run: Estimates
    learns: bool = False
    ordered: bool = True
    sources: int = 0
    weights: Path | None = None
    module: str = ""

    def gives(self, specs: Sequence[SourceSpec]) -> bool:
        """Whether it can part sources of these specifications."""
        kinds = tuple(spec.prior for spec in specs)
        return self.sources in (0, len(kinds)) and (self.weights is None or kinds == SOURCES)


BASELINES = {
    "mixture": Baseline(lambda mixture, references, _: mixture_itself(mixture, references)),
    "oracle-ratio-mask": Baseline(lambda mixture, references, _: oracle_ratio_mask(mixture, references)),
    "oracle-wiener": Baseline(lambda mixture, references, _: oracle_wiener(mixture, references)),
    "nmf": Baseline(lambda mixture, _, dictionaries: nmf_sources(mixture, dictionaries), learns=True),
    "hpss": Baseline(
        lambda mixture, *_: hpss(mixture), ordered=False, sources=HPSS_SOURCES, module="librosa.decompose"
    ),
    "conv-tasnet": Baseline(lambda mixture, _, learned: learned[0].separate(mixture), weights=SHIPPED),
}


def sampler_named(name: str) -> Solver:
    """A solver or an ablation by name, or a solver of one's own as `module:name`.

    Raises:
        ValueError: unknown name.
    """
    if ":" in name:
        return solver_named(name)
    samplers = {**SOLVERS, **ABLATIONS}
    if name not in samplers:
        raise ValueError(f"unknown solver {name!r}: known are {', '.join([*samplers, *BASELINES])}")
    return samplers[name]


@dataclass
class EvaluationCount:
    """What was asked of networks: clips evaluated, and how many of these with a graph to differentiate."""

    evaluations: int = 0
    gradients: int = 0


class CountingPrior(Prior):
    """A prior that notes what it is asked; all else is the prior's own."""

    def __init__(self, prior: Prior, count: EvaluationCount):
        self._prior, self._count = prior, count
        self.sigma_min, self.sigma_max = prior.sigma_min, prior.sigma_max
        self.grid, self.labels = prior.grid, prior.labels

    def denoise(self, noisy: torch.Tensor, sigma: float) -> torch.Tensor:
        """The prior's answer for `noisy` [batch, time]; each clip of the batch counts."""
        self._count.evaluations += len(noisy)
        if torch.is_grad_enabled() and noisy.requires_grad:
            self._count.gradients += len(noisy)
        return self._prior.denoise(noisy, sigma)

    def with_condition(self, *, label: str | None = None, example: torch.Tensor | None = None) -> CountingPrior:
        """The prior under a condition, counted together with this one."""
        return CountingPrior(self._prior.with_condition(label=label, example=example), self._count)

    @property
    def identity(self) -> Identity:
        """The prior's own."""
        return self._prior.identity


@functools.cache
def cached_prior(file: PriorFile, device: str) -> Prior:
    """A prior without a label, read once a process.

    Raises:
        ValueError: the file is not the one with this SHA-256.
    """
    check_planned(file.path, "prior", digest_of(file.path), file.sha256)
    return load_prior(file.path, device)


@functools.cache
def cached_control(file: PriorFile) -> Control:
    """The supervised control, read once a process.

    Raises:
        ValueError: the file is not the one with this SHA-256.
    """
    check_planned(file.path, "control", sha256(file.path), file.sha256)
    return load_control(file.path)


def prepared(
    row: Row, mixture: torch.Tensor, references: torch.Tensor, count: EvaluationCount
) -> Callable[[], torch.Tensor]:
    """The row's separation as a function of nothing, weights or dictionaries loaded; `count` is raised by what it asks.

    mixture [time] at 16 kHz; references [source, time], which oracles look at; the function returns [source, time].
    """
    if row.solver in BASELINES:
        baseline = BASELINES[row.solver]
        if baseline.module:
            importlib.import_module(baseline.module)
        dictionaries = [dictionary(row.clips, row.clips_sha256, spec) for spec in row.specs if baseline.learns]
        learned = [*dictionaries, *map(cached_control, row.prior_files)]
        return functools.partial(baseline.run, mixture, references, learned)
    loaded = {file.prior: cached_prior(file, row.device) for file in row.prior_files}
    priors = [CountingPrior(loaded[spec.prior].with_condition(label=spec.label), count) for spec in row.specs]
    if row.solver_digest:
        check_planned(row.solver, "solver", digest_of(row.solver), row.solver_digest)
    samples, sampler = mixture.to(row.device), sampler_named(row.solver)

    def run() -> torch.Tensor:
        separation = separate(samples, priors, SAMPLE_RATE, solver=sampler, steps=row.steps, seed=row.seed)
        return separation.sources[:, 0].cpu()

    return run


def compute(row: Row) -> Record:
    """Separate and score a row: its record, ready for JSON.

    seconds: of the separation alone, weights loaded; evaluations: clips sent through networks; gradients: how many of
    them were differentiated.

    Raises:
        ValueError: a file is not what was planned with, or the solver cannot do what is asked.
    """
    mixture = changed_mixture(row)
    silence = torch.zeros_like(mixture.mixture)
    references = torch.stack(
        [silence if source.reference is None else mixture.sources[source.reference] for source in row.sources]
    )
    count = EvaluationCount()
    separation = prepared(row, mixture.mixture, references, count)
    began = time.monotonic()
    estimates = separation()
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
        "evaluations": count.evaluations,
        "gradients": count.gradients,
        "threads": torch.get_num_threads(),
        "prior_files": [asdict(file) for file in row.prior_files],
        "versions": versions(),
    }


def _scores(row: Row, mixture: Mixture, references: torch.Tensor, estimates: torch.Tensor) -> list[ScoredSource]:
    """The score of each source: the mixture's in its order, numbered from 1, then one that is not there as 0."""
    ordered = row.solver not in BASELINES or BASELINES[row.solver].ordered
    specs = row.specs if ordered else row.specs[:1] * len(row.sources)
    estimates = estimates[best_order(estimates, references, specs)]
    rows: list[ScoredSource] = []
    for source, estimate, reference in zip(row.sources, estimates, references, strict=True):
        found = scored(estimate, reference, mixture.mixture)
        rows.append(
            {
                "source": 0 if source.reference is None else source.reference + 1,
                "label": "" if source.reference is None else str(mixture.specs[source.reference]),
                "spec": source.spec,
                **found,
                "sdr": None if found["si_sdr"] is None else bss_eval_sdr(estimate, reference),
            }
        )
    return sorted(rows, key=lambda row: row["source"] or len(rows) + 1)


def bss_eval_sdr(estimate: torch.Tensor, reference: torch.Tensor) -> float:
    """SDR in dB of [time] by BSS-eval with filters of 512 taps, −100 … 100 (fast_bss_eval)."""
    loss = fast_bss_eval.sdr_loss(estimate[None].double(), reference[None].double(), clamp_db=SCORE_LIMIT)
    return -float(loss)
